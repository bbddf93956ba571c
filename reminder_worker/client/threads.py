"""The clients for asyncio programs, which must not block: each call runs in a thread."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from reminder_worker.client.appointment import Appointment
from reminder_worker.errors import Refused
from reminder_worker.ledger import Answer, Reminder


class Blocking(Protocol):
    """What each client does; ``reminder_worker.client`` has the full documentation."""

    def add(self, appointments: Iterable[Appointment]) -> list[Answer | Refused]:
        """Add appointments, or move those that changed."""
        ...

    def cancel(self, reference: str) -> Answer:
        """Take an appointment back."""
        ...

    def show(self, reference: str) -> list[Reminder]:
        """Return what became of each lead."""
        ...


class AsyncClient:
    """A client whose calls are awaited."""

    def __init__(self, client: Blocking) -> None:
        self._client = client

    async def add(self, appointments: Iterable[Appointment]) -> list[Answer | Refused]:
        """Add appointments, or move those that changed; raises what the client raises."""
        return await asyncio.to_thread(self._client.add, list(appointments))

    async def cancel(self, reference: str) -> Answer:
        """Take an appointment back; raises what the client raises."""
        return await asyncio.to_thread(self._client.cancel, reference)

    async def show(self, reference: str) -> list[Reminder]:
        """Return what became of each lead; raises what the client raises."""
        return await asyncio.to_thread(self._client.show, reference)
