import pytest

pytest.register_assert_rewrite("tests.support.conversation", "tests.suites.store", "tests.suites.machine")
