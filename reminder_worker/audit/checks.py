"""Named checks beside the matrix: what must hold whoever looks; each reports where it does not."""

from collections.abc import Callable, Iterator
from functools import partial

from reminder_worker.audit import ledgers, machine, speech
from reminder_worker.audit.case import Case, Check

ALL = (
    ledgers.equal_lengths,
    ledgers.messages,
    ledgers.middleware,
    ledgers.nothing_left,
    ledgers.forward_secrecy,
    ledgers.sealed_afresh,
    ledgers.keyed,
    ledgers.spans,
    ledgers.languages,
    speech.reprs,
    speech.masked,
    speech.log_lines,
    speech.answers,
    speech.secrets,
    speech.events,
    speech.replies,
    machine.tls,
    machine.connections,
    machine.doings,
    machine.command_lines,
    machine.files_written,
    machine.temporary_files,
    machine.key_files,
    machine.core_dumps,
    machine.crashes,
    machine.swap,
)


def run(case: Case) -> Iterator[Check]:
    """Run all checks."""
    return map(partial(_do, case), ALL)


def _do(case: Case, look: Callable[[Case], Iterator[str]]) -> Check:
    what = (look.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return Check(look.__name__, what, tuple(dict.fromkeys(look(case))), note=look is machine.swap)
