"""The headers of every page: no script but the site's own files, no other origin, nothing kept or passed on."""

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "  # libsodium is WebAssembly
    "style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Headers:
    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def with_headers(message):
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = message | {"headers": [*message["headers"], *own]}
            await send(message)

        await self._app(scope, receive, with_headers)
