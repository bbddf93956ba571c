"""Send thousands of requests that are made from the document of the HTTP API; look at every answer, and for canaries.

    python -m tests.faults.requests --requests 20000 --seed 1

A real ``web`` process and a real Valkey. schemathesis makes requests that fit the document and requests that do not;
here and there a valid key, a real pointer, a time ahead and a good place are put in, so that all depths are reached.
A word is planted in values of every kind and looked for in refusals, in what any library logs, and in the store.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema_rs
import requests
import schemathesis
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from reminder_worker.audit.writings import writings

from .installation import PLACE, Installation, ahead, in_store

CANARY = "Zvqxwkjh"
PHONE = "+33612987654"
LONG = 12  # characters of a value that an answer holds by no chance
ONE, BATCH = "/v1/reminders/{reference}", "/v1/reminders:batch"
SHARES = {  # of a hundred requests
    ("PUT", ONE): 60,
    ("GET", ONE): 14,
    ("DELETE", ONE): 14,
    ("POST", BATCH): 1,  # each takes a tenth of a second to make; the rest is put together from what PUT was given
}
EACH_BATCH = 4  # of the requests to PUT, after which what they held goes out together
LOOKED_AT = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ODD_KEYS = (
    "",
    "Bearer",
    f"Bearer {CANARY}",
    f"Basic {CANARY}",
    f"Bearer rwk_live_abcdefgh_{CANARY * 5}",
    "Bearer \xff",
)
NO_FIELD = {429}  # who calls too often has nothing to mend


@dataclass
class Result:
    """What a run came to."""

    requests: int = 0
    seed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """No fault of the server, nothing that the document does not say, no value repeated or kept."""
        return not (self.faults or self.leaks)


class Sender:
    """Puts in what is needed to get far, sends, and judges the answer."""

    def __init__(self, installation: Installation, result: Result, dice: random.Random) -> None:
        self._at = f"http://127.0.0.1:{installation.port}"
        self._key = installation.caller().key
        self._pointers = [installation.pointer(PHONE) for _ in range(8)]
        self._result, self._dice = result, dice
        self._session = requests.Session()
        self._session.trust_env = False
        self._suspects: list[tuple[str, str]] = []  # a refusal, and a value that stands in it
        self._common: dict[str, set[str]] = {}  # by refusal: values of all requests that were answered so
        self._recent: deque[dict[str, Any]] = deque(maxlen=EACH_BATCH)
        document = json.loads(self._session.get(f"{self._at}/openapi.json").content)
        self.schema = schemathesis.openapi.from_dict(document)
        self._problem = jsonschema_rs.validator_for(document["components"]["schemas"]["Problem"])
        self._checks = CHECKS.get_by_names(list(LOOKED_AT))

    def send(self, case: Case) -> None:
        """Send one, and now and then what the last ones held as a batch."""
        self._mend(case)
        self._judge(case)
        if case.method == "PUT" and isinstance(case.body, dict):
            self._recent.append({**case.body, "reference": self._reference()})
            if self._dice.random() < 1 / EACH_BATCH:
                batch = self.schema[BATCH]["POST"].Case(body={"reminders": list(self._recent)})
                batch.headers = {"Authorization": f"Bearer {self._key}"}
                self._judge(batch)

    def _mend(self, case: Case) -> None:
        """Plant the canary, and put in what is valid; often all of it."""
        dice = self._dice
        case.headers = {**case.headers, "X-Request-Id": CANARY, "User-Agent": CANARY}
        if dice.random() < 0.9:
            case.headers["Authorization"] = f"Bearer {self._key}"
        elif dice.random() < 0.7:
            case.headers["Authorization"] = dice.choice(ODD_KEYS)
        if dice.random() < 0.1:
            case.headers["Content-Type"] = dice.choice(
                ["text/plain", f"application/{CANARY}", "", "application/json;a"]
            )
        if case.path_parameters and dice.random() < 0.6:
            case.path_parameters["reference"] = self._reference()
        if isinstance(case.body, dict) and case.method == "PUT":
            case.body = self._mended(case.body, good=dice.random() < 0.5)

    def _mended(self, body: dict[str, Any], *, good: bool) -> dict[str, Any]:
        dice = self._dice
        often = 1.0 if good else 0.6
        valid = {
            "time": ahead(days=dice.randint(1, 200)),
            "location": dice.choice([PLACE, f"12 rue {CANARY}", f"{CANARY} Pavillon"]),
            "pointer": dice.choice(self._pointers),
        }
        mended = _planted(body) if dice.random() < 0.5 else dict(body)
        if good:
            mended = {name: mended[name] for name in valid.keys() & mended.keys()}
        return mended | {name: value for name, value in valid.items() if dice.random() < often}

    def _reference(self) -> str:
        word = self._dice.choice([CANARY, "A", "a/b", "ö ü", "%", "?", "..", "#"])
        return f"{word}-{self._dice.randint(0, 400)}"

    def _judge(self, case: Case) -> None:
        said = self._session.request(**_worded(case, self._at))
        self._result.requests += 1
        self._result.statuses[f"{case.method} {said.status_code}"] += 1
        faults = self._result.faults
        try:
            case.validate_response(said, checks=self._checks)
        except FailureGroup as group:
            faults += [
                f"{case.method} {said.status_code}: {error.title}: {error.message}" for error in group.exceptions
            ]
        if said.status_code >= 400:
            self._judge_refusal(case, said)

    def _judge_refusal(self, case: Case, said: requests.Response) -> None:
        document, faults = said.json(), self._result.faults
        self._result.refusals[document["title"]] += 1
        if said.headers["Content-Type"] != "application/problem+json" or not self._problem.is_valid(document):
            faults.append(f"{said.status_code}: no problem document")
        if not document.get("field") and said.status_code not in NO_FIELD:
            faults.append(f"{document['title']}: names no field")
        answer = f"{said.headers}\n{said.text}\n{json.dumps(document, ensure_ascii=False)}".lower()
        sent = {
            CANARY.lower(),
            *(text.lower() for text in _texts((case.body, case.path_parameters)) if len(text) >= LONG),
        }
        self._common[answer] = self._common.get(answer, sent) & sent
        self._suspects += [(answer, text) for text in sent if text in answer]

    def repeated(self) -> Iterator[str]:
        """Return what refusals repeated; some values are made of our own words, which others are told as well."""
        for answer, text in self._suspects:
            if text in self._common[answer]:
                yield f"{text!r} is repeated in {answer!r}"


def _worded(case: Case, at: str) -> dict[str, Any]:
    """Return what is sent: headers that no client library would send are taken out."""
    words = case.as_transport_kwargs(base_url=at)
    words["headers"] = {name: value for name, value in words["headers"].items() if _is_sendable(value)}
    return words | {"timeout": 30, "allow_redirects": False}


def _is_sendable(value: object) -> bool:
    text = str(value)
    return text == text.strip() and not any(sign in text for sign in "\r\n") and all(ord(sign) < 256 for sign in text)


def _planted(value: Any) -> Any:
    """Return a value with the canary in each of its texts."""
    if isinstance(value, dict):
        return {name: _planted(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_planted(one) for one in value]
    return f"{value}{CANARY}" if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def run(*, count: int, seed: int) -> Result:
    """Send about ``count`` requests."""
    result, dice, began = Result(seed=seed), random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as name, Installation(Path(name), talkative=True) as installation:
        installation.start("web")
        sender = Sender(installation, result, dice)
        for number, ((method, route), share) in enumerate(SHARES.items()):
            for mode in GenerationMode:
                wanted = max(2, count * share // 200)
                _generate(sender, sender.schema[route][method].as_strategy(generation_mode=mode), wanted, seed + number)
        result.leaks += [*sender.repeated(), *_kept(installation)]
    result.seconds = time.monotonic() - began
    return result


def _generate(sender: Sender, cases: Any, count: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases)
    def send(case: Case) -> None:
        sender.send(case)

    send()


def _kept(installation: Installation) -> Iterator[str]:
    """Look for what was sent in the log of everything, and in the store and its files."""
    words = {CANARY: writings(CANARY), "phone": writings(PHONE[3:]), "place": writings(PLACE)}
    log, kept = installation.log("web"), b"\n".join(in_store(installation))
    assert b"web_started" in log
    for where, content in (("the log", log), ("the store", kept)):
        yield from (f"{name} is in {where}" for name, forms in words.items() if any(one in content for one in forms))


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    result = run(count=chosen.requests, seed=chosen.seed)
    print(f"seed {result.seed}: {result.requests} requests in {result.seconds:.0f} seconds")
    for title, counts in (("answers", result.statuses), ("refusals", result.refusals)):
        print(f"{title}: {', '.join(f'{word} {number}' for word, number in sorted(counts.items()))}")
    for kind, count in Counter(result.faults + result.leaks).most_common(20):
        print(f"{count} x {kind}")
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
