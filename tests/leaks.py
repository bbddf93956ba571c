"""Leaks that a careless or hostile colleague could write, and what the audit has to catch each by.

Each is an exact replacement of text in a copy of the package. ``caught_by`` names a cell or a check, and where
it has to find it: other leaks of a group may be found by the same name elsewhere.
"""

import compileall
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 550  # seconds for one audit, on a busy machine


@dataclass(frozen=True)
class Leak:
    """One mistake; ``also`` is what else has to be changed so that the program still works: file, old, new."""

    name: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]  # beginnings of "name" or "name place", one of which must be there
    also: tuple[tuple[str, str, str], ...] = ()
    beside: tuple[str, ...] = ()  # what else it is found by, or spoils: others that need it are planted elsewhere

    @property
    def edits(self) -> list[tuple[str, str, str]]:
        """All replacements."""
        return [(self.file, self.old, self.new), *self.also]


def leak(
    name: str, file: str, old: str, new: str, caught_by: str, *also: tuple[str, str, str], beside: str = ""
) -> Leak:
    """Write a leak down; several ways to be caught stand between bars."""
    ways, others = (tuple(filter(None, map(str.strip, text.split("|")))) for text in (caught_by, beside))
    return Leak(name, file, old, new, ways, also, others)


def after(line: str, *lines: str) -> tuple[str, str]:
    """Return a line, and the same with others of its indentation behind it."""
    indent = line[: len(line) - len(line.lstrip())]
    return line, "\n".join([line, *(indent + one for one in lines)])


def before(line: str, *lines: str) -> tuple[str, str]:
    """Return a line, and the same with others of its indentation in front of it."""
    indent = line[: len(line) - len(line.lstrip())]
    return line, "\n".join([*(indent + one for one in lines), line])


# Where leaks find what they give away.
_TEXT = "        text = Text(order.contact.phone, order.draft.body, order.draft.segments, reference, useful)"
_LEVEL = "        level, place = self._place(sealed.platform, tenant.level, opened.location)"
_NUMBER = '        number = address.uri.removeprefix("tel:")'
_PLACE = "        place = self._places.check(appointment.location)"
_WHEN = "        when, leads = job.to_time(appointment.time), _texts(wanted)"
_ENTRY = '        entry = self._client(caller).seal(Appointment.parse({**fields, "reference": reference}))'
_ADMIT = "        permit, status = self._circuit.admit(), None"
_NOTE = '        return self._notes.leave(sealed, b"" if is_stop else _mark(provider, reply))'
_ATTEMPT = "        self._call.begin(deadline)"
_WAITS = "            if wait else await handler(request, caller)"

