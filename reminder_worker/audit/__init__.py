"""The audit: play the whole system through with planted facts, and search everything that anybody could hold.

``matrix`` is what is documented, ``story`` what happens, ``parties`` what each party then holds. ``search`` looks for
the facts there; ``checks`` are what must hold whoever looks. It needs the embedded server and Twilio's library.
"""

import signal
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

from reminder_worker.audit import checks, report
from reminder_worker.audit.case import Case
from reminder_worker.audit.parties import Holdings
from reminder_worker.audit.report import Result
from reminder_worker.audit.search import Search, forms
from reminder_worker.audit.story import played
from reminder_worker.errors import SettingsError
from reminder_worker.lifeline import end_with_terminal

INTERRUPTED = 130  # exit code


def run(*, json: bool) -> int:
    """Run the audit and print its result; return 0 if nobody learns more than documented."""
    if find_spec("twilio") is None:
        raise SettingsError("audit: it calls its provider through Twilio's library; pip install twilio")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    end_with_terminal()
    try:
        result = measure(lambda step: print(f"{step} …", file=sys.stderr))
    except KeyboardInterrupt:
        print("audit: interrupted; what it had started is ended and removed", file=sys.stderr)
        return INTERRUPTED
    if json:
        from reminder_worker.screen import print_json  # noqa: PLC0415

        print_json(report.as_document(result))
    else:
        report.show(result)
    return 0 if result.ok else 1


def measure(say: Callable[[str], None]) -> Result:
    """Play the story, and search everything that each party then holds."""
    began = time.monotonic()
    with played(say) as story:
        say("Search everything that anybody could hold")
        search = Search(forms(story.people.values(), story.world.reminders))
        cells = list(search.measure(Holdings(story).of))
        done = list(checks.run(Case(story, search)))
    return Result(cells, done, time.monotonic() - began, sorted(story.hidden))
