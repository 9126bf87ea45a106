"""The routes of a server of tables. All work is done by one thread, so requests wait in a line."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from zebjax import bidding, special
from zebjax.table import saving, state, text, views
from zebjax.table.host import Host
from zebjax.table.web.guard import Guard, Rates, Refused, body, refusal
from zebjax.table.web.tables import Sitting, Tables

T = TypeVar("T")
View = dict[str, Any]
Answer = Callable[[Request], Awaitable[Response]]

MAX_WAITING = 32
"""Requests that wait for the thread."""
MAX_SAVED = 10_000
"""Finished hands that one server writes to its folder."""
FILES = {
    "/": ("page.html", "text/html"),
    "/static/table.css": ("table.css", "text/css"),
    "/static/domino.js": ("domino.js", "text/javascript"),
    "/static/panels.js": ("panels.js", "text/javascript"),
    "/static/page.js": ("page.js", "text/javascript"),
    "/static/server.js": ("server.js", "text/javascript"),
}
"""Path -> file of the package and its type. Nothing else is served."""
_log = logging.getLogger("zebjax.serve")


class Server:
    """The tables of one server, and the answers to requests."""

    def __init__(self, host: Host, seeds: Callable[[], int], tables: Tables | None = None) -> None:
        """Make a server.

        Args:
            host: with the players that may be chosen.
            seeds: gives the seed of each hand.
            tables: of limited number.
        """
        self.tables = Tables() if tables is None else tables
        self._host, self._seeds = host, seeds
        self._names = list(host.bots)
        self._thread = ThreadPoolExecutor(1, "table")
        self._waiting = self._saved = 0

    async def about(self, _: Request) -> Response:
        """The players that may be chosen, and what to know of them."""
        has_bids = self._host.bidder is not None
        rules = [" ".join(text.RULES_OF_OPTIONS[each].split()) for each in self._host.options]
        known = {"players": self._names, "bids": has_bids, "notice": self._host.notice}
        return JSONResponse(known | {"special": rules})

    async def create(self, request: Request) -> Response:
        """Start a table."""
        fields = await body(request)
        _only(fields, "players", "seat")
        chosen = fields.get("players")
        if not isinstance(chosen, list) or len(chosen) != 3:
            raise Refused(400, "players: expected a list of three numbers")
        others = tuple(
            self._names[_integer("players", each, len(self._names) - 1)] for each in chosen
        )
        seat = _integer("seat", fields.get("seat"), 3)
        self._check_waiting()
        self.tables.check_room()
        has_bids, options = self._host.bidder is not None, self._host.options
        table = await self._work(lambda: state.new(seat, others, self._seeds(), has_bids, options))
        name = self.tables.add(table)
        after = await self._others_play(name, self.tables.find(name))
        return JSONResponse({"table": name, "views": [views.view(table), *after]}, 201)

    async def show(self, request: Request) -> Response:
        """The state of a table."""
        sitting = self.tables.find(request.path_params["name"])
        return JSONResponse({"views": [views.view(sitting.table)]})

    async def leave(self, request: Request) -> Response:
        """Forget a table."""
        self.tables.find(request.path_params["name"])
        self.tables.remove(request.path_params["name"])
        return JSONResponse({})

    async def act(self, request: Request) -> Response:
        """Do one of `ACTIONS` at a table."""
        name, action = request.path_params["name"], request.path_params["action"]
        if action not in ACTIONS:
            raise Refused(404, f"action: expected one of {', '.join(ACTIONS)}")
        fields = await body(request)
        _only(fields, "ply", "number", "undone", *FIELDS.get(action, ()))
        ply = _integer("ply", fields.get("ply"), 28)
        number = _integer("number", fields.get("number"), 2**31)
        undone = _integer("undone", fields.get("undone"), 2**31)
        if action == "play":
            _integer("tile", fields.get("tile"), 27)
        elif action == "bid":
            _call(fields.get("bid"))
        elif action == "declare":
            _integer("declaration", fields.get("declaration"), special.N_DECLARATIONS - 1)
        sitting = self.tables.find(name)
        self._check_waiting()
        if sitting.lock.locked():
            raise Refused(409, "wait for the answer to the last request")
        async with sitting.lock:
            # Twice the same click, or an old page: it would act on what it does not show.
            now = sitting.table
            if (number, ply, undone) != (now.number, len(now.game.plays), now.undone):
                raise Refused(409, "this page is not up to date; load it again")
            return JSONResponse(await self._acted(action, name, sitting, fields))

    async def _acted(
        self, action: str, name: str, sitting: Sitting, fields: dict[str, Any]
    ) -> dict[str, Any]:
        table = sitting.table
        if action in ADVICE:
            advise = getattr(self._host, action)
            return {action: await self._guarded(name, lambda: advise(table))}
        if action == "text":
            if not table.is_over:
                raise Refused(409, "text: this hand is not over")
            return {"text": saving.as_text(table)}
        if action in ("play", "bid", "declare") and not table.is_over and not table.is_turn:
            raise Refused(409, f"{action}: it is not your turn")
        changes = {
            "bid": lambda: state.call(table, _call(fields["bid"])),
            "declare": lambda: state.declare(table, fields["declaration"]),
            "play": lambda: state.play(table, fields["tile"]),
            "undo": lambda: state.undo(table),
            "next": lambda: state.next_hand(table, self._seeds()),
        }
        sitting.table = await self._guarded(name, changes[action])
        first = views.view(sitting.table)
        return {"views": [first, *await self._others_play(name, sitting)]}

    async def _guarded(self, name: str, work: Callable[[], T]) -> T:
        """Do the work of a request; what is wrong with the request is a ValueError."""
        try:
            return await self._work(work)
        except ValueError as error:
            raise Refused(409, str(error)) from None
        except Exception as error:
            raise self._failed(name, error) from error

    async def _others_play(self, name: str, sitting: Sitting) -> list[View]:
        """Let the others act until it is the person's turn; the view after each step."""
        after = []
        try:
            while not sitting.table.is_turn and not sitting.table.is_over:
                step = functools.partial(self._host.step, sitting.table)
                sitting.table = await self._work(step)
                after.append(views.view(sitting.table))
        except Exception as error:
            raise self._failed(name, error) from error
        if after or sitting.table.is_over:
            await self._save(sitting)
        return after

    async def _save(self, sitting: Sitting) -> None:
        table = sitting.table
        if not table.is_over or self._saved >= MAX_SAVED:
            return
        self._saved += 1
        number, earlier = sitting.saved or (0, None)
        if number != table.number:  # else it was over before an undo: its files are replaced
            earlier = None
        try:
            path = await self._work(lambda: self._host.save(table, earlier))
            sitting.saved = None if path is None else (table.number, path)
        except (ValueError, OSError) as error:
            _log.warning("a finished hand is not saved: %s", error)

    def _failed(self, name: str, error: Exception) -> HTTPException:
        """Close a table whose player or advice has failed; the others go on."""
        _log.error("table %.6s... is closed: %s", name, error, exc_info=error)
        self.tables.remove(name)
        return HTTPException(500, "this table has failed and is closed; start a new one")

    def _check_waiting(self) -> None:
        if self._waiting >= MAX_WAITING:
            raise Refused(429, "the server is busy; try again in a few seconds")

    async def _work(self, work: Callable[[], T]) -> T:
        """Do work in the thread. The solver uses all cores, so two at once would gain nothing."""
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1


