"""A server that says that it ends before it waits for what is under way: streams have no end of their own."""

import socket
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.applications import Starlette


class Server(uvicorn.Server):
    """Ends what has no end of its own first."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, then wait for the rest."""
        assert isinstance(self.config.app, Starlette)
        for end in getattr(self.config.app.state, "ends", ()):
            await end()
        await super().shutdown(sockets)


def ending(app: Starlette, end: Callable[[], Awaitable[None]]) -> Starlette:
    """Have something done as soon as the server is told to end."""
    app.state.ends = (end,)
    return app
