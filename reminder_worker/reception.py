"""What the gateway does for a platform that calls it: sign, seal, hand in, take back, report what became of it.

It opens nothing: neither the pointer, which was sealed elsewhere, nor the job, which it seals to the worker's key.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

from starlette.concurrency import run_in_threadpool

from reminder_worker import disclosure, job, magic, metrics, sealing
from reminder_worker.apikeys import Caller
from reminder_worker.client import Appointment, Client
from reminder_worker.commits import Commits
from reminder_worker.durability import confirm
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.gateway import GatewayKeys, Ticket
from reminder_worker.history import in_utc, record_of
from reminder_worker.ledger import Answer, Entry, Reminder
from reminder_worker.places import Places
from reminder_worker.root import Published
from reminder_worker.schedule import BATCH, Schedule
from reminder_worker.tables import Platform

FIELDS = frozenset({"time", "location", "pointer", "leads"})
REQUIRED = FIELDS - {"leads"}
CANCELS = 100  # per write
BURST = 10  # seconds of a platform's rate that may come at once
SMALLEST_BURST = 500  # a whole batch

Turn = tuple[bytes, int, int, int]  # lua/rate.lua: tag, microseconds between calls, how many at once, how many now


class Reception:
    """Serves all platforms of the settings that have API keys."""

    def __init__(
        self,
        schedule: Schedule,
        gateway: GatewayKeys,
        published: Published,
        platforms: Mapping[str, Platform],
        process: str,
    ) -> None:
        disclosure.load()  # not with the first appointment: by then the installation may have been replaced
        self.schedule = schedule
        self.gateway = gateway
        self._published = published
        self._platforms = platforms
        self._process = process
        self.added: Commits[Entry, Answer] = Commits(self._add, most=BATCH)
        self.cancelled: Commits[bytes, Answer] = Commits(self._cancel, most=CANCELS)
        self.turns: Commits[Turn, int] = Commits(self._take_turns, most=BATCH)
        self._clients: dict[tuple[str, str], Client] = {}
        own = bytes(gateway.live.verify_key)  # it stands for platforms that hold no keys
        self._places = {name: Places.of(name, platform, own) for name, platform in platforms.items()}
        self.refresh()

    def refresh(self) -> None:
        """Read the worker's public keys; if they cannot be read, the last ones stay. Raises SettingsError."""
        self.public = self._published.load()
        self._clients = {}

    def knows(self, caller: Caller) -> bool:
        """Tell whether the caller's platform is in the settings."""
        return caller.platform in self._platforms

    def test_pointers(self, caller: Caller) -> dict[str, str]:
        """Seal the magic numbers, so that a platform can try all of this without sealing anything."""
        seal = partial(sealing.seal_pointer, self.public, caller.platform)
        return {part: sealing.pointer_to_text(seal(f"tel:{number}", "en")) for part, number in magic.PARTS.items()}

    async def wait_for_turn(self, caller: Caller, kind: str, calls: int) -> float:
        """Count calls against the platform's rate; return the seconds to wait before they may be made, or 0.

        Raises StoreUnavailable.
        """
        rate = self._platforms[caller.platform].api_rate
        day = datetime.now(UTC).date()  # nobody who watches Redis must be able to link the calls of two days
        tag = self.gateway.tag(f"{kind} {caller.mode} {day}", caller.platform)
        words = tag, math.ceil(1e6 / rate), max(BURST * rate, SMALLEST_BURST), calls
        (wait,) = await self.turns.put([words])
        return wait / 1000

    def seal(self, caller: Caller, reference: str, fields: Mapping[str, Any]) -> Entry:
        """Plan, sign and seal one appointment. Raises Refused."""
        if "phone" in fields:
            raise Refused(Reason.UNKNOWN_FIELD, "phone", "numbers do not travel here: seal them into a pointer")
        job.check_fields(fields, allowed=FIELDS, required=REQUIRED)
        check_reference(reference)
        entry = self._client(caller).seal(Appointment.parse({**fields, "reference": reference}))
        if self._platforms[caller.platform].events_url is None:
            return entry
        return replace(entry, ticket=self.gateway.ticket(entry.id, Ticket(caller.platform, caller.mode, reference)))

    def seal_each(self, caller: Caller, items: Sequence[object]) -> list[Entry | Refused]:
        """Seal each item of a batch, or return why not."""
        return [self._seal_item(caller, item) for item in items]

    def _seal_item(self, caller: Caller, item: object) -> Entry | Refused:
        if not isinstance(item, dict):
            return Refused(Reason.MALFORMED, "reminders", "must hold objects")
        reference = item.get("reference")
        if not isinstance(reference, str):
            return Refused(Reason.REFERENCE_INVALID, "reference", "must be a text")
        try:
            return self.seal(caller, reference, {name: item[name] for name in item if name != "reference"})
        except Refused as refusal:
            return refusal

    async def add(self, entries: Sequence[Entry]) -> list[Answer]:
        """Hand in what was sealed; an answer means that it is as durable as configured. Raises StoreUnavailable."""
        return _counted(await self.added.put(entries))

    async def cancel(self, caller: Caller, reference: str) -> Answer:
        """Take an appointment back; ``cancelled`` means that no text follows. Raises Refused, StoreUnavailable."""
        (answer,) = _counted(await self.cancelled.put([self._id(caller, reference)]))
        return answer

    async def show(self, caller: Caller, reference: str) -> list[Reminder]:
        """Return what became of each lead. Raises Refused, StoreUnavailable."""
        return await run_in_threadpool(self.schedule.show, self._id(caller, reference))

    def tell(self, caller: Caller, reference: str, reminders: Sequence[Reminder]) -> dict[str, object]:
        """Describe what became of an appointment for its platform, with a signed record for the platform to keep."""
        record = record_of(Ticket(caller.platform, caller.mode, reference), reminders, datetime.now(UTC))
        told = [_told(one) for one in reminders]
        return {"reference": reference, "reminders": told, "record": self.gateway.sign_record(record)}

    def _id(self, caller: Caller, reference: str) -> bytes:
        check_reference(reference)
        return sealing.make_id(self.gateway.platform(caller.platform, caller.mode), reference)

    def _client(self, caller: Caller) -> Client:
        name, clients = (caller.platform, caller.mode.value), self._clients  # refresh replaces it in another thread
        if name not in clients:
            tenant = self._platforms[caller.platform]
            make = partial(Client, self.schedule, self.gateway.platform(caller.platform, caller.mode), self.public)
            clients[name] = make(
                leads=tenant.leads,
                quiet_hours=tenant.quiet_hours,
                due_grid=tenant.due_grid,
                countries=tenant.countries,
                places=self._places[caller.platform],
            )
        return clients[name]

    def _add(self, entries: Sequence[Entry]) -> list[Answer]:
        with confirm(self.schedule, self._process):
            return self.schedule.add(entries)

    def _take_turns(self, turns: Sequence[Turn]) -> list[int]:
        """Return how many milliseconds each has to wait."""
        waits: list[int] = self.schedule.run("rate", 0, *chain.from_iterable(turns))
        return waits

    def _cancel(self, ids: Sequence[bytes]) -> list[Answer]:
        with confirm(self.schedule, self._process):
            return [self.schedule.cancel(id_) for id_ in ids]


