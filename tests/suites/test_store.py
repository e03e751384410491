"""Both drivers pass the suite."""

from tests.suites.store_suite import StoreSuite


class TestStore(StoreSuite):
    pass
