"""Check what an installation's words disclose: texts, senders, names that operators read, and places to review.

A finding names the setting and the rule, never the words.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reminder_worker import disclosure
from reminder_worker.disclosure import Severity
from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, Grade, unsafe
from reminder_worker.names import Names
from reminder_worker.settings import Settings
from reminder_worker.tables import Platform

_NUMBER = re.compile(r"\+?[0-9]{3,15}", re.ASCII)
_NAME_AT_AWS = re.compile(
    r"(arn:[a-z-]+:sms-voice:[a-z0-9-]+:[0-9]{12}:)?(sender-id/|(phone-number/|pool/)?(phone|pool)-[0-9a-f]+\Z)"
)


def check_names(settings: Settings) -> Iterator[Finding]:
    """Check senders shown with texts, and names that operators read in settings, logs, metrics and the store."""
    for name, platform in settings.platforms.items():
        yield from _check_platform(f"platforms.{name}", platform)
        if disclosure.discloses(name):
            yield Finding(
                Grade.NOTE,
                "platform_name_discloses",
                "the name of a platform discloses a reason or a speciality",
                "it appears in names of files, in settings and in backups of them",
                "give the next one a neutral name; keep this one, for pointers are sealed to it",
            )
    for name, table in settings.providers.items():
        if disclosure.discloses(name):
            yield unsafe(
                "provider_name_discloses",
                "the name of a provider's table discloses a reason or a speciality",
                "it appears beside each reminder in the store, in logs and in metrics",
                'give the table a neutral name, and set type = "…"',
            )
        yield from _check_body(table)


def _check_platform(where: str, platform: Platform) -> Iterator[Finding]:
    found = None if platform.sender is None else disclosure.find(platform.sender)
    if platform.sender is not None and Names(platform.deny).are_in(platform.sender):
        yield _sender(where, "has a sender that holds a name from its deny list")
    elif found is not None and found.severity is Severity.WARN:  # what is worse, the settings refuse
        yield Finding(
            Grade.NOTE,
            "sender_ambiguous",
            f"{where}.sender may disclose where somebody goes ({found.rule})",
            "it is shown in front of texts",
            "look whether a stranger would learn something from it",
        )


def check_sender(where: str, sender: str) -> Iterator[Finding]:
    """Check the sender that a provider shows above each text; an identifier at AWS is shown to nobody."""
    shown = _NAME_AT_AWS.sub("", sender, count=1)
    if not _NUMBER.fullmatch(shown) and disclosure.discloses(shown):
        yield _sender(where, "discloses a reason or a speciality")


def _sender(where: str, what: str) -> Finding:
    return unsafe("sender_discloses", f"{where} {what}", "it is shown above every text", "register a neutral name")


def _check_body(table: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the words that a described gateway is given with each text, whatever it does with them."""
    for words in _texts(table.get("body")):
        found = disclosure.find(re.sub(r"\{[^{}]*\}", " ", words))
        if found is not None and found.severity is Severity.REFUSE and _is_word(found.rule):
            yield unsafe(
                "body_discloses",
                f"a provider's body holds a word that discloses a reason or a speciality ({found.rule})",
                "it goes to the provider with every text, and perhaps to the phone",
                "take it out",
            )


def _is_word(rule: str) -> bool:
    """Return whether a rule is a stem or an ending; a body may hold what has the shape of a URL or a number."""
    return "/" in rule or rule == disclosure.SPECIALITY_ENDING


def _texts(shape: object) -> Iterator[str]:
    if isinstance(shape, str):
        yield shape
    elif isinstance(shape, dict | list):
        for part in shape.values() if isinstance(shape, dict) else shape:
            yield from _texts(part)


def check_texts(templates: Any) -> Iterator[Finding]:
    """Check every text of every language, including the short ones and those for wrong recipients."""
    from reminder_worker import lint  # noqa: PLC0415 - not for blind processes

    for one in lint.check_templates(templates):
        if one.severity == Severity.REFUSE:
            yield unsafe(
                "template_discloses",
                f"templates: {one.name} discloses a reason or a speciality ({one.rule})",
                "everyone who gets this text learns it, and so does anyone who looks over their shoulder",
                "write it without that (docs/templates.md)",
            )
        elif one.rule:
            yield Finding(
                Grade.NOTE,
                "template_wording",
                f"templates: {one.name}: {one.rule}",
                "it may disclose something, or cost a second segment",
                "read it with reminder-worker preview",
            )


def check_places(name: str, platform: Platform, key: bytes | None = None) -> Iterator[Finding]:
    """Check that a platform's catalogue can be used, and whether any of its places must be reviewed again."""
    if platform.locations != "catalogue" or platform.locations_file is None:
        return
    from reminder_worker import catalogue  # noqa: PLC0415 - not for blind processes

    try:
        known = catalogue.load(platform.locations_file, name, key or catalogue.verify_key(platform.verify_key))
    except SettingsError as error:
        yield unsafe(
            "catalogue_unusable",
            f"platforms.{name}.locations_file: {error}",
            "no appointment is accepted for this platform, and texts name no place",
            "copy the file that reminder-worker locations wrote, and check verify_key",
        )
        return
    if refused := sum(place.reviewer != "" and place.refused_by is not None for place in known.places):
        yield Finding(
            Grade.NOTE,
            "places_refused",
            f"platforms.{name}: today's lint refuses {refused} places that were reviewed with an older one",
            "texts leave them out",
            "run reminder-worker locations review",
        )