LOGS = [
    leak(
        "the number in a log line",
        "delivery.py",
        *after(_TEXT, 'log.info("texting %s", order.contact.phone)'),
        "logs.number records of reminder_worker.delivery",
    ),
    leak(
        "the last four digits in the log",
        "delivery.py",
        *after(_TEXT, 'log.info("sent", extra={"code": text.to[-4:]})'),
        "masked",
    ),
    leak(
        "a number with stars in the log",
        "gate.py",
        *after("        day = claim.now.date()", 'log.info("asked", extra={"code": f"{phone[:8]}****"})'),
        "logs.number records of reminder_worker.gate",
    ),
    leak(
        "the beginning of a place in the log",
        "drafting.py",
        *after(
            "        found = self._find(language)\n        locale = find_locale(language, found.name)",
            'import logging; logging.getLogger("reminder_worker.texts").info("to %s", location[:18])',
        ),
        "logs.place records of reminder_worker.texts",
    ),
    leak(
        "the place in an f-string at DEBUG",
        "worker.py",
        *after(_LEVEL, 'log.debug(f"drafting for {opened.location}")'),
        "logs.place records of reminder_worker.worker",
    ),
    leak(
        "the text in a field that logs may have",
        "providers/twilio.py",
        *after(_ATTEMPT, '_LOG.info("creating", extra={"code": text.body})'),
        "logs.text records of reminder_worker.providers.twilio",
    ),
    leak(
        "the time of an appointment in a log line",
        "client/direct.py",
        *after(_WHEN, "import logging", 'logging.getLogger("reminder_worker.plan").info("at %s", appointment.time)'),
        "logs.time records of reminder_worker.plan",
    ),
    leak(
        "what the web process is called with in the log",
        "api.py",
        *after(
            "        try:  # a batch is counted when it is known how large it is",
            '    log.info("called", extra={"code": request.url.path})',
        ),
        "logs.existence records of reminder_worker.api",
    ),
    leak(
        "the server's access log",
        "serving.py",
        "        access_log=False,",
        "        access_log=True,",
        "logs.existence records of uvicorn.access",
    ),
    leak(
        "a path in the log of requests",
        "access.py",
        '"route": _route(scope)',
        '"route": scope["path"]',
        "logs.existence records of reminder_worker.access",
    ),
    leak(
        "the token of a contact in the log",
        "contacts/http.py",
        *after(_ADMIT, 'log.info("asking", extra={"code": token})'),
        "logs.existence records of reminder_worker.contacts.http",
    ),
    leak(
        "what people write in the log",
        "inbox.py",
        'extra={"provider": provider.name, "state": reading.meaning})',
        'extra={"provider": provider.name, "state": reading.meaning, "code": reply.text})',
        "replies file ear",
    ),
    leak(
        "a provider's webhook in the log",
        "hooks.py",
        *before(
            "        call = self._call(provider, request, body)", 'log.info("heard", extra={"code": body.decode()})'
        ),
        "logs.number records of reminder_worker.hooks",
    ),
    leak(
        "all of a job in the log",
        "contacts/__init__.py",
        *before(
            '    scheme, _, rest = uri.partition(":")',
            'log.info("resolving", extra={"job": {"uri": uri, "language": language}})',
        ),
        "logs.language records of reminder_worker.contacts",
        beside="logs.number records of reminder_worker.contacts",
    ),
    leak(
        "the number written to a stream",
        "contacts/__init__.py",
        *before(
            "        if self._optouts.has(platform, contact.phone):",
            "import os",
            'os.write(1, f"looking up {contact.phone}".encode())',
        ),
        "logs.number file logs/worker.log",
    ),
    leak(
        "the number in a warning",
        "answering.py",
        *before(
            "        match note.meaning:",
            "import warnings",
            'warnings.warn(f"an answer of {note.phone}", stacklevel=1)',
        ),
        "logs.number records of py.warnings",
    ),
    leak(
        "the number as the name of a thread",
        "worker.py",
        *after(_NUMBER, "import threading", "threading.current_thread().name = number"),
        "logs.number records of dramatiq.worker.WorkerThread",
    ),
    leak(
        "tracebacks with local variables",
        "providers/twilio.py",
        *before(
            "            return self._judge(error.code if isinstance(error.code, int) else None)",
            "import os, traceback",
            "told = traceback.TracebackException.from_exception(error, capture_locals=True)",
            'os.write(2, "".join(told.format()).encode())',
        ),
        "logs.text file logs/worker.log",
        beside="logs.number file logs/worker.log",
    ),
    leak(
        "a format of log lines that believes libraries",
        "logs.py",
        '"event": record.msg if ours and _is_event(record.msg) else "library",',
        '"event": record.getMessage(),',
        "log_lines a record of twilio",
    ),
    leak(
        "a field of log lines that takes anything",
        "logs.py",
        "        return value\n    return WITHHELD",
        "        return value\n    return str(value)",
        "log_lines a record of reminder_worker.worker",
    ),
    leak(
        "crashes of threads printed as Python does",
        "logs.py",
        "    threading.excepthook = _report\n",
        "",
        "crashes _thread",
    ),
    leak(
        "the state of the ratchet in the log",
        "worker.py",
        *before("        if keys.behind:", 'log.debug("beat", extra={"code": keys._ratchet.to_file()})'),
        "secrets file ear",
    ),
    leak(
        "the API key in the log",
        "api.py",
        *before(
            "            if caller is None:",
            'log.info("caller", extra={"code": request.headers.get("authorization")})',
        ),
        "secrets file ear",
    ),
]

