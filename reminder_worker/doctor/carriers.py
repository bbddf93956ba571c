"""What providers keep and cannot tell, and their credentials."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reminder_worker.doctor.wording import check_sender
from reminder_worker.findings import Finding, Grade, check_private, unsafe


def check_capabilities(name: str, provider: Any) -> Iterator[Finding]:
    """Say what a provider keeps, and what it cannot tell."""
    can = provider.capabilities
    if can.reaches_phones and not (can.redacts or can.forgets):
        yield Finding(
            Grade.NOTE,
            "provider_keeps_texts",
            f"providers.{name} keeps numbers and texts",
            "whoever reads its records learns who was reminded of what",
            "switch redaction on where it has any (docs/providers.md), or agree on how long it keeps them",
        )
    if can.reaches_phones and not (can.receipt_carries_reference or can.receipts_by_id):
        yield Finding(
            Grade.NOTE,
            "no_receipts",
            f"providers.{name} reports to nobody",
            "an attempt in doubt stays unknown, and nobody learns whether a text arrived",
            "set hooks_url, and run reminder-worker hooks behind it; where the table describes a gateway, "
            "describe its receipts too (docs/providers/http.md)",
        )


def check_table(name: str, table: dict[str, Any]) -> Iterator[Finding]:
    """Look at what stands above each text, and at the files of credentials."""
    if table.get("type", name) == "outbox":
        yield unsafe(
            "outbox",
            f"providers.{name} writes numbers and texts into a file",
            "nobody would be reminded, and the file holds personal data",
            "use the outbox for development only",
        )
    yield from check_sender(f"providers.{name}.from", str(table.get("from", "")))
    yield from _check_files(f"providers.{name}", table)


def _check_files(where: str, table: Mapping[str, Any]) -> Iterator[Finding]:
    for setting, value in table.items():
        if setting.endswith("_file"):
            yield from check_private(
                f"{where}.{setting}: the file", Path(str(value)), "it lets them speak in your name"
            )
