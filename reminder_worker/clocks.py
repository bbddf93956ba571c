"""Times at the edge to Redis, which counts in milliseconds, and the one clock of ours that is compared with itself."""

import time
from datetime import UTC, datetime, timedelta


def boot_time() -> float:
    """Return seconds that also count while the machine is suspended, where the system tells."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def wall_time() -> datetime:
    """Return what this machine takes for the time."""
    return datetime.now(UTC)


def milliseconds(span: timedelta) -> int:
    """Redis counts in whole milliseconds."""
    return round(span.total_seconds() * 1000)


def to_ms(moment: datetime) -> int:
    """Write a time as Redis keeps it."""
    return round(moment.timestamp() * 1000)


def moment(ms: float) -> datetime:
    """Read a time as Redis keeps it."""
    return datetime.fromtimestamp(ms / 1000, UTC)
