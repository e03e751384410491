"""For all tests: before any of these modules is imported, pytest must know that their assertions are to be explained."""

import pytest

pytest.register_assert_rewrite("tests.support.conversation", "tests.suites.store", "tests.suites.machine")
