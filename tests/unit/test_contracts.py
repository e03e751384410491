"""The import contracts in pyproject.toml, as far as import-linter can't check them itself."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

PYPROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"


def test_a_new_dependency_is_forbidden_to_the_core() -> None:
    """The contract can only name what is forbidden, so the list must name every dependency there is."""
    pyproject = tomllib.loads(PYPROJECT.read_text("utf-8"))
    forbidden = set(contract(pyproject, "pure-core")["forbidden_modules"])
    assert sorted(imports_of(pyproject["project"]["dependencies"]) - forbidden - {"msgspec"}) == []


def contract(pyproject: dict[str, Any], contract_id: str) -> dict[str, Any]:
    contracts: list[dict[str, Any]] = pyproject["tool"]["importlinter"]["contracts"]
    return next(each for each in contracts if each["id"] == contract_id)


def imports_of(requirements: list[str]) -> set[str]:
    """What can be imported from the installed ones among ``requirements``."""
    wanted = {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}
    return {
        module
        for module, distributions in packages_distributions().items()
        if module.isidentifier() and not module.startswith("_") and wanted.intersection(map(normal, distributions))
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
