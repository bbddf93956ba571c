"""The one place that calls a provider's ``send``: it decides who may be reached at all, whoever asks."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta

from reminder_worker import metrics
from reminder_worker.clocks import boot_time
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.providers import Provider, Sent, Text

CALL = timedelta(seconds=10)  # one total deadline for a provider's answer
PAUSE = 0.2  # seconds before a call is made once more
ENOUGH = 1.0  # seconds that must be left for it


class Carriers:
    """All providers of this installation; safe to use from many threads."""

    def __init__(self, providers: Mapping[str, Provider], *, allow_numbers: Collection[str] | None) -> None:
        self._providers = providers
        self._allowed = None if allow_numbers is None else tuple(allow_numbers)

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())

    def __getitem__(self, name: str) -> Provider:
        return self._providers[name]

    def get(self, name: str) -> Provider | None:
        """Return a provider; None if its table has gone from the settings."""
        return self._providers.get(name)

    def close(self) -> None:
        """End all connections, as the process ends."""
        for provider in self:
            with suppress(Exception, SystemExit):  # nor may a plug-in that would end the process keep others open
                provider.close()

    def may_reach(self, provider: Provider, phone: str) -> bool:
        """Tell whether a phone may be texted: outside production a real provider reaches only allowed numbers."""
        return self._allowed is None or not provider.capabilities.reaches_phones or phone.startswith(self._allowed)

    def send(self, provider: Provider, text: Text, *, since: float | None = None) -> Sent:
        """Call the provider once; a call known not to have left this machine is made once more within the deadline.

        The deadline counts from ``since`` (on ``boot_time``), or from now: whoever was frozen since a look at the clock
        before this would otherwise not notice. Raises what ``Provider.send`` raises, and NotSent (not_allowed_here,
        too_late).
        """
        if not self.may_reach(provider, text.to):
            raise NotSent(Reason.NOT_ALLOWED_HERE)
        now, began = time.monotonic(), boot_time()  # in this order: a freeze between them brings the deadline forward
        last = (began if since is None else since) + min(CALL, text.valid_for).total_seconds()
        deadline = now + last - began

        try:
            return _in_time(provider, text, deadline, last)
        except NotSent as error:
            if error.left or time.monotonic() + ENOUGH >= deadline:
                raise
        time.sleep(PAUSE)
        return _in_time(provider, text, deadline, last)


def _in_time(provider: Provider, text: Text, deadline: float, last: float) -> Sent:
    """Call a provider, unless it is too late for that."""
    if boot_time() >= last:  # no longer of use, or frozen between two tries: another worker may have it by now
        raise NotSent(Reason.TOO_LATE)
    return measured(provider, text, deadline)


def measured(provider: Provider, text: Text, deadline: float) -> Sent:
    """Call a provider, and count the result."""
    began, result = time.monotonic(), "accepted"
    try:
        sent = understood(provider.send(text, deadline=deadline))
        segments = _counted(sent.segments, text.segments)
    except BaseException as error:
        result = _result(error)
        raise
    finally:
        metrics.took(provider.name, time.monotonic() - began)
        metrics.count(metrics.ATTEMPTS, provider=provider.name, result=result)
    metrics.count(metrics.SEGMENTS, segments, provider=provider.name)
    return sent


def _counted(said: object, ours: int) -> int:
    """Return how many segments were accepted: a plug-in's "2" must not leave an accepted text in doubt."""
    return said if isinstance(said, int) and said >= 0 else ours


def understood(answer: Sent) -> Sent:
    """Return what a provider says that it took, with its name for it as a text, of whatever type the plug-in made it.

    A name that no store can hold is no answer, and neither is anything but a ``Sent``: even the class itself has a
    name. Raises Ambiguous.
    """
    name: object = answer.provider_message_id if isinstance(answer, Sent) else None
    text = str(name)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character
        raise Ambiguous from None
    if name is None:
        raise Ambiguous
    return answer if text is name else Sent(text, answer.segments)


def _result(error: BaseException) -> str:
    match error:
        case Rejected():
            return "rejected"
        case Throttled():
            return "throttled"
        case NotSent():
            return "not_sent"
        case Misconfigured():
            return "misconfigured"
        case _:
            return "ambiguous"