ERRORS = [
    leak(
        "a provider's words in an error",
        "providers/twilio.py",
        "            return self._judge(error.code if isinstance(error.code, int) else None)",
        "            failure = self._judge(error.code if isinstance(error.code, int) else None)\n"
        "            failure.args = (str(error),)\n            return failure",
        "reprs Rejected",
    ),
    leak(
        "an error that is raised from a provider's",
        "providers/twilio.py",
        "            return self._judge(error.code if isinstance(error.code, int) else None)",
        "            raise self._judge(error.code if isinstance(error.code, int) else None)",
        "reprs Rejected",
    ),
    leak(
        "an error that repeats a time",
        "job.py",
        'raise Refused(Reason.TIME_INVALID, "time", "write RFC 3339 with an offset, such as',
        'raise Refused(Reason.TIME_INVALID, "time", f"{text} is not RFC 3339 with an offset, such as',
        "answers an answer: time_invalid",
        beside="reprs Refused | answers what enqueue prints",
    ),
    leak(
        "an error that repeats a field's name",
        "job.py",
        'return name if isinstance(name, str) and _NAME.fullmatch(name) else "a field"',
        "return str(name)",
        "answers an answer: unknown_field",
        beside="reprs Refused | answers what enqueue prints",
    ),
    leak(
        "an error that repeats a place",
        "places.py",
        'raise _disclosing("discloses a reason or a speciality; give the address")',
        'raise _disclosing(f"{location} discloses a reason or a speciality")',
        "answers an answer: location_discloses",
        beside="reprs Refused | answers what enqueue prints",
    ),
    leak(
        "an error that repeats a path",
        "serving.py",
        '"no such route; see /openapi.json", field,',
        'f"{request.url.path}: no such route; see /openapi.json", field,',
        "answers an answer: not_found",
    ),
    leak(
        "an error that repeats a number",
        "numbers.py",
        'raise Refused(Reason.NUMBER_INVALID, "phone", "there is no such number; check its digits")',
        'raise Refused(Reason.NUMBER_INVALID, "phone", f"there is no number {text}")',
        "reprs Refused",
        beside="answers what enqueue prints",
    ),
    leak(
        "a command that repeats what it cannot read",
        "records/jsonl.py",
        '"is not a JSON object")',
        'f"is not a JSON object: {line!r}")',
        "answers what enqueue prints",
    ),
    leak(
        "a command that names all that it leaves behind",
        "records/__init__.py",
        "plain = name if isinstance(name, str) and job.shown_name(name) == name else None",
        "plain = str(name)",
        "reprs Left",
        beside="answers what enqueue prints",
    ),
    leak(
        "a command that repeats what it was typed with",
        "cli.py",
        r"""_say(re.sub(r" \(.*", "", message).rstrip("."))""",
        "_say(message)",
        "answers what show prints",
    ),
]

