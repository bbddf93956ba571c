"""The promises that every provider keeps, as tests: subclass ``ProviderContract`` in a test module and run pytest.

    class TestAcme(ProviderContract):
        plug_in = "acme"
        ...

What a subclass says of its provider is in ``case.py``, the promises are in the modules beside it. They run over
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
    """All promises; ``case.Case`` has what a subclass says."""
