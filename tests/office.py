"""A gateway that tells its platforms of events, under a clock that stands still, and a platform that takes them."""

from collections.abc import Callable
from datetime import timedelta

from clock import Clock
from standardwebhooks import Webhook, WebhookVerificationError

from reminder_worker.endpoint import Courier, Endpoint
from reminder_worker.eventqueue import EventQueue
from reminder_worker.events import Dispatcher
from reminder_worker.gateway import GatewayKeys, Mode, Ticket
from reminder_worker.ledger import Claim, Entry, Outcome
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import make_id
from reminder_worker.signatures import Secret
from reminder_worker.testing.peer import Peer, Request, Response

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LEASE = timedelta(seconds=15)


class Receiver(Peer):
    """A platform's endpoint; who signs with another secret gets 401. The oracle is Standard Webhooks' own library."""

    def arrived(self, request: Request) -> None:
        try:
            Webhook(SECRET).verify(request.body, dict(request.headers))
        except WebhookVerificationError:
            self.respond(Response(401))

    @property
    def told(self) -> list[tuple[str, str]]:
        """Return what was taken: of which reference, and what."""
        return [(one.json["data"]["reference"], one.json["type"]) for one in self.accepted]

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.accepted]


class Office:
    """Appointments whose platforms have endpoints; reminders end as a test wants."""

    def __init__(self, schedule: Schedule, clock: Clock, keys: GatewayKeys, **urls: str) -> None:
        self.schedule, self.clock, self.keys = schedule, clock, keys
        self.endpoints = {name: Endpoint(url, Secret.parse(SECRET), private=True) for name, url in urls.items()}
        self.queue = EventQueue(schedule)
        self.dispatcher = self.another()
        self.refs: dict[bytes, str] = {}  # of the last attempt, by reminder

    def another(self) -> Dispatcher:
        """Return what another process of this gateway would use."""
        return Dispatcher(self.schedule, self.keys, self.endpoints)

    def id(self, reference: str, platform: str = "clinic", mode: Mode = Mode.LIVE) -> bytes:
        return make_id(self.keys.platform(platform, mode), reference)

    def hand_in(self, *references: str, platform: str = "clinic", mode: Mode = Mode.LIVE, leads: int = 1) -> None:
        """Add appointments whose reminders are due now."""
        entries = []
        for reference in references:
            id_ = self.id(reference, platform, mode)
            ticket = self.keys.ticket(id_, Ticket(platform, mode, reference))
            entries.append(Entry(id_, b"the content!", b"sealed", (self.clock.now,) * leads, ticket))
        self.schedule.add(entries)

    def claim(self) -> list[Claim]:
        """Claim all that is due."""
        shards = range(self.schedule.shards)
        wakes = [wake for shard in shards for wake in self.schedule.take(shard, capacity=1000).wakes]
        claims = [self.schedule.claim(wake) for wake in wakes]
        return [claim for claim in claims if isinstance(claim, Claim)]

    def send(self, finish: Callable[[Claim], Outcome] = lambda _: Outcome.sent("SM1")) -> list[Claim]:
        """Have all that is due sent, or ended in another way."""
        claims = self.claim()
        for claim in claims:
            ref = self.refs[claim.wake.member] = f"ref-{claim.token.hex()}"
            self.schedule.intend(claim, "outbox", ref, lease=LEASE, template="0123456789abcdef")
            self.schedule.settle(claim.wake, finish(claim), token=claim.token, reference=ref)
        return claims

    def sent(self, *references: str, **options: object) -> None:
        """Hand in and send."""
        self.hand_in(*references, **options)  # type: ignore[arg-type]
        self.send()

    def receipt(self, claim: Claim, state: str) -> int:
        """Have the provider report on an attempt."""
        member = claim.wake.member
        words = member, self.refs[member], "outbox", state, "", "", "SM1", -1, self.schedule.keep_ms
        return int(self.schedule.run("receipt", self.schedule.shard_of(claim.wake.id), *words))

    def answer(self, claim: Claim, word: str, number: int) -> int:
        """Have the person answer a reminder."""
        shard = self.schedule.shard_of(claim.wake.id)
        return int(self.schedule.run("reply", shard, claim.wake.member, claim.wake.version, word, number))

    def tell(self, dispatcher: Dispatcher | None = None) -> None:
        """Tell what is due now, and wait until that is done."""
        dispatcher = dispatcher or self.dispatcher
        dispatcher.step()
        for courier in dispatcher.couriers.values():
            courier._waiting.join()

    def later(self, **span: float) -> None:
        """Let time pass, for the store's clock and for platforms that were left alone."""
        self.clock.forward(**span)
        for courier in self.dispatcher.couriers.values():
            courier._paused_until = 0.0

    @property
    def courier(self) -> Courier:
        return self.dispatcher.couriers["clinic"]

    @property
    def waiting(self) -> int:
        return self.queue.count()[0]

    @property
    def dropped(self) -> int:
        return self.queue.count()[1]
