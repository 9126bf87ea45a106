"""What stands before the routes: allowed hosts, rates, sizes, and the headers of every answer."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1024
MAX_BODY_S = 10.0
"""Seconds in which a body must have arrived."""
RATE_PER_S, BURST = 20.0, 60.0
"""Requests of one address: on average, and at once."""
MAX_ADDRESSES = 4096
HEADERS = {
    # Nothing from elsewhere, no inline script or style, no frame around the page.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that gets a status of 4xx and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def refusal(refused: Refused) -> JSONResponse:
    """The answer to a refused request."""
    return JSONResponse({"error": str(refused)}, refused.status)


class Rates:
    """A bucket of requests for each address, which fills at a constant rate."""

    def __init__(
        self,
        per_s: float = RATE_PER_S,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> bool:
        """Take one request from an address's bucket; False if it is empty."""
        now = self._clock()
        left, then = self._buckets.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_s)
        self._buckets[address] = (max(0.0, left - 1), now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)  # the address that was silent for longest
        return left >= 1


class Guard:
    """ASGI middleware: refuses what comes from elsewhere or too often, and adds the headers."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], rates: Rates) -> None:
        """Wrap an app.

        Args:
            app: the routes.
            hosts: names, without port, under which the server may be addressed. Another name is
                refused, so that a foreign page cannot reach a server on loopback by a DNS name.
            rates: of all addresses.
        """
        self._app, self._hosts, self._rates = app, frozenset(hosts), rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":  # there are no websockets
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            self._check(scope)
        except Refused as refused:
            await refusal(refused)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        address = (scope.get("client") or ("", 0))[0]
        if not self._rates.take(address):
            raise Refused(429, "too many requests; wait a second")
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            raise Refused(421, "host: this server is not known under that name")
        if scope["method"] in ("GET", "HEAD"):
            return
        if headers.get("origin", f"http://{host}") not in (f"http://{host}", f"https://{host}"):
            raise Refused(403, "origin: expected a request of this server's own page")
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "content-type: expected application/json")


def host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()


async def body(request: Request) -> dict[str, Any]:
    """Read the JSON object of a request.

    Raises:
        Refused: if it is too large or too slow, or is no JSON object.
    """
    try:
        data = await asyncio.wait_for(_read(request), MAX_BODY_S)
    except TimeoutError:
        raise Refused(408, f"body: expected within {MAX_BODY_S:g} seconds") from None
    except ClientDisconnect:
        raise Refused(400, "body: the connection has ended") from None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused(400, "body: expected JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "body: expected a JSON object")
    return found


async def _read(request: Request) -> bytes:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY_BYTES:
            raise Refused(413, f"body: expected at most {MAX_BODY_BYTES:,} bytes")
    return data
