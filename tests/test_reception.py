from pathlib import Path
from typing import Any

import desk
import practice

from reminder_worker.apikeys import Caller, Scope
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.ledger import Entry
from reminder_worker.reception import Reception
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import pointer_to_text, seal_pointer


def test_keys_may_be_read_again_at_any_moment_of_a_call(schedule: Schedule, tmp_path: Path) -> None:
    desk.make_keys(tmp_path)
    reception = Reception(
        schedule, GatewayKeys.load(tmp_path), tmp_path / "worker.pub.json", desk.settings(tmp_path).platforms, "web/1"
    )

    class Interrupted(dict[Any, Any]):
        def __contains__(self, name: object) -> bool:
            found = super().__contains__(name)
            reception.refresh()  # as another thread may
            return found

    caller = Caller("clinic", Mode.LIVE, frozenset(Scope))
    pointer = pointer_to_text(seal_pointer(reception.public, "clinic", "tel:+33612345678", "fr"))
    fields = {"time": practice.ahead(days=3), "location": "12 rue des Lilas", "pointer": pointer}
    assert isinstance(reception.seal(caller, "A-1", fields), Entry)
    reception._clients = Interrupted(reception._clients)
    assert isinstance(reception.seal(caller, "A-1", fields), Entry)
