"""Bodies of few lengths: TLS hides what is said but not how long it is (docs/traffic.md).

Blanks may follow JSON, so its reader has nothing to do.
"""

UNIT = 512  # bytes: what one appointment takes, whatever its place, zone and leads


def step(least: int) -> int:
    """Return the smallest of 512, 1024, 2048 … that is not below ``least``."""
    size = UNIT
    while size < least:
        size *= 2
    return size


def fill(content: bytes, least: int = UNIT) -> bytes:
    """Fill JSON up with blanks, so that its length tells only which step it is on."""
    return content.ljust(step(max(len(content), least)))