def _counted(answers: list[Answer]) -> list[Answer]:
    for answer in answers:
        metrics.count(metrics.HANDED_IN, answer=answer)
    return answers


def _told(reminder: Reminder) -> dict[str, object]:
    return {
        "lead": reminder.lead,
        "state": reminder.state,
        "due": in_utc(reminder.due),
        "ended": in_utc(reminder.ended),
        "attempts": reminder.attempts,
        "reason": reminder.reason,
        "failure_class": reminder.failure_class,
        "reply": reminder.reply,
    }


def check_reference(reference: str) -> None:
    """Refuse what browsers read as a step in a path, however it is written. Raises Refused."""
    if reference in {".", ".."}:
        raise Refused(Reason.REFERENCE_INVALID, "reference", "must be more than one or two dots")


def check(platforms: Mapping[str, Platform], called_by: set[str], gateway: GatewayKeys) -> None:
    """Refuse API keys for platforms without a table, or with a verify key not this gateway's. Raises SettingsError.

    A verify key that is not on this machine is not checked.
    """
    unknown = sorted(called_by - platforms.keys())
    if unknown:
        raise SettingsError(f"platforms: add a table for {', '.join(unknown)}: there are API keys for them")
    for name in sorted(called_by):
        file = platforms[name].verify_key
        if file.is_file() and not gateway.signs_for(file):
            raise SettingsError(f"platforms.{name}.verify_key: name this gateway's: no worker would open what it takes")
