"""The list of promises and the suite, kept in step in both directions."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).parents[1]
KEYS: Final = {"text", "built", "partial", "reason"}


def listed() -> dict[str, dict[str, Any]]:
    """What tests/promises.toml promises, by id."""
    return tomllib.loads((TESTS / "promises.toml").read_text("utf-8"))


def marked() -> dict[str, set[str]]:
    """Where the suite says which promise it keeps: files by id."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("*.py")):
        for promise in promises_of(path.read_text("utf-8")):
            found[promise].add(str(path.relative_to(TESTS)))
    return found


def promises_of(source: str) -> Iterator[str]:
    """The ids in every ``pytest.mark.promise(…)`` of a module: on a test, in ``pytestmark``, in ``pytest.param``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)


def test_every_built_promise_has_a_test() -> None:
    built = {promise for promise, entry in listed().items() if entry["built"]}
    assert sorted(built - marked().keys()) == []


def test_every_promise_named_in_a_test_is_listed_as_built() -> None:
    promises = listed()
    unknown = {promise: files for promise, files in marked().items() if not promises.get(promise, {}).get("built")}
    assert unknown == {}


def test_what_is_not_built_says_why_and_what_is_built_does_not() -> None:
    assert [promise for promise, entry in listed().items() if entry["built"] == ("reason" in entry)] == []


def test_only_what_is_built_can_be_built_in_part() -> None:
    assert [promise for promise, entry in listed().items() if "partial" in entry and not entry["built"]] == []


def test_entries_have_a_text_and_no_key_that_nobody_reads() -> None:
    assert [promise for promise, entry in listed().items() if not entry["text"] or entry.keys() - KEYS] == []


def test_a_mark_is_found_wherever_pytest_would_see_it() -> None:
    source = """
import pytest
pytestmark = [pytest.mark.anyio, pytest.mark.promise("M-01", "M-02")]

class TestIt:
    @pytest.mark.promise("D-01")
    async def test_it(self): ...

@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.promise("P-01"))])
def test_n(n): ...

# @pytest.mark.promise("C-01")
TEXT = '@pytest.mark.promise("T-01")'
"""
    assert sorted(promises_of(source)) == ["D-01", "M-01", "M-02", "P-01"]
