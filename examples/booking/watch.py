"""Who sees what, live: one page that looks into every party's holdings at once. Only for this demonstration.

No real party could do this: it reads files of six processes. It keeps nothing, and logs no request.
"""

import json
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.booking.holdings import Holdings
from examples.booking.security import Headers
from examples.booking.site import HERE, id_of, page

SEARCH_LIMIT = 300  # characters


def app(told):
    holdings = Holdings(told)

    async def search(request):
        text = (await request.body()).decode("utf-8", "replace")[:SEARCH_LIMIT]
        if len(text.strip()) < 5:
            raise HTTPException(422, "too short")
        return JSONResponse(holdings.search(text))

    return Starlette(
        routes=[
            Route("/", page("watch")),
            Route("/site", lambda _: JSONResponse(told["site"])),
            Route("/appointments", lambda _: JSONResponse(holdings.appointments())),
            Route("/appointments/{id}", lambda request: JSONResponse(holdings.look(id_of(request)))),
            Route("/search", search, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Headers)],
    )


if __name__ == "__main__":
    told = json.loads(Path("watch.json").read_bytes())
    uvicorn.run(app(told), host="127.0.0.1", port=told["port"], log_level="warning", server_header=False)