ADVICE = ("hint", "beliefs", "review")
FIELDS = {"play": ["tile"], "bid": ["bid"], "declare": ["declaration"]}
"""Fields of an action beside the place of the page, `number`, `ply` and `undone`."""
ACTIONS = (*FIELDS, "undo", "next", *ADVICE, "text")


def _only(fields: dict[str, Any], *names: str) -> None:
    for name in fields:
        if name not in names:
            raise Refused(400, f"unknown field {name!r:.40}; expected {', '.join(names)}")


def _integer(name: str, value: Any, high: int) -> int:
    if type(value) is not int or not 0 <= value <= high:
        raise Refused(400, f"{name}: expected an integer 0..{high}")
    return value


def _call(value: Any) -> bidding.Call:
    """The call of a field: a text as in `pass`, `31`, `2 marks`."""
    if not isinstance(value, str):
        raise Refused(400, "bid: expected a text as in pass, 31 or 2 marks")
    try:
        return bidding.read(value[:20])
    except ValueError as error:
        raise Refused(400, f"bid: {error}") from None


def static(path: str) -> Answer:
    """The answer with one file of the package."""
    name, kind = FILES[path]
    data = (resources.files(__package__) / "static" / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(data, media_type=kind)

    return answer


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error)


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def make(server: Server, hosts: Collection[str], rates: Rates | None = None) -> ASGIApp:
    """Make the app of a server.

    Args:
        server: the tables.
        hosts: see `Guard`.
        rates: limits of requests; None for the default.
    """
    routes = [
        *(Route(path, static(path), methods=["GET"]) for path in FILES),
        Route("/api/about", server.about, methods=["GET"]),
        Route("/api/tables", server.create, methods=["POST"]),
        Route("/api/tables/{name}", server.show, methods=["GET"]),
        Route("/api/tables/{name}", server.leave, methods=["DELETE"]),
        Route("/api/tables/{name}/{action}", server.act, methods=["POST"]),
    ]
    handlers = {Refused: _on_refused, HTTPException: _on_http_error}
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, hosts, rates or Rates())
