"""The platform's database: who holds which slot, by opaque ids, and sealed texts that it cannot open.

There is no column for a name, a reason or a number. ``told`` is the version that the reminder worker knows: a row
ahead of it is an errand still to be run, whatever has been restarted meanwhile.
"""

import contextlib
import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS appointments (
  id          TEXT PRIMARY KEY,
  practice    TEXT NOT NULL,
  slot        TEXT NOT NULL,
  lead        TEXT NOT NULL,               -- how long before the slot the text goes out
  card        TEXT NOT NULL,               -- name and reason, sealed to the practice
  pointer     TEXT NOT NULL,               -- number and language, sealed to the reminder worker
  link_hash   TEXT NOT NULL,               -- of the secret in the patient's link
  cancelled   INTEGER NOT NULL DEFAULT 0,
  version     INTEGER NOT NULL DEFAULT 1,
  told        INTEGER NOT NULL DEFAULT 0,
  answer      TEXT                         -- what the reminder worker's gateway said last
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS taken ON appointments (practice, slot) WHERE NOT cancelled;
CREATE TABLE IF NOT EXISTS events (
  webhook_id  TEXT PRIMARY KEY,
  appointment TEXT NOT NULL,
  type        TEXT NOT NULL,
  at          TEXT NOT NULL
) STRICT;
"""


class SlotTaken(Exception):
    """Another appointment has this slot or this id."""


class Register:
    def __init__(self, path):
        self._path = path
        with self._open() as db:
            db.executescript(SCHEMA)
        path.chmod(0o600)

    @contextlib.contextmanager
    def _open(self):
        with contextlib.closing(sqlite3.connect(self._path)) as db, db:
            db.row_factory = sqlite3.Row
            yield db

    def book(self, row):
        with self._open() as db, refused_where_taken():
            columns = "id, practice, slot, lead, card, pointer, link_hash"
            db.execute(
                f"INSERT INTO appointments ({columns})"  # noqa: S608 - our own words
                " VALUES (:id, :practice, :slot, :lead, :card, :pointer, :link_hash)",
                row,
            )

    def move(self, id_, slot, lead):
        with self._open() as db, refused_where_taken():
            move = "UPDATE appointments SET slot = ?, lead = ?, version = version + 1 WHERE id = ? AND NOT cancelled"
            return db.execute(move, (slot, lead, id_)).rowcount == 1

    def cancel(self, id_):
        with self._open() as db:
            cancel = "UPDATE appointments SET cancelled = 1, version = version + 1 WHERE id = ? AND NOT cancelled"
            db.execute(cancel, (id_,))

    def find(self, id_):
        with self._open() as db:
            return db.execute("SELECT * FROM appointments WHERE id = ?", (id_,)).fetchone()

    def of(self, practice):
        with self._open() as db:
            rows = db.execute("SELECT * FROM appointments WHERE practice = ? ORDER BY slot", (practice,))
            return rows.fetchall()

    def taken(self, practice):
        with self._open() as db:
            rows = db.execute("SELECT slot FROM appointments WHERE practice = ? AND NOT cancelled", (practice,))
            return {row["slot"] for row in rows}

    def errands(self):
        """Return the appointments whose last version the reminder worker does not know yet."""
        with self._open() as db:
            return db.execute("SELECT * FROM appointments WHERE told < version").fetchall()

    def tell(self, id_, version, answer):
        with self._open() as db:
            db.execute("UPDATE appointments SET told = ?, answer = ? WHERE id = ?", (version, answer, id_))

    def hear(self, webhook_id, event):
        """Store an event once: the same event may be delivered twice."""
        with self._open() as db:
            row = webhook_id, event["data"]["reference"], event["type"], event["timestamp"]
            db.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", row)

    def heard(self, id_):
        with self._open() as db:
            rows = db.execute("SELECT type, at FROM events WHERE appointment = ? ORDER BY at", (id_,))
            return [dict(row) for row in rows]


@contextlib.contextmanager
def refused_where_taken():
    try:
        yield
    except sqlite3.IntegrityError:
        raise SlotTaken from None