ANSWERS = [
    leak(
        "an answer that tells the place again",
        "reception.py",
        *after(_ENTRY, 'vars(self).setdefault("_seen", {})[reference] = fields["location"]'),
        "answers what became of it",
        (
            "reception.py",
            'return {"reference": reference, "reminders": told, "record":',
            'return {"place": vars(self)["_seen"].get(reference), "reference": reference, "reminders": told, "record":',
        ),
    ),
    leak(
        "an answer that gives the pointer back",
        "api.py",
        "        (answer,) = await self._reception.add([entry])\n        return verdicts.answer(answer)",
        "        (answer,) = await self._reception.add([entry])\n"
        '        said = {"result": answer, "pointer": fields["pointer"]}\n'
        "        return verdicts.document(said, verdicts.STATUS[answer])",
        "answers something sealed",
    ),
    leak(
        "answers as long as what they tell",
        "api.py",
        "return verdicts.even(await handle(request), ANSWER[kind])",
        "return await handle(request)",
        "equal_lengths answers 200 to GET",
    ),
    leak(
        "an event that tells the place",
        "reception.py",
        *after(_ENTRY, "from reminder_worker import endpoint", 'endpoint.PLACES[reference] = fields["location"]'),
        "events place",
        ("endpoint.py", "def delay(", "PLACES: dict[str, str] = {}\n\n\ndef delay("),
        (
            "endpoint.py",
            '            "lead": event.lead,\n',
            '            "lead": event.lead,\n            "location": PLACES.get(self.ticket.reference),\n',
        ),
    ),
    leak(
        "events as long as what they tell",
        "endpoint.py",
        "return fill(json.dumps(message).encode(), LENGTH)",
        "return json.dumps(message).encode()",
        "equal_lengths events",
    ),
    leak(
        "questions to a resolver as long as the token",
        "contacts/http.py",
        'msgspec.json.encode({"contact": token}).ljust(LENGTH)',
        'msgspec.json.encode({"contact": token})',
        "equal_lengths questions",
    ),
    leak(
        "platforms named where processes are counted",
        "web.py",
        '    process = serving.Process("web", schedule)',
        '    process = serving.Process("web", schedule)\n'
        '    process.name = "-".join(["web", *chosen.platforms]) + "/1-a"',
        "metrics.practice",
        beside="store.practice value in database 0",
    ),
    leak(
        "the last number shown among the processes",
        "worker.py",
        *after(_NUMBER, 'self._schedule.beat(f"worker/last-{number}")'),
        "metrics.number",
        beside="store.number value in database 0 (zset) | store.existence",
    ),
]

QUEUE = [
    leak(
        "a middleware that keeps tracebacks in messages",
        "startup.py",
        "queue.connect(store.queue_url_of(chosen, url), [pulse])",
        "queue.connect(store.queue_url_of(chosen, url), [pulse, dramatiq.middleware.Retries(max_retries=1)])",
        "middleware Retries",
        beside="equal_lengths queue messages",
    ),
    leak(
        "a middleware that calls back with exceptions",
        "redisqueue.py",
        "            middleware=list(middleware),",
        '            middleware=[*middleware, __import__("dramatiq").middleware.Callbacks()],',
        "middleware Callbacks",
    ),
    leak(
        "one field more in messages",
        "broker.py",
        'fields = {"id": name, "lead": wake.lead, "version": wake.version}',
        'fields = {"id": name, "lead": wake.lead, "version": wake.version, "origin": "scheduler"}',
        "messages a field origin",
        (
            "broker.py",
            "def read(id: str, lead: int, version: int) -> Wake:",
            'def read(id: str, lead: int, version: int, origin: str = "") -> Wake:',
        ),
        (
            "startup.py",
            "    def remind(id: str, lead: int, version: int) -> None:",
            '    def remind(id: str, lead: int, version: int, origin: str = "") -> None:',
        ),
    ),
    leak(
        "an option in messages",
        "broker.py",
        "kwargs=fields, options={}, message_id=filled)",
        'kwargs=fields, options={"label": name}, message_id=filled)',
        "messages a field label",
        ("broker.py", "added == tuple(options) and", 'set(added) <= {"redis_message_id", "label"} and'),
    ),
    leak(
        "messages as long as the version in them",
        "broker.py",
        """filled = f"{uuid4()}{'0' * (_VERSION_DIGITS - len(str(wake.version)))}\"""",
        "filled = str(uuid4())",
        "equal_lengths queue messages",
    ),
]

