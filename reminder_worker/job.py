"""A job and its vocabulary; no I/O."""

from enum import StrEnum


class Level(StrEnum):
    """How much a text says."""

    TIME = "time"  # an appointment, then
    PLACE = "place"  # ..., there
    SENDER = "sender"  # ..., and a neutral trade name in front
