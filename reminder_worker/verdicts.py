"""What the HTTP API answers: a status and a document for each answer of the ledger, and for each refusal."""

import http
import json

from starlette.responses import Response

from reminder_worker.apikeys import Caller
from reminder_worker.errors import Reason, Refused
from reminder_worker.gateway import Mode
from reminder_worker.history import in_utc
from reminder_worker.ledger import Answer
from reminder_worker.padding import step
from reminder_worker.problems import LATER, problem, problem_document

AGAIN = {"Retry-After": "15"}  # seconds; an attempt in flight is known by then
STATUS = {
    Answer.ADDED: 201,
    Answer.UNCHANGED: 200,
    Answer.MOVED: 200,
    Answer.CANCELLED: 200,
    Answer.IN_FLIGHT: 409,
    Answer.ENDED: 409,
    Answer.MISSING: 404,
}
WHY = {
    Answer.IN_FLIGHT: "a provider is being called: this text may arrive; ask again shortly",
    Answer.ENDED: "nothing was left to cancel: see what became of it",
    Answer.MISSING: "there is no such appointment, or not any more",
}

_REFUSAL_STATUS = {Reason.MALFORMED: 400, Reason.MEDIA_TYPE: 415, Reason.TOO_LARGE: 413}


def refusal(refused: Refused) -> Response:
    """Answer a request that is not accepted, with the field that has to be fixed."""
    return problem(_REFUSAL_STATUS.get(refused.reason, 422), refused.reason, str(refused), refused.field)


def of_batch(said: Answer | Refused) -> dict[str, object]:
    """Write one answer of a batch; its status is what a single call would have had."""
    if isinstance(said, Refused):
        return problem_document(_REFUSAL_STATUS.get(said.reason, 422), said.reason, str(said), said.field)
    if said in WHY:
        return problem_document(STATUS[said], said, WHY[said], "reference")
    return {"status": STATUS[said], "result": said}


def answer(said: Answer) -> Response:
    """Pass on the ledger's answer."""
    if said not in WHY:
        return document({"result": said}, STATUS[said])
    return problem(STATUS[said], said, WHY[said], "reference", **(AGAIN if said is Answer.IN_FLIGHT else {}))


def unauthorised() -> Response:
    """Report that no valid key came with the call."""
    detail = "send a valid key as Authorization: Bearer rwk_…"
    return problem(401, "unauthorised", detail, "Authorization", **{"WWW-Authenticate": "Bearer"})


def forbidden(scope: str) -> Response:
    """Report that a key is valid, but not for this."""
    return problem(403, "forbidden", f"this key may not {scope}", "Authorization")


def no_table() -> Response:
    """Report that a key is valid, but its platform not in the settings; only the key's holder learns this."""
    detail = "its platform is not in web's settings: web's operator adds a table [platforms.NAME] and restarts web"
    return problem(403, "forbidden", detail, "Authorization")


def busy() -> Response:
    """Report that too much is under way."""
    return problem(503, "busy", "too many calls at once", **LATER)


def store_away() -> Response:
    """Report that nothing is known to be stored: it has to be handed in again."""
    return problem(503, "store_away", "the store does not answer, or does not confirm", **LATER)


def key(caller: Caller) -> Response:
    """Describe a key."""
    told = {"platform": caller.platform, "test": caller.mode is Mode.TEST, "scopes": sorted(caller.scopes)}
    return document(told | {"expires": in_utc(caller.expires)})


def too_fast(wait: float) -> Response:
    """Tell a platform that it calls too often."""
    return problem(429, "too_many_requests", "slow down", **{"Retry-After": str(int(wait) + 1)})


def store_full() -> Response:
    """Report that nothing more is taken for now."""
    return problem(503, "store_full", "the store is nearly full; what is there can still be cancelled", **LATER)


def even(response: Response, least: int) -> Response:
    """Fill an answer up, so that neither its length nor that of its head tells which one it is."""
    told = [pair for pair in response.raw_headers if pair[0] != b"content-length"]
    head = len(http.HTTPStatus(response.status_code).phrase) + sum(len(name) + len(value) + 4 for name, value in told)
    response.body = bytes(response.body).ljust(step(max(len(response.body) + head, least)) - head)
    response.headers["Content-Length"] = str(len(response.body))
    return response


def document(content: object, status: int = 200) -> Response:
    """Answer with a document that no cache on the way may keep."""
    return Response(json.dumps(content), status, {"Cache-Control": "no-store"}, "application/json")
