"""What each party really holds, read from where it is at this moment: a file, a log, a connection to the store."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from examples.booking.errands import PLATFORM
from reminder_worker import store
from reminder_worker.audit.writings import SHORTEST, phone_writings, writings
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.ledger import ID_BYTES, name_of
from reminder_worker.receipts import member_of
from reminder_worker.sealing import make_id

LINES = 200  # of a log
DIGITS = 9  # of a number, without country and zeros


class Holdings:
    """Looks everywhere at once, which none of the processes can; it has the gateway's key, to compute ids."""

    def __init__(self, told):
        self._folder = Path(told["folder"])
        self._database = self._folder / "site/booking.db"
        self._outbox = Path(told["outbox"])
        self._redis = store.connect(told["store"])
        self._platform = GatewayKeys.load(self._folder / "web/keys").platform(PLATFORM, Mode.LIVE)

    def appointments(self):
        """Return ids, practices and slots, the newest first: what there is to choose from."""
        return self._query("SELECT id, practice, slot, cancelled FROM appointments ORDER BY rowid DESC LIMIT 50")

    def look(self, reference):
        """Return what each party holds for one appointment."""
        id_ = make_id(self._platform, reference)
        texts = [line for line in self._texts() if (member_of(line["reference"]) or b"")[:ID_BYTES] == id_]
        return {
            "names": [name_of(id_ + b"\0"), id_.hex()],
            "database": self._query("SELECT * FROM appointments WHERE id = ?", reference),
            "events": self._query("SELECT * FROM events WHERE appointment = ? ORDER BY at", reference),
            "site": tail(self._folder / "site/site.log", reference),
            "store": self._keys(id_),
            "worker": tail(self._folder / "worker/worker.log"),
            "provider": [json.dumps(line, ensure_ascii=False) for line in texts],
            "phone": [{"text": line["text"], "at": line["at"]} for line in texts],
        }

    def search(self, text):
        """Count for each party the places in its holdings that contain a text, in clear or merely encoded."""
        wanted = {form for form in _forms(text) if len(form) >= SHORTEST}
        held = {
            "database": self._read("site/booking.db*"),
            "site": self._read("site/site.log"),
            "store": [*self._everything(), *self._read("valkey/**/*")],
            "worker": self._read("worker/*.log", "web/*.log", "hooks/*.log", "scheduler/*.log"),
            "provider": self._read("provider/*"),
        }
        return {party: sum(any(form in piece for form in wanted) for piece in pieces) for party, pieces in held.items()}

    def _query(self, query, *values):
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]

    def _texts(self):
        lines = self._outbox.read_text("utf-8").splitlines() if self._outbox.exists() else []
        return [json.loads(line) for line in lines]

    def _keys(self, id_):
        """Return the keys that are this appointment's or name it, and the names of all keys."""
        keys = sorted(self._redis.scan_iter(count=1000))
        own = [shown for key in keys for shown in self._shown(key, id_)]
        return {"keys": own, "all": [printable(key) for key in keys]}

    def _shown(self, key, id_):
        kind = self._redis.type(key)
        if id_ in key:
            value = self._redis.get(key) if kind == b"string" else self._pairs(self._redis.hgetall(key))
            yield {"key": printable(key), "kind": kind.decode(), "value": dump(value or b"")}
        elif kind == b"zset":
            found = [(member, score) for member, score in self._redis.zscan_iter(key) if id_ in member]
            for member, score in found:
                yield {"key": printable(key), "kind": f"zset, score {score:.0f}", "value": dump(member)}

    @staticmethod
    def _pairs(fields):
        return b"\n".join(name + b" " + value for name, value in fields.items())

    def _everything(self):
        for key in self._redis.scan_iter(count=1000):
            yield key
            yield self._redis.dump(key) or b""

    def _read(self, *patterns):
        paths = (path for pattern in patterns for path in self._folder.glob(pattern) if path.is_file())
        return [path.read_bytes() for path in paths]


def _forms(text):
    """Return the forms of a text: plain, escaped, in base64, hashed; for a number, its usual notations too."""
    found = writings(text.strip()) | set().union(*(writings(word) for word in text.split() if len(word) > SHORTEST))
    digits = re.sub(r"[\s()./+-]", "", text)
    if digits.isdigit() and len(digits) >= DIGITS:
        found |= writings(digits[-DIGITS:]) | phone_writings(f"+33{digits[-DIGITS:]}")
    return found


def tail(path, word=""):
    """Return the last lines of a log that hold a word, as they are."""
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if word in line]
    return {"lines": lines[-LINES:], "more": max(0, len(lines) - LINES)}


def printable(data):
    """Write bytes as text, and each byte that is not text as two hexadecimal digits."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data)


def dump(data):
    """Write bytes as hexadecimal digits and, beside them, as text."""
    rows = (data[start : start + 16] for start in range(0, len(data), 16))
    return "\n".join(f"{row.hex(' '):<47}  {''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}" for row in rows)
