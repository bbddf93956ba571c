"""What happens in the audit: everything that can go right or wrong with a reminder, once, in real processes."""

import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from reminder_worker import keys, store
from reminder_worker.audit import counterparts as outside
from reminder_worker.audit.counterparts import Counterparts
from reminder_worker.audit.installation import OPERATOR, PROCESSES, Installation, wait_for
from reminder_worker.audit.people import NAME, PENDING, PRACTICE, REASON, REPLY
from reminder_worker.audit.stage import Stage, fetch, fetch_metrics
from reminder_worker.audit.taps import MONITOR, REPLICA, Tap
from reminder_worker.audit.visit import visit

MOVES = 9  # so that a version has two digits
MOST_DEATHS = 8  # of a worker over one reminder, before it counts as a dead letter

Say = Callable[[str], None]


class Story(Stage):
    """The steps, in their order."""

    def play(self, say: Say) -> None:
        """Play all steps in order."""
        steps = self.hand_in, self.text, self.hear, self.crash, self.poison, self.rotate, self.blunder, self.look_around
        for step in steps:
            say((step.__doc__ or "").strip().rstrip("."))
            step()

    def hand_in(self) -> None:
        """Hand appointments in, some for later; move one, cancel one."""
        self.here.start(*PROCESSES)
        self.wait_for_web()
        for part in ("pending", "far and long", "moved", "cancelled"):
            self.put(part, datetime.now(UTC) + PENDING)
        for hours in range(MOVES):
            self.put("moved", datetime.now(UTC) + PENDING + timedelta(hours=hours + 1))
        self.backup()
        self.platform.cancel(self.people["cancelled"])
        self.ended.add("cancelled")

    def text(self) -> None:
        """Send texts; some are refused, left in doubt or held back."""
        plan = {"refused": [outside.refuse], "doubtful": [outside.fail], "throttled": [outside.throttle]}
        plan |= {"unreadable": [outside.chatter]}
        for part, answers in plan.items():
            self.world.provider[self.people[part].phone] = list(answers)
        self.put_by_token("resolved")
        self.platform.put_itself(self.people["platform seals"])
        ends = {"sent": "sent", "refused": "failed", "doubtful": None, "throttled": None, "opted out": "sent"}
        for part in (*ends, "moved", "unreadable"):
            self.put(part)
        for part, state in {**ends, "resolved": "sent", "platform seals": "sent", "moved": "sent"}.items():
            self.wait(part, state)

    def hear(self) -> None:
        """Hear receipts and replies, some of them forged; one person replies STOP."""
        sent, gone = self.people["sent"], self.people["opted out"]
        path, name = self.world.attempt(sent.phone)
        form = {"MessageSid": name, "MessageStatus": "delivered", "To": sent.phone, "From": outside.SENDER_NUMBER}
        self.call_hooks(path, form)
        self.call_hooks(path, form, signature="AAAA")
        self.reply(sent, REPLY)
        self.reply(gone, "STOP")
        self.reply(self.people["misplaced"], REPLY, signature="forged")
        self.reply(self.people["platform seals"], "Wer ist das, Gwenaëlle?")
        self.wait("sent", "delivered")
        wait_for(lambda: None if self.client.llen(b"rw:{0}:notes") else True, "nobody reads the replies")
        self.put("opted out", datetime.now(UTC) + timedelta(seconds=2))  # at another second than before
        self.wait("opted out", "suppressed")

    def crash(self) -> None:
        """Kill a worker in the middle of a call; another finds what it left."""
        person = self.people["killed"]
        self.world.provider[person.phone] = [outside.hang]
        self.put("killed")
        wait_for(lambda: self.world.hanging.wait(0) or None, "no text reaches the provider")
        self.here.look(1)
        self.keep_store()
        self.look_into_memory()
        self.here.stop("worker", signal.SIGKILL)
        self.here.start("worker")
        self.end_leases()

    def poison(self) -> None:
        """Damage a job, a message and the store, so that a worker raises again and again."""
        queue = store.connect(self.here.server.url(1))
        queue.hset("{rw-queue}:reminders.msgs", "zz", b"\x80 no message")
        queue.rpush("{rw-queue}:reminders", "zz")
        queue.close()
        damaged, dead = self.people["damaged"], self.people["dead letter"]
        self.here.stop("scheduler")  # so that it is not sent before it is damaged
        self.put("damaged")
        key = b"rw:{0}:a:" + self.id(damaged)
        value = self.client.get(key)
        self.client.set(key, value[:-9] + bytes([value[-9] ^ 1]) + value[-8:])
        self.here.start("scheduler")
        self.wait("damaged", "rejected")
        with self.broken():
            self.put("dead letter")
            for _ in range(MOST_DEATHS):
                if self.is_dead(dead):
                    break
                self.wait_for_claim(dead)
                self.end_leases()

    def rotate(self) -> None:
        """Rotate the keys, publish them and seal to them."""
        keys.rotate(self.here.keys, datetime.now(UTC))
        self.here.publish()
        for name in ("web", "hooks", "worker"):
            self.here.stop(name)
            self.here.start(name)
        self.wait_for_web()
        self.put_by_token("rotated")
        self.wait("rotated", "sent")
        self.look_into_memory()

    def blunder(self) -> None:
        """Hand in what must not be handed in, over HTTP and on the command line."""
        person = self.people["misplaced"]
        self.platform.blunder(person)
        records = self.here.temporary.parent / "records.jsonl"
        when, leads = person.times(datetime.now(UTC) + PENDING)
        good = {"reference": person.reference, "time": when, "location": person.place, "leads": leads}
        good |= {"phone": person.phone, "language": person.language}
        bad = {"reason": REASON}, {"phone": f"{person.phone}77"}, {"time": when[:-7]}, {"location": REASON}
        lines = [json.dumps(good | one) for one in bad]
        records.write_text("\n".join([*lines, f'{{"name": "{NAME}", "reason": "{REASON}']))
        self.type("desk", "enqueue", str(records), "--platform", PRACTICE)
        columns = {name: value for name, value in good.items() if name != "leads"} | {"reason": REASON, NAME: REASON}
        table = "\n".join(",".join(f'"{word}"' for word in row) for row in (columns, columns.values()))
        records.write_text(table)
        self.type("desk", "enqueue", str(records), "--format", "csv", "--platform", PRACTICE)
        records.unlink()
        self.type("desk", "show", f"{NAME}, {REASON}", person.phone)

    def look_around(self) -> None:
        """Look at everything that operators can see."""
        for words in (["status"], ["doctor"]):
            self.type("worker", *words)
        self.measured.append(self.here.command("worker", "status", "--json"))
        for process in range(len(PROCESSES)):
            look = partial(fetch_metrics, self.here.metrics + process)
            self.measured.append(wait_for(look, "a process shows no metrics"))
        for port in self.here.ports.values():
            for path in ("/metrics", "/ops", "/livez", "/readyz", "/openapi.json", "/v1/keys"):
                self.measured.append(fetch(port, path))
        self.measured += visit(self.here.ports["ops"], *OPERATOR)
        self.here.look(2)
        self.keep_store()
        self.backup()


@contextmanager
def played(say: Say) -> Iterator[Story]:
    """Play the whole story, and yield it while its processes still run."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rw-audit-")))
        world = stack.enter_context(Counterparts())
        here = stack.enter_context(Installation(folder, world))
        taps = [stack.enter_context(Tap(here.server.socket, request)) for request in (MONITOR, REPLICA)]
        story = Story(here, world, *taps)
        story.play(say)
        yield story
