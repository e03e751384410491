"""What operators are told to write for nginx is what the tests run behind."""

from pathlib import Path

from tests.support.nginx import BLOCK


def test_the_documentation_shows_the_block_that_is_tested() -> None:
    operations = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert f"```nginx\n{BLOCK.read_text()}```\n" in operations
