"""What a booking platform imports: it seals numbers on its own machine, whichever way they reach the worker.

    client = HttpClient("https://reminders.example", key, platform="clinic", root="m4ZBu…")   # through the gateway
    public = Root("m4ZBu…").check(PublicKeys.load(…))                                # signed by the root that you pin
    client = Client(schedule, PlatformKeys.load(…), public, leads=[…])                # with its own keys, to Redis
    client.add([Appointment.parse({"reference": "A-1", "time": …, "location": …, "pointer": …})])

    await AsyncClient(client).add([…])                                                # either of them

There is no field for a reason: an unknown field is refused by name.
"""

from reminder_worker.client.appointment import Appointment
from reminder_worker.client.direct import Client
from reminder_worker.client.over_http import HttpClient
from reminder_worker.client.threads import AsyncClient
from reminder_worker.root import Root

__all__ = ["Appointment", "AsyncClient", "Client", "HttpClient", "Root"]
