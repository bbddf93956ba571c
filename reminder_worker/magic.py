"""Magic numbers: no phone has them, and with a test key each plays a part. Any other number is delivered there."""

DELIVERED = "+15005550006"
UNDELIVERED = "+15005550009"  # accepted, and then not delivered: unreachable
REJECTED = "+15005550001"  # refused for good: failed, number_refused
THROTTLED = "+15005550007"  # refused for now, each time: it is tried again until it expires

PARTS = {"delivered": DELIVERED, "undelivered": UNDELIVERED, "rejected": REJECTED, "throttled": THROTTLED}
