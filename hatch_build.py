"""The page, built into the wheel and the sdist: a wheel that is built from the sdist needs no npm."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface[Any]):
    """Builds ``src/legato/web/dist``, which git does not know, and takes it along."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # `make` builds it there
            return
        runpy.run_path(str(Path(self.root, "web", "build.py")))["build"]()
        build_data["artifacts"].append("src/legato/web/dist/")
