"""What the ledger's scripts have to do, told once more in plain Python; times are milliseconds."""

from collections import Counter
from dataclasses import dataclass, field

LIVE = {"queued", "claimed"}
ARRIVED = {"delivered", "undelivered"}
DAY = 86_400_000
TEN = 600_000
GIVEN_UP = -2


@dataclass
class Row:
    """One lead of an appointment."""

    due: int
    member: bytes
    state: str = "scheduled"
    turn: bool = False  # it waits for its turn at a provider: ``due`` is when that comes
    until: int = 0  # the end of a lease, the next look, or since when a dead letter lies there
    version: int | None = None  # of the appointment, noted when it was taken
    token: bytes | None = None
    provider: str = ""
    ref: str = ""
    reason: str = ""
    ended: int | None = None
    wakes: int = 0
    claims: int = 0
    looks: int = 0
    tries: int = 0
    attempts: int = 0
    asked: int = 0
    message: str = ""
    reply: str = ""
    replied: int = 0
    answered: int = 0
    act: bytes = b""  # the last decision about it
    held: bool = False  # its envelope is kept for a person, since the store was put back
    earlier: dict[str, str] = field(default_factory=dict)  # provider of each attempt before the last, by reference

    @property
    def worth_it(self) -> bool:
        """Tell whether the same may be handed in again."""
        return self.state == "rejected" or (self.state == "cancelled" and self.reason == "contact_gone")

    @property
    def open(self) -> bool:
        return self.ended is None and self.state != "passed"

    @property
    def needs_envelope(self) -> bool:
        return self.open or self.held


@dataclass
class Appointment:
    """One version of an appointment; no tag: it was cancelled, and may be added again."""

    version: int
    tag: bytes | None
    envelope: bytes
    ticket: bytes = b""
    rows: list[Row] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return any(row.needs_envelope for row in self.rows)


