"""Everything that can go wrong, in one vocabulary for ledger, API, command line and client.

A message names the field and what to do next, never the value: exceptions end up in logs.
"""

from enum import StrEnum

_FOR_EVER = 1e9  # seconds: a wait that is not shorter, such as a plug-in's infinity, is no time to wait for


class Reason(StrEnum):
    """Why something happened: stable codes, safe to store, to log and to show."""

    # A job that is refused when it is handed in (the platform can mend it).
    MALFORMED = "malformed"
    MEDIA_TYPE = "media_type"
    TOO_LARGE = "too_large"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    REFERENCE_INVALID = "reference_invalid"
    TIME_INVALID = "time_invalid"
    ZONE_MISMATCH = "zone_mismatch"  # offset and zone name disagree
    TIME_PAST = "time_past"
    TIME_TOO_FAR = "time_too_far"  # beyond the published envelope keys
    LEAD_INVALID = "lead_invalid"
    NO_SLOT = "no_slot"  # nothing left between now, quiet hours and the appointment
    LOCATION_INVALID = "location_invalid"  # empty, control characters, a link
    LOCATION_TOO_LONG = "location_too_long"
    LOCATION_DISCLOSES = "location_discloses"
    LOCATION_NOT_LISTED = "location_not_listed"  # nobody has reviewed it
    CATALOGUE_UNUSABLE = "catalogue_unusable"  # the file of reviewed places is missing, forged or older than it was
    LANGUAGE_UNKNOWN = "language_unknown"
    IN_FLIGHT = "in_flight"  # a provider is being called right now: ask again shortly

    # A pointer, or the number behind it.
    POINTER_INVALID = "pointer_invalid"
    NUMBER_INVALID = "number_invalid"  # cannot exist
    NUMBER_PREMIUM = "number_premium"
    NUMBER_SATELLITE = "number_satellite"
    COUNTRY_NOT_ALLOWED = "country_not_allowed"

    # A contact that a platform resolves when its text goes out.
    CONTACT_GONE = "contact_gone"  # the platform says that there is none, or no longer any
    RESOLVER_AWAY = "resolver_away"  # no connection, no answer in time, or a fault of its own
    RESOLVER_BUSY = "resolver_busy"  # enough calls to it are in progress here
    RESOLVER_REFUSED = "resolver_refused"  # it does not accept our request, or sends us elsewhere
    RESOLVER_UNREADABLE = "resolver_unreadable"  # its answer cannot be used
    RESOLVER_MISSING = "resolver_missing"  # the settings have no resolver_url for this platform
    ADDRESS_PRIVATE = "address_private"  # its name leads into a network of ours

    # An envelope that does not open: forged, damaged, replayed, or meant for another recipient.
    VERSION_UNKNOWN = "version_unknown"
    KEY_UNKNOWN = "key_unknown"
    DAMAGED = "damaged"
    SIGNER_UNKNOWN = "signer_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    ID_MISMATCH = "id_mismatch"
    PLATFORM_MISMATCH = "platform_mismatch"

    # An attempt, as a provider answered it.
    NUMBER_REFUSED = "number_refused"
    LANDLINE = "landline"
    OPTED_OUT = "opted_out"
    CONTENT_REFUSED = "content_refused"
    NOT_SENT = "not_sent"  # surely never accepted: no connection, or refused for now
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"  # credentials, sender, credit
    AMBIGUOUS = "ambiguous"  # bytes may have left and no usable answer came
    NOT_ALLOWED_HERE = "not_allowed_here"  # outside production, and not on allow_numbers

    # Why nobody was asked at all: our own limits.
    CIRCUIT_OPEN = "circuit_open"  # the provider, or the resolver, failed too often; it is tried again soon
    RATE_LIMITED = "rate_limited"  # no more texts a second than the provider, or the sender, may carry
    SPEND_CAPPED = "spend_capped"  # the provider has cost what it may cost today
    PLATFORM_CAPPED = "platform_capped"  # the platform has sent what it may send today
    PHONE_CAPPED = "phone_capped"  # this phone has got what it may get today

    # A text that a provider accepted, and that did not arrive.
    UNREACHABLE = "unreachable"  # handset off or out of reach
    VALIDITY_OVER = "validity_over"  # the provider gave it up when it was no longer of use
    CARRIER_FAILED = "carrier_failed"  # the network, or the provider, says only that it failed

    # A reminder that ended without an attempt, or between attempts.
    TOO_LATE = "too_late"
    SUPERSEDED = "superseded"  # the next lead of the same appointment fell due
    TOO_EARLY = "too_early"  # woken before its time: back to the schedule
    QUIET_HOURS = "quiet_hours"  # waits until people are awake
    POISON = "poison"  # its worker died again and again
    NOT_CONFIRMED = "not_confirmed"  # the store did not confirm the intent: nothing was sent
    CANCELLED = "cancelled"
    DROPPED = "dropped"  # an operator gave it up
    RESOLVED = "resolved"  # an operator found out what became of it
    RESTORED = "restored"  # the store was put back from a backup, and it may have been sent since that was made


