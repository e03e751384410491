"""What every row is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.servers import BareTarget, LegatoTarget, Target, bare, legato, reference
from bench.upstream import Upstream


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    upstream: Upstream
    directory: Path
    quick: bool = False

    def scaled(self, full: Any, quick: Any) -> Any:
        """How much of something: in a full run, in a quick one."""
        return quick if self.quick else full

    @contextmanager
    def target(self, name: str) -> Iterator[Target]:
        """A new server: ``legato``, or one of the references."""
        if name == "legato":
            with self.legato() as target:
                yield target
        else:
            with reference(name, self.upstream.url, self.directory) as target:
                yield target

    @contextmanager
    def legato(self, database: str = "", *, titles: bool = False) -> Iterator[LegatoTarget]:
        with legato(self.upstream.url, self.directory, database=database, titles=titles) as target:
            yield target

    @contextmanager
    def bare(self, rate: float) -> Iterator[BareTarget]:
        with bare(rate, self.directory) as target:
            yield target