class Model:
    """The ledger of all shards; every method answers what the script of its name answers."""

    def __init__(self, now: int, shards: int, *, lease: int, most_claims: int, keep_dead: int) -> None:
        self.now, self.shards = now, shards
        self.appointments: dict[bytes, Appointment] = {}
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.forget: dict[tuple[int, str], int] = {}  # texts to be removed by their providers, and when, by shard
        self.events: dict[bytes, int] = {}  # what platforms are still to be told, and when
        self.dropped = 0
        self.held: dict[bytes, int] = {}  # when envelopes go that are kept for a person
        self.restored: dict[int, int] = {}  # until when what is handed in may have been sent, by shard
        self.acts: Counter[tuple[str, str, bytes]] = Counter()  # decisions: what, of what, about which reminder
        self._lease, self._most_claims, self._keep_dead = lease, most_claims, keep_dead

    def rows(self, shard: int, shards: int) -> dict[bytes, Row]:
        """Return the reminders of a shard by what stands for them in Redis."""
        mine = ((id_, found) for id_, found in self.appointments.items() if id_[0] % shards == shard)
        return {id_ + bytes([lead]): row for id_, found in mine for lead, row in enumerate(found.rows)}

    def add(self, id_: bytes, tag: bytes, envelope: bytes, dues: list[int], ticket: bytes = b"") -> str:
        old = self.appointments.get(id_)
        same = old is not None and old.tag is not None and old.tag[8:] == tag[8:] and len(old.rows) == len(dues)
        rows = [self._plan(old.rows[lead] if same else None, due, id_, lead) for lead, due in enumerate(dues)]
        if old and (
            not any(row.open for row in rows) or (old.tag == tag and not any(row.worth_it for row in old.rows))
        ):
            old.ticket = old.ticket or ticket
            return "unchanged"
        if old and any(row.state == "sending" for row in old.rows):
            return "in_flight"
        version = old.version + 1 if old else 1
        ticket = ticket or (old.ticket if old else b"")
        for row in rows:
            row.held = False
        self.appointments[id_] = Appointment(version, tag, envelope, ticket, rows)
        return "moved" if old else "added"

    def _plan(self, old: Row | None, due: int, id_: bytes, lead: int) -> Row:
        """Plan a lead anew; ``old`` is what became of it where nothing but the pointer is another one."""
        if old and (old.state in {"sent", "unknown"} | ARRIVED or (due < 0 and not old.open)):
            return old
        if old and due < 0:
            due = self.now
        return Row(due, id_ + bytes([lead]), "passed" if due < 0 else "scheduled")

    def cancel(self, id_: bytes) -> str:
        found = self.appointments.get(id_)
        if found is None:
            return "missing"
        if found.tag is None:
            return "cancelled"
        if any(row.state == "sending" for row in found.rows):
            return "in_flight"
        if not found.open:
            return "ended"
        for row in found.rows:
            if row.open:
                self._finish(row, "cancelled", "cancelled")
            row.held = False
        found.tag = None
        return "cancelled"

    def take(self, shard: int, shards: int, most: int, capacity: int) -> list[tuple[bytes, int]]:
        rows = self.rows(shard, shards)
        room = max(0, min(most, capacity - sum(row.state in LIVE for row in rows.values())))
        due = sorted((not row.turn, row.due, member) for member, row in rows.items() if row.state == "scheduled")
        taken = [member for _, when, member in due if when <= self.now][:room]
        for member in taken:
            row = rows[member]
            row.state, row.until, row.wakes, row.turn = "queued", self.now + self._lease, 1, False
            row.version = self.appointments[member[:16]].version
        return [(member, self.appointments[member[:16]].version) for member in taken]

    def claim(self, row: Row | None, version: int, token: bytes, lease: int) -> str:
        if row is None or row.version != version:
            return "no"
        if row.state == "sending" and row.looks:
            return "look"
        if row.state == "queued":
            row.state, row.token, row.until = "claimed", token, self.now + lease
            row.claims += 1
            return "claimed"
        return "claimed" if row.state == "claimed" and row.token == token else "no"

    def intend(self, row: Row | None, token: bytes, provider: str, ref: str, lease: int) -> str:
        if row is None or (row.ref == ref and row.state != "sending") or ref in row.earlier:
            return "lost"
        if row.ref == ref:
            return "ok"
        if row.state != "claimed" or row.token != token:
            return "lost"
        if row.ref:
            row.earlier[row.ref] = row.provider
        row.state, row.provider, row.ref, row.until, row.looks = "sending", provider, ref, self.now + lease, 0
        row.asked = self.now
        row.attempts += 1
        return "ok"

    def prove(self, row: Row | None, ref: str, by: str, state: str, reason: str, message: str, forget: int) -> int:
        if row is None or not ref or (ref != row.ref and ref not in row.earlier):
            return 0
        provider = row.provider if ref == row.ref else row.earlier[ref]
        if by not in {"", provider}:
            return 0
        accepted = row.state == "sent" or row.state in ARRIVED

        def leave(name: str, at: int) -> None:
            if forget >= 0 and name:
                self.forget[row.member[0] % self.shards, f"{row.asked // DAY}|{provider}|{name}"] = at

        if state == "undelivered" and (ref != row.ref or not (accepted or row.state in {"sending", "unknown"})):
            leave(message, self.now)
            return 0
        if accepted and ref != row.ref:
            leave(message, self.now if state in ARRIVED else self.now + forget)
            return 2
        news = row.state not in ARRIVED and not (accepted and state == "sent")
        if news:
            self._finish(row, state, reason, provider)
            if ref != row.ref:
                row.earlier[row.ref] = row.provider
                row.ref, row.provider = ref, row.earlier.pop(ref)
        named = bool(row.message)
        row.message = row.message or message
        if news or not named:
            leave(row.message, self.now if row.state in ARRIVED else self.now + forget)
        return 1 if news else 3

    def settle(
        self, row: Row | None, token: bytes, ref: str, kind: str, reason: str, delay: int, message: str, forget: int
    ) -> bool:
        if row is None:
            return False
        if kind == "sent":
            return bool(self.prove(row, ref, "", kind, reason, message, forget))
        is_open = row.state == "sending" and ref != "" and row.ref == ref
        is_held = row.state == "claimed" and token != b"" and row.token == token
        if not is_open and not is_held:
            return row.state == kind or (row.state == "dead" and kind == "failed")
        if kind == "closed":
            row.state, row.reason, row.until, row.looks = "claimed", reason, self.now + delay, 0
        elif kind in {"retry", "hold"}:
            row.state, row.reason, row.due, row.token = "scheduled", reason, self.now + delay, None
            row.wakes = row.claims = row.looks = 0
            row.tries += kind == "retry"
            row.turn = kind == "hold" and reason == "rate_limited"
        elif reason == "restored":
            self._hold(row)
        else:
            self._finish(row, kind, reason)
        return True

    def receipt(self, row: Row | None, ref: str, by: str, state: str, message: str, forget: int) -> int:
        if row and row.reason == "restored" and ref and by and ref not in {row.ref, *row.earlier}:
            if row.ref:
                row.earlier[row.ref] = row.provider
            self._count(row.ended, "unknown", row.provider, -1)
            row.ref, row.provider, row.asked = ref, by, row.asked or self.now
            self._count(row.ended, "unknown", by, 1)
        return self.prove(row, ref, by, state, "", message, forget)

    def sent_until(self, row: Row) -> int:
        return 0 if row.act or row.reason else self.restored.get(row.member[0] % self.shards, 0)

    def quarantine(self, shard: int, shards: int, most: int, until: int) -> list[int]:
        self.restored[shard] = max(self.restored.get(shard, 0), until)
        rows, numbers = self.rows(shard, shards), []
        scheduled = sorted((row.turn, row.due, member) for member, row in rows.items() if row.state == "scheduled")
        found = [[member for turn, due, member in scheduled if turn or due <= until][:most]]
        due = sum(not rows[member].turn for member in found[0])
        for row in map(rows.__getitem__, found[0]):
            row.version = self.appointments[row.member[:16]].version
        for states in (LIVE, {"sending"}, {"dead"}):
            room = most - sum(map(len, found))
            ordered = sorted((row.until, member) for member, row in rows.items() if row.state in states)
            found.append([member for _, member in ordered][:room])
        for some in found:
            numbers.append(len(some))
            for member in some:
                self._hold(rows[member])
        return [*numbers, due]

    def _hold(self, row: Row) -> None:
        self._finish(row, "unknown", "restored")
        row.held, self.held[row.member] = True, self.now + self._keep_dead

    def sweep(self, shard: int, shards: int, most: int) -> list[tuple[bytes, int]]:
        rows, wake = self.rows(shard, shards), []
        for member, row in self._ended(rows, LIVE, self.now, most):
            if row.state == "claimed" and row.claims >= self._most_claims:
                row.state, row.until, row.reason = "dead", self.now, "poison"
            else:
                row.state, row.token, row.wakes = "queued", None, row.wakes + 1
                row.until = self.now + self._slower(row.wakes - 1)
                wake.append((member, row.version))
        for member, row in self._ended(rows, {"sending"}, self.now, most):
            row.looks += 1
            row.until = self.now + self._slower(row.looks - 1, 3)
            wake.append((member, row.version))
        for _, row in self._ended(rows, {"dead"}, self.now - self._keep_dead, most):
            self._finish(row, "failed", "poison")
        kept = sorted((at, member) for member, at in self.held.items() if member[0] % shards == shard)
        for _, member in [one for one in kept if one[0] <= self.now][:most]:
            del self.held[member]
            if member in rows and rows[member].state == "unknown":
                rows[member].held = False
        return wake

    def decide(self, row: Row | None, since: int, act: bytes, decision: str) -> str:
        if row is not None and row.act == act:
            return "done"
        waits = row is not None and row.state in {"dead", "unknown"}
        if row is None or not waits or since != (row.ended if row.state == "unknown" else row.until):
            return "settled"
        if row.state == "unknown" and decision == "retry":
            return "in_doubt"
        if row.state == "dead" and decision in {"sent", "failed"}:
            return "certain"
        was = row.state
        if decision in {"retry", "resend"}:
            if not self.appointments[row.member[:16]].open:
                return "gone"
            if row.ended is not None:
                self._count(row.ended, row.state, row.provider, -1)
            row.state, row.reason, row.ended, row.token, row.due = "scheduled", "", None, None, self.now
            row.held = False
            row.wakes = row.claims = row.looks = 0
        elif decision == "drop":
            self._finish(row, "failed", "dropped")
        else:
            self._finish(row, decision, "resolved")
        row.act = act
        self.acts[decision, {"dead": "dead_letter"}.get(was, was), row.member] += 1
        return "done"

    def reply(self, row: Row | None, version: int, word: str, number: int) -> int:
        awaits = {"sending", "unknown", "sent"} | ARRIVED
        if row is None or row.version != version or row.state not in awaits:
            return 0
        if row.replied <= number:
            if row.reply != word:
                self._announce(row, word, "")
            row.reply, row.replied, row.answered = word, number, self.now
        return 1

    def _slower(self, times: int, slowest: int = 6) -> int:
        return self._lease * 2 ** min(times, slowest)

    def _ended(self, rows: dict[bytes, Row], states: set[str], before: int, most: int) -> list[tuple[bytes, Row]]:
        found = sorted((row.until, member) for member, row in rows.items() if row.state in states)
        return [(member, rows[member]) for until, member in found if until <= before][:most]

    def _finish(self, row: Row, state: str, reason: str, by: str = "") -> None:
        if row.ended is not None:
            self._count(row.ended, row.state, row.provider, -1)
        row.state, row.reason, row.ended, row.token, row.held = state, reason, self.now, None, False
        row.turn = False
        row.wakes = row.claims = row.looks = 0
        self._count(self.now, state, by or row.provider, 1)
        if reason != "cancelled":
            self._announce(row, state, reason)

    def _count(self, at: int, state: str, provider: str, by: int) -> None:
        self.counts[f"{at // DAY}", state, provider] += by
        if self.now - at < DAY:
            self.counts[f"t{at // TEN}", state, provider] += by

    def _announce(self, row: Row, what: str, reason: str, at: int | None = None, version: int | None = None) -> None:
        found = self.appointments[row.member[:16]]
        if found.ticket:
            name = f"{version or found.version}|{at or self.now}|{what}|{reason}|{self.now}"
            self.events[row.member + name.encode()] = self.now

    def tell(self, shard: int, most: int, lease: int) -> list[bytes]:
        waiting = sorted((at, name) for name, at in self.events.items() if name[0] % self.shards == shard)
        taken = [name for at, name in waiting if at <= self.now][:most]
        self.events |= dict.fromkeys(taken, self.now + lease)
        return taken

    def told(self, name: bytes, delay: int) -> None:
        if delay >= 0 and name in self.events:
            self.events[name] = self.now + delay
        elif delay < 0 and self.events.pop(name, None) is not None:
            self.dropped += delay == GIVEN_UP

    def retell(self, span: int) -> None:
        for found in self.appointments.values():
            for row in found.rows:
                if row.ended is not None and row.ended >= self.now - span:
                    self._announce(row, row.state, row.reason, row.ended, row.version)
                if row.reply and row.answered >= self.now - span:
                    self._announce(row, row.reply, "", row.answered, row.version)
