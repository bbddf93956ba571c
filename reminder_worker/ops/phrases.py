"""The words of the page: what a decision means, what came of one, and how numbers, times and spans are written."""

from datetime import datetime

from reminder_worker.decisions import Answer, Decision, Kind

MEANINGS = {
    Decision.RETRY: "It goes back into the schedule and is due at once. If it has expired, a worker ends it as "
    "expired.",
    Decision.RESEND: "It goes back into the schedule and is due at once. A provider may have accepted it already: "
    "the person may get the same text twice.",
    Decision.DROP: "It ends as failed, and nothing more is sent. Its sealed content is deleted, unless another "
    "reminder of the same appointment needs it.",
    Decision.SENT: "It ends as sent. Choose this if you have found the text at the provider, by the time of the call.",
    Decision.FAILED: "It ends as failed, and nothing more is sent. Choose this if you have looked at the provider "
    "and the text is not there.",
}
ANSWERS = {
    Answer.DONE: "Done, and noted with your name.",
    Answer.SETTLED: "Nothing was done: it is no longer waiting. It has been decided, moved, cancelled or settled "
    "in the meantime.",
    Answer.GONE: "Nothing was done: its sealed content has been deleted, so there is nothing to send.",
    Answer.IN_DOUBT: "Nothing was done: a provider may have accepted it, so it would be sent a second time.",
    Answer.CERTAIN: "Nothing was done: it was certainly not accepted, so there is nothing to settle.",
}
STORE = {  # by why it is unavailable
    "away": "The store does not answer",
    "refused": "The store refuses this page: its password is wrong, or users.acl is older than the program",
}
KINDS = {Kind.DEAD_LETTER: "dead letter", Kind.UNKNOWN: "unknown"}
BUTTONS = {
    Decision.RETRY: "Retry",
    Decision.RESEND: "Send again",
    Decision.DROP: "Drop",
    Decision.SENT: "Was sent",
    Decision.FAILED: "Was not sent",
}


def said(answer: str, decision: str) -> str:
    """Say what came of a decision; return nothing for words that are not ours."""
    if answer not in set(Answer):
        return ""
    first = f"{BUTTONS[Decision(decision)]}: " if decision in set(Decision) else ""
    return first + ANSWERS[Answer(answer)]


def many(count: int, one: str, more: str) -> str:
    """Write a number with its noun."""
    return f"{count:,} {one if count == 1 else more}"


def span(seconds: float) -> str:
    """Write how long something is, in its two largest units."""
    whole = int(seconds)
    days, hours, minutes, left = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count) or "0 s"


def number(count: int) -> str:
    """Write a count."""
    return f"{count:,}"


def moment(at: datetime | None) -> str:
    """Write a time to the minute, in UTC."""
    return "never" if at is None else at.strftime("%Y-%m-%d %H:%M")


def second(at: datetime) -> str:
    """Write a time to the second, in UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Write an amount of memory."""
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":  # noqa: PLR2004
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:,.1f} {unit}"  # noqa: PLR2004


FILTERS = {"number": number, "span": span, "moment": moment, "second": second, "size": size}
