"""Magic numbers, which no phone has: with a test key each plays a part, and any other number counts as delivered."""

DELIVERED = "+15005550006"
UNDELIVERED = "+15005550009"  # accepted, then not delivered: unreachable
REJECTED = "+15005550001"  # refused for good: failed, number_refused
THROTTLED = "+15005550007"  # refused for now, every time: tried again until it expires

PARTS = {"delivered": DELIVERED, "undelivered": UNDELIVERED, "rejected": REJECTED, "throttled": THROTTLED}