STORE = [
    leak(
        "an envelope that stays when all is over",
        "lua/ledger.lua",
        "  if left == 0 then\n",
        "  if left == 0 and keep_ms == nil then\n",
        "nothing_left",
    ),
    leak(
        "the place beside the envelope",
        "client/direct.py",
        *after(_WHEN, 'self._schedule.client.hset(self._schedule.prefix(0) + b"places", id_, place)'),
        "store.place value in database 0",
    ),
    leak(
        "the language beside the envelope, compressed",
        "worker.py",
        *after(
            _LEVEL,
            "import zlib",
            "packed = zlib.compress(contact.language.encode())",
            'self._schedule.client.hset(b"rw:{0}:packed", sealed.id, packed)',
        ),
        "store.language value in database 0",
    ),
    leak(
        "a counter for each place",
        "worker.py",
        *after(_LEVEL, 'self._schedule.client.incr(f"rw:{{0}}:places:{opened.location}")'),
        "store.place key in database 0",
    ),
    leak(
        "appointments sorted by their time",
        "client/direct.py",
        *after(
            _WHEN,
            "score = {id_: appointment.time.timestamp()}",
            'self._schedule.client.zadd(self._schedule.prefix(0) + b"times", score)',
        ),
        "store.time value in database 0",
    ),
    leak(
        "a key that ends with the appointment",
        "worker.py",
        *after(_LEVEL, 'self._schedule.client.set(b"rw:{0}:s:" + sealed.id, b"1", exat=int(opened.time.timestamp()))'),
        "store.time end of a key in database 0",
    ),
    leak(
        "how long a text is of use in a command",
        "delivery.py",
        "provider.name, reference, lease=LEASE, template=edition)",
        "provider.name, reference, lease=order.expires - claim.now, template=edition)",
        "spans at",
    ),
    leak(
        "due times that are the appointment's, as long as they are far ahead",
        "client/direct.py",
        "return Entry(id_, tag, envelope, tuple(ahead.get(slot.lead) for slot in every))",
        "dues = (ahead.get(slot.lead) for slot in every)\n"
        "        return Entry(id_, tag, envelope, tuple(due and max(due, now) if not due or (due - now).days < 1 "
        "else appointment.time for due in dues))",
        "store.time value in database 0",
    ),
    leak(
        "the language as the name of the templates",
        "drafting.py",
        "_spellings(texts), self.edition)",
        "_spellings(texts), language)",
        "store.language value in database 0",
        beside="answers what became of it | events",
    ),
    leak(
        "which language's template was used",
        "drafting.py",
        "_spellings(texts), self.edition)",
        '_spellings(texts), language.partition("-")[0])',
        "languages value in database 0",
        beside="answers what became of it",
    ),
    leak(
        "references that are not sealed",
        "gateway.py",
        "return self._box().encrypt(pad(content, size), _nonce(id_)).ciphertext",
        "return pad(content, size)",
        "store.existence value in database 0",
        beside="events | store.practice value in database 0",
    ),
    leak(
        "tickets as long as a reference",
        "gateway.py",
        "encrypt(pad(content, size), _nonce(id_))",
        "encrypt(pad(content, len(content) + 1), _nonce(id_))",
        "equal_lengths appointments",
    ),
    leak(
        "the platform's name in the store",
        "gate.py",
        'self._tags.today(day, "platform", platform),',
        "platform.encode(),",
        "store.practice key in database 0",
    ),
    leak(
        "the number in the store's list of what was heard",
        "inbox.py",
        *before(_NOTE, 'self._schedule.client.rpush(b"rw:{0}:heard", f"{reply.sender} {reading.meaning}")'),
        "store.number value in database 0 (list)",
        beside="store.existence",
    ),
    leak(
        "what people write in the store",
        "inbox.py",
        *before(_NOTE, 'self._schedule.client.rpush(b"rw:{0}:words", reply.text)'),
        "replies value in database 0",
    ),
    leak(
        "whom a receipt was for in the row",
        "providers/twilio.py",
        "return Receipt(check_path(request), status, message_id,",
        """return Receipt(check_path(request), status, f"{message_id}|{form['To']}",""",
        "store.number value in database 0 (hash)",
        ("receipts.py", 'name = receipt.provider_message_id if forgets else ""', "name = receipt.provider_message_id"),
        beside="store.existence",
    ),
    leak(
        "a provider's words in the row",
        "providers/twilio.py",
        *after("        except (TwilioRestException, TwilioServiceException) as error:", "    self.words = str(error)"),
        "store.reason value in database 0",
        (
            "delivery.py",
            "        outcome = refused(error.reason) if final else Outcome.closed(error.reason)",
            '        outcome = (refused if final else Outcome.closed)(getattr(provider, "words", error.reason))',
        ),
        beside="store.number value in database 0 (hash) | store.place | store.text | store.existence",
    ),
]

