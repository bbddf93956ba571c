"""Check what providers keep, what they cannot report, and who can read their credentials."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reminder_worker.doctor.wording import check_sender
from reminder_worker.findings import Finding, Grade, check_private, unsafe


def check_capabilities(name: str, provider: Any) -> Iterator[Finding]:
    """Report what a provider keeps, and what it cannot report back."""
    can = provider.capabilities
    if can.reaches_phones and not (can.redacts or can.forgets):
        yield Finding(
            Grade.NOTE,
            "provider_keeps_texts",
            f"providers.{name} keeps numbers and texts",
            "anyone who reads its records learns who was reminded of what",
            "switch redaction on if it has any (docs/providers.md), or agree on how long it keeps them",
        )
    if can.reaches_phones and not (can.receipt_carries_reference or can.receipts_by_id):
        yield Finding(
            Grade.NOTE,
            "no_receipts",
            f"providers.{name} sends us no receipts",
            "an attempt in doubt stays unknown, and nobody learns whether a text arrived",
            "set hooks_url, and run reminder-worker hooks behind it; if the table describes a gateway, "
            "describe its receipts too (docs/providers/http.md)",
        )


def check_table(name: str, table: dict[str, Any]) -> Iterator[Finding]:
    """Check that it is not an outbox, the sender shown above each text, and the credential files."""
    if table.get("type", name) == "outbox":
        yield unsafe(
            "outbox",
            f"providers.{name} writes numbers and texts into a file",
            "nobody would be reminded, and the file holds personal data",
            "use the outbox for development only",
        )
    yield from check_sender(f"providers.{name}.from", str(table.get("from", "")))
    yield from check_files(f"providers.{name}", table)


def check_files(where: str, table: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that nobody else reads the credentials of a provider's table."""
    for setting, value in table.items():
        if setting.endswith("_file"):
            yield from check_private(
                f"{where}.{setting}: the file", Path(str(value)), "it lets others speak in your name"
            )
