"""The promises that every provider keeps, as tests: subclass ``ProviderContract`` in a test module and run pytest.

    class TestAcme(ProviderContract):
        plug_in = "acme"
        ...

``case.py`` lists what a subclass says about its provider; the modules beside it hold the promises. They run over
real sockets, against a server that hangs, drips, breaks off and lies. Needs
``pip install 'reminder-worker[testing]'``.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"reminder_worker.testing.{name}"
        for name in ("promises", "lookups", "faults", "discretion", "reports", "outcomes")
    )
)

from reminder_worker.testing.discretion import Discretion
from reminder_worker.testing.faults import Faults
from reminder_worker.testing.lookups import LookUps
from reminder_worker.testing.outcomes import Outcomes
from reminder_worker.testing.promises import Promises
from reminder_worker.testing.reports import Reports


class ProviderContract(Promises, LookUps, Faults, Discretion, Reports, Outcomes):
    """All promises; ``case.Case`` lists what a subclass says."""
