"""When a practice has time: every ten minutes for the next hours, and tomorrow. These practices never close.

A reminder ends a quarter of an hour before its appointment, so no slot sooner than ``SOONEST`` can be booked.
"""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
EVERY = timedelta(minutes=10)
SOONEST = timedelta(minutes=20)
TODAY, TOMORROW = 9, 6  # slots
TEXT_AFTER = timedelta(seconds=10)  # only for the demonstration: a real text goes out a day ahead, say


def free(zone, taken):
    """Return the free slots, as times with their zone (RFC 9557)."""
    soonest = (datetime.now(UTC) + SOONEST).timestamp()
    first = math.ceil(soonest / EVERY.total_seconds()) * EVERY
    after = [first + EVERY * at for at in range(TODAY)] + [first + DAY + EVERY * at for at in range(TOMORROW)]
    moments = (datetime.fromtimestamp(each.total_seconds(), ZoneInfo(zone)) for each in after)
    return [slot for moment in moments if (slot := f"{moment.isoformat()}[{zone}]") not in taken]


def lead_for(slot):
    """Return the lead with which the text goes out some seconds from now."""
    ahead = datetime.fromisoformat(slot.partition("[")[0]) - datetime.now(UTC) - TEXT_AFTER
    return f"{int(ahead.total_seconds())}s"
