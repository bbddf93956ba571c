"""Errors as answers (RFC 9457): what is wrong with a request, with the name of a field and never its value."""

import json

from starlette.responses import Response

PROBLEM = "application/problem+json"
LATER = {"Retry-After": "10"}  # seconds


def problem_document(status: int, kind: str, detail: str, field: str | None = None) -> dict[str, object]:
    """Describe an error in the form of RFC 9457; ``detail`` names a field and never a value."""
    document: dict[str, object] = {"type": f"urn:reminder-worker:{kind}", "title": kind, "status": status}
    return document | {"detail": detail} | ({} if field is None else {"field": field})


def problem(status: int, kind: str, detail: str, field: str | None = None, **headers: str) -> Response:
    """Return an error as an answer."""
    content = json.dumps(problem_document(status, kind, detail, field)).encode()
    return Response(content, status, headers=headers, media_type=PROBLEM)