KEYS = [
    leak(
        "ids that are no more than a hash",
        "sealing.py",
        'hashlib.blake2b(reference.encode(), digest_size=16, key=platform.index, person=b"rw-id")',
        'hashlib.blake2b(reference.encode(), digest_size=16, person=b"rw-id")',
        "keyed id",
        beside="store.existence",
    ),
    leak(
        "an opt-out list without a pepper",
        "optouts.py",
        "_person(scope), self._pepper)",
        '_person(scope), b"")',
        "keyed tag of an opt-out",
    ),
    leak(
        "tags of phones that are the same on all days",
        "optouts.py",
        'b"rw-today", self._daily(day))',
        'b"rw-today", self._pepper)',
        "keyed a phone's tag",
    ),
    leak(
        "tags of phones without a pepper",
        "optouts.py",
        'b"rw-today", self._daily(day))',
        'b"rw-today", day.isoformat().encode())',
        "keyed tag of a day",
    ),
    leak(
        "the sender's number in the store",
        "optouts.py",
        'return self._hash(sender.encode(), b"rw-sender", self._pepper).hex() if sender else ""',
        "return sender",
        "keyed tag of a sender",
    ),
    leak(
        "tags of platforms that are no more than a hash",
        "gateway.py",
        'return self._derive(pae(kind.encode(), name.encode()), b"rw-gateway-tag")[:16]',
        'return hashlib.blake2b(pae(kind.encode(), name.encode()), person=b"rw-gateway-tag").digest()[:16]',
        "keyed tag of a platform",
    ),
    leak(
        "envelopes as long as what is in them",
        "sealing.py",
        "return VERSION + kid(key) + crypto_box_seal(pad(content, size), key)",
        "length = len(content) + 1 if size == ENVELOPE_CONTENT else size\n"
        "    return VERSION + kid(key) + crypto_box_seal(pad(content, length), key)",
        "equal_lengths appointments",
        (
            "opening.py",
            "content = _unseal(box, envelope, ENVELOPE_BYTES)",
            "content = _unseal(box, envelope, len(envelope))",
        ),
        beside="forward_secrecy",
    ),
    leak(
        "notes as long as what is in them",
        "notes.py",
        "return seal(public.envelope_key(now), content, NOTE_CONTENT)",
        "return seal(public.envelope_key(now), content, len(content) + 1)",
        "equal_lengths notes",
        ("opening.py", "content = _unseal(box, note, NOTE_BYTES)", "content = _unseal(box, note, len(note))"),
    ),
    leak(
        "sealing that gives the same for the same",
        "sealing.py",
        "return VERSION + kid(key) + crypto_box_seal(pad(content, size), key)",
        "from nacl import bindings\n"
        "    own = hashlib.blake2b(content, digest_size=32).digest()\n"
        "    shown = bindings.crypto_scalarmult_base(own)\n"
        "    nonce = hashlib.blake2b(shown + key, digest_size=24).digest()\n"
        "    return VERSION + kid(key) + shown + bindings.crypto_box(pad(content, size), nonce, key, own)",
        "sealed_afresh of a pointer",
    ),
    leak(
        "sealing with one key for all",
        "sealing.py",
        "return VERSION + kid(key) + crypto_box_seal(pad(content, size), key)",
        "from nacl import bindings\n"
        "    own = bytes(range(32))\n"
        "    shown = bindings.crypto_scalarmult_base(own)\n"
        "    nonce = hashlib.blake2b(shown + key, digest_size=24).digest()\n"
        "    return VERSION + kid(key) + shown + bindings.crypto_box(pad(content, size), nonce, key, own)",
        "sealed_afresh of sent",
    ),
    leak(
        "a ratchet that never forgets",
        "ratchet.py",
        "    return ratchet.at(max(oldest, ratchet.week))",
        "    return ratchet",
        "forward_secrecy keys of a month later",
    ),
    leak(
        "keys that other users can read",
        "keyfiles.py",
        "PRIVATE = 0o600",
        "PRIVATE = 0o644",
        "key_files worker/worker.pointer.1.key",
        ("findings.py", "if path.is_file() and not is_private(path):", "if path.is_file() and False:"),
        ("apikeys.py", "    if not is_private(path):", "    if False:"),
        ("ops/operators.py", "    if not is_private(path):", "    if False:"),
    ),
]

