"""The suite of the store. Every driver passes it, third parties' too: subclass, and give the fixtures ``store`` (empty,
started) and ``conversation`` as ``conftest.py`` does.
"""

import pytest

from tests.suites.store.accepting import Accepting
from tests.suites.store.appending import Appending
from tests.suites.store.approving import Approving
from tests.suites.store.attaching import Attaching
from tests.suites.store.branches import Branches
from tests.suites.store.branching import Branching
from tests.suites.store.claiming import Claiming
from tests.suites.store.compacting import Compacting
from tests.suites.store.damage import Damage
from tests.suites.store.deleting import Deleting
from tests.suites.store.emptying import Emptying
from tests.suites.store.ending import Endings
from tests.suites.store.isolation import Isolation
from tests.suites.store.living import Living
from tests.suites.store.quarantining import Quarantining
from tests.suites.store.queueing import Queueing
from tests.suites.store.reading import Reading
from tests.suites.store.rebuilding import Rebuilding
from tests.suites.store.remembering import Remembering
from tests.suites.store.searching import Searching
from tests.suites.store.sessions import Sessions
from tests.suites.store.spending import Spending
from tests.suites.store.steering import Steering
from tests.suites.store.summarising import Summarising
from tests.suites.store.titles import Titles
from tests.suites.store.trimming import Trimming
from tests.suites.store.welcoming import Welcoming


class StoreSuite(
    Sessions,
    Isolation,
    Accepting,
    Approving,
    Attaching,
    Branches,
    Branching,
    Queueing,
    Claiming,
    Appending,
    Endings,
    Emptying,
    Deleting,
    Living,
    Remembering,
    Spending,
    Steering,
    Summarising,
    Trimming,
    Reading,
    Compacting,
    Damage,
    Quarantining,
    Rebuilding,
    Searching,
    Titles,
    Welcoming,
):
    """What a store has to do."""

    pytestmark = pytest.mark.anyio
