"""Tell the reminder worker what it must know: which appointments there are, when, where, and, sealed, whom to text.

A failed errand stays to be run. Repeating it is safe: the same content changes nothing, other content moves it.
"""

import logging

from reminder_worker.client import Appointment, HttpClient
from reminder_worker.errors import Refused, SettingsError, StoreUnavailable
from reminder_worker.ledger import Answer

PLATFORM = "booking"
PATIENCE = 5.0  # seconds

log = logging.getLogger("booking")


class Errands:
    def __init__(self, register, places, *, gateway, api_key, pinned, patience=PATIENCE):
        self._register = register
        self._places = places
        self._client = HttpClient(gateway, api_key, platform=PLATFORM, pinned=pinned, patience=patience)

    def run(self):
        """Run all errands; those that could not be done are run again next time."""
        for row in self._register.errands():
            try:
                answer = self._take_back(row) if row["cancelled"] else self._hand_in(row)
            except (StoreUnavailable, SettingsError) as error:
                log.warning("%s: the reminder worker is not reached (%s)", row["id"], type(error).__name__)
                return
            if answer != Answer.IN_FLIGHT:  # a text is going out at this moment: ask again
                self._register.tell(row["id"], row["version"], answer)
                log.info("%s: the reminder worker said %s", row["id"], answer)

    def _hand_in(self, row):
        """PUT the appointment: reference, time, place, pointer. There is no field for anything else."""
        fields = {
            "reference": row["id"],
            "time": row["slot"],
            "location": self._places[row["practice"]],
            "pointer": row["pointer"],
            "leads": [row["lead"]],
        }
        try:
            (answer,) = self._client.add([Appointment.parse(fields)])
        except Refused as refused:
            answer = refused
        return answer.reason if isinstance(answer, Refused) else answer

    def _take_back(self, row):
        """DELETE it: after the answer ``cancelled``, no text follows; ``ended`` means that it went out before."""
        try:
            return self._client.cancel(row["id"])
        except Refused as refused:
            return refused.reason