MACHINE = [
    leak(
        "files that other users can read",
        "confinement.py",
        "    os.umask(0o077)\n",
        "",
        "key_files files that web makes",
    ),
    leak(
        "core dumps",
        "confinement.py",
        "    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n",
        "    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, resource.getrlimit(resource.RLIMIT_CORE)[1]))\n",
        "core_dumps web may write",
    ),
    leak(
        "memory that other processes of the user can read",
        "confinement.py",
        "prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)",
        "prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)",
        "core_dumps a process",
    ),
    leak(
        "a token in the environment",
        "cli.py",
        *before(
            "    sharing.share(chosen)",
            'os.environ["RW_TOKEN"] = Path("twilio.token").read_text()',
        ),
        "doings os.putenv",
    ),
    leak(
        "the number in another program's command line",
        "delivery.py",
        *after(_TEXT, "import subprocess", 'subprocess.run(["true", order.contact.phone], check=False)'),
        "doings subprocess.Popen",
    ),
    leak(
        "the text in a shell's command line",
        "delivery.py",
        *after(_TEXT, "import os", 'os.system(f": {order.draft.body!r}")'),
        "doings os.system",
    ),
    leak(
        "a temporary file that stays",
        "worker.py",
        *after(
            _LEVEL,
            "import os, tempfile",
            'os.write(tempfile.mkstemp(suffix=".draft")[0], opened.location.encode())',
        ),
        "temporary_files file tmp",
    ),
    leak(
        "a temporary file that goes at once",
        "worker.py",
        *after(
            _LEVEL,
            "import tempfile",
            'with tempfile.NamedTemporaryFile(suffix=".short") as draft:',
            "    draft.write(opened.location.encode())",
        ),
        "files_written write .short",
    ),
    leak(
        "a file with all that was sent",
        "delivery.py",
        *after(
            _TEXT,
            "from pathlib import Path",
            'with Path("sent.jsonl").open("a") as kept:',
            '    kept.write(f"{text.to} {text.body}")',
        ),
        "files_written write .jsonl",
    ),
    leak(
        "a file in a folder of the web process",
        "reception.py",
        *after(_ENTRY, "from pathlib import Path", 'Path("last.txt").write_text(f"{fields}")'),
        "web.place file web/last.txt",
    ),
    leak(
        "the network without TLS",
        "https.py",
        'if parts.scheme == "http" and not _is_this_machine(parts.hostname):',
        'if parts.scheme == "http" and not parts.hostname:',
        "tls a URL",
    ),
    leak(
        "certificates that nobody looks at",
        "sockets.py",
        *after(
            "    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)",
            "context.check_hostname = False",
            "context.verify_mode = ssl.CERT_NONE",
        ),
        "tls a certificate",
    ),
    leak(
        "numbers sent to a collector of metrics",
        "delivery.py",
        *after(
            _TEXT,
            "import socket",
            "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:",
            '    out.sendto(b"sent:1|c", ("127.0.0.1", 8125))',
        ),
        "connections socket.sendto",
    ),
    leak(
        "names looked up that nobody asked for",
        "worker.py",
        *after(
            _NUMBER,
            "import contextlib, socket",
            "with contextlib.suppress(OSError):",
            '    socket.getaddrinfo(f"n{number[1:]}.invalid", 53)',
        ),
        "doings socket.getaddrinfo",
    ),
]


def shown(kind: str, file: str, line: str) -> Leak:
    """Return the leak of a field that its object shows."""
    new = line.replace(" = field(repr=False)", "").replace("default=None, repr=False", "default=None")
    assert new != line
    return leak(f"{kind} that shows its {line.partition(':')[0].strip()}", file, line, new, f"reprs {kind}")


