"""A server that first ends its streams, which have no end of their own, and then waits for what is under way."""

import socket
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.applications import Starlette


class Server(uvicorn.Server):
    """First ends what has no end of its own."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then wait for the rest."""
        assert isinstance(self.config.app, Starlette)
        for end in getattr(self.config.app.state, "ends", ()):
            await end()
        await super().shutdown(sockets)


def ending(app: Starlette, end: Callable[[], Awaitable[None]]) -> Starlette:
    """Have ``end`` called as soon as the server is told to shut down."""
    app.state.ends = (end,)
    return app
