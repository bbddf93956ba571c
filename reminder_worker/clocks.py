"""Times at the edge to Redis, which counts in milliseconds, and our one clock that is compared only with itself."""

import time
from datetime import UTC, datetime, timedelta


def boot_time() -> float:
    """Return seconds that also count while the machine is suspended, if the system offers such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def wall_time() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


def milliseconds(span: timedelta) -> int:
    """Return a span in whole milliseconds, as Redis counts."""
    return round(span.total_seconds() * 1000)


def to_ms(moment: datetime) -> int:
    """Write a time as Redis keeps it."""
    return round(moment.timestamp() * 1000)


def moment(ms: float) -> datetime:
    """Read a time as Redis keeps it."""
    return datetime.fromtimestamp(ms / 1000, UTC)
