"""What holds for all five: small, explained on one screen, and about the same in their own words (promise H-02)."""

import pytest

from tests.examples.applications import lines_of_its_own, screenfuls

pytestmark = pytest.mark.promise("H-02")

NAMES = ("console", "editor", "sommelier", "tasks", "workspace")


@pytest.mark.parametrize("name", NAMES)
def test_the_library_carries_the_rest(name: str) -> None:
    assert lines_of_its_own(name) <= 200


@pytest.mark.parametrize("name", NAMES)
def test_its_readme_fits_on_one_screen(name: str) -> None:
    assert screenfuls(name) <= 50
