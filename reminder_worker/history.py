"""What became of an appointment's reminders, in the words that its platform receives and may keep.

A record tells what was sent when: never a text, a number or a place.
"""

from collections.abc import Sequence
from datetime import datetime

from reminder_worker.gateway import Mode, Ticket
from reminder_worker.ledger import Reminder


def record_of(ticket: Ticket, reminders: Sequence[Reminder], now: datetime) -> dict[str, object]:
    """Return what is to be signed (``GatewayKeys.sign_record``).

    It names platform and mode: another platform may use the same references, and what a test key sent reached nobody.
    """
    return {
        "platform": ticket.platform,
        "test": ticket.mode is Mode.TEST,
        "reference": ticket.reference,
        "issued": in_utc(now),
        "reminders": [
            {
                "lead": one.lead,
                "state": one.state,
                "due": in_utc(one.due),
                "asked": in_utc(one.asked),
                "ended": in_utc(one.ended),
                "template": one.template,
            }
            for one in reminders
        ],
    }


def in_utc(moment: datetime | None) -> str | None:
    """Write a time in RFC 3339 form, in UTC."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