class ReminderError(Exception):
    """The base of all errors of this program; ``reason`` is the code shared by API, CLI and client."""

    def __init__(self, reason: Reason, message: str = "") -> None:
        self.reason = Reason(reason)  # a plug-in's own words are no reason, and go nowhere
        super().__init__(message or self.reason.value)


class Refused(ReminderError):
    """A job was not accepted; ``field`` names what to mend."""

    def __init__(self, reason: Reason, field: str, message: str = "") -> None:
        super().__init__(reason, f"{field}: {message or reason.value}")
        self.field = field


class Unopenable(ReminderError):
    """An envelope or pointer did not open; from outside all such failures look the same (``rejected``)."""

    def __init__(self, reason: Reason, *, lacks_platform: bool = False) -> None:
        super().__init__(reason)
        self._lacks_platform = lacks_platform

    @property
    def lacks_key(self) -> bool:
        """Return whether it may be sound, but something is missing here: another worker may have it, or it may come.

        What is missing is a key, or a platform that this worker's settings do not know.
        """
        return self._lacks_platform or self.reason in {Reason.KEY_UNKNOWN, Reason.SIGNER_UNKNOWN}


class SettingsError(Exception):
    """The settings cannot be used; the message names the setting and what to do."""


class StoreUnavailable(Exception):
    """Redis is away, full or refusing to confirm; nothing was changed that was not confirmed.

    If it ``refused``, it is there and denies us access: a wrong password, or a ``users.acl`` older than the program.
    """

    def __init__(self, message: str = "", *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused

    @property
    def why(self) -> str:
        """Return which of the two it is, in a word for the log."""
        return "refused" if self.refused else "away"


class Rejected(ReminderError):
    """The provider will never deliver to this person: invalid number, landline, opted out. Final."""


class NotSent(ReminderError):
    """The provider surely did not accept the text: another provider, or a later time, may be tried.

    ``left``: False if no byte of it has left this machine, so that the same call may be made once more.
    """

    def __init__(self, reason: Reason, message: str = "", *, left: bool = True) -> None:
        super().__init__(reason, message)
        self.left = left


class Throttled(NotSent):
    """Not accepted now, because of a rate limit; ``retry_after`` is in seconds, None if no time was given."""

    def __init__(self, retry_after: float | None = None, reason: Reason = Reason.THROTTLED) -> None:
        super().__init__(reason)
        self.retry_after = None if retry_after is None or not 0 <= retry_after < _FOR_EVER else retry_after


class Ambiguous(ReminderError):
    """Bytes may have left and no usable answer came: never re-sent blindly, never given to another provider."""

    def __init__(self) -> None:
        super().__init__(Reason.AMBIGUOUS)


class Misconfigured(ReminderError):
    """Not accepted because of our account: credentials, sender, credit. Needs an operator."""

    def __init__(self) -> None:
        super().__init__(Reason.MISCONFIGURED)