REPRS = [
    shown("Contact", "contacts/__init__.py", "    phone: str = field(repr=False)  # E.164"),
    shown("Text", "providers/__init__.py", "    body: str = field(repr=False)\n"),
    shown("Reply", "providers/__init__.py", "    sender: str = field(repr=False)  # E.164"),
    shown("Draft", "drafting.py", "    body: str = field(repr=False)\n"),
    shown("Order", "delivery.py", "    expires: datetime = field(repr=False)"),
    shown("Body", "encoding.py", "    location: str = field(repr=False)  # one line, NFC"),
    shown("Time", "encoding.py", "    seconds: int = field(repr=False)  # since 1970, UTC"),
    shown("Address", "opening.py", '    uri: str = field(repr=False)  # "tel:+…" or "contact:…"'),
    shown("Note", "notes.py", "    phone: str = field(repr=False)"),
    shown("Job", "job.py", "    location: str = field(repr=False)"),
    shown("Appointment", "client/appointment.py", "    location: str = field(repr=False)"),
    shown("Slot", "plan.py", "    expires: datetime = field(repr=False)  # tells the appointment's time"),
    shown("Ticket", "gateway.py", "    reference: str = field(repr=False)"),
    leak(
        "GatewayKeys that show a key",
        "gateway.py",
        "    index: bytes = field(repr=False)\n",
        "    index: bytes\n",
        "secrets file ear",
    ),
    leak(
        "Found that shows a person",
        "contacts/http.py",
        'return "Found()"',
        'return f"Found({self.phone})"',
        "reprs Found",
    ),
    leak(
        "WebhookRequest that shows its body",
        "webhooks.py",
        "    body: bytes = field(repr=False)",
        "    body: bytes",
        "reprs WebhookRequest ",
    ),
]

LEAKS: Sequence[Leak] = [*LOGS, *ERRORS, *ANSWERS, *QUEUE, *STORE, *KEYS, *MACHINE, *REPRS]


def plant(folder: Path, leaks: Iterable[Leak]) -> Path:
    """Copy the package into a folder, with leaks, and compile it once: an audit's processes write no bytecode."""
    for name in ("reminder_worker", "templates"):
        shutil.copytree(ROOT / name, folder / name)
    for one in leaks:
        for file, old, new in one.edits:
            path = folder / "reminder_worker" / file
            text = path.read_text()
            assert text.count(old) == 1, f"{one.name}: {file} has it {text.count(old)} times: {old}"
            path.write_text(text.replace(old, new))
    compileall.compile_dir(folder / "reminder_worker", quiet=1)
    return folder


def audit(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Begin the audit of a copy."""
    return subprocess.Popen(
        [sys.executable, "-m", "reminder_worker.cli", "audit", "--json"],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def caught(said: str) -> set[str]:
    """Return the names of what an audit found to be amiss, alone and with each place."""
    document = json.loads(said)
    amiss = [one for one in document["cells"] if one["worse"]] + [one for one in document["checks"] if not one["ok"]]
    return {name for one in amiss for name in (one["check"], *(f"{one['check']} {place}" for place in one["found_in"]))}


def ways(one: Leak, found: Iterable[str]) -> list[str]:
    """Return by what a leak was caught that was to catch it."""
    return sorted(name for name in found if name.startswith(one.caught_by))


def groups(leaks: Iterable[Leak]) -> list[list[Leak]]:
    """Put leaks together that change other texts, and are caught by other names."""
    known, made = list(leaks), list[list[Leak]]()
    for one in sorted(known, key=lambda one: -sum(_collide(one, other) for other in known)):
        free = (group for group in made if not any(_collide(one, other) for other in group))
        group = next(free, None)
        if group is None:
            made.append([one])
        else:
            group.append(one)
    return made


def _mix(one: Leak, other: Leak) -> bool:
    """Tell whether what catches one leak could be the other's doing."""
    doings = other.caught_by + other.beside
    return any(way.startswith(its) or its.startswith(way) for way in one.caught_by for its in doings)


def _collide(one: Leak, other: Leak) -> bool:
    return (
        _mix(one, other)
        or _mix(other, one)
        or any(
            file == its_file and (old in its_old or its_old in old) and not (old in its_new and its_old in new)
            for file, old, new in one.edits
            for its_file, its_old, its_new in other.edits
        )
    )
