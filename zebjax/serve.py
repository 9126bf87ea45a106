"""The command `zebjax serve`: tables in a browser."""

import argparse
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zebjax.common import cli
from zebjax.players import spec
from zebjax.table import MAX_SEED, options

if TYPE_CHECKING:
    from zebjax.table.host import Host

DEFAULT = ("random", "heuristic", "zeb:bundled")
BIDDING_DEFAULT = ("heuristic", options.BIDDING_PLAYER)
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_MAX_CONNECTIONS = 200
_MAX_HEADER_BYTES = 16 << 10


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "serve",
        "Serve tables of Texas 42 to browsers: one page, on which a person plays with three of\n"
        "the players given here. On this machine only, unless --host says otherwise.",
        "",
        "--bid --special nello,plunge,splash,sevens",
        "heuristic zeb:bundled eq:n=20 --port 8042 --games runs/table",
        notes='It needs the extra serve: pip install "zebjax[serve]"\n'
        "There are no accounts and no encryption: for other machines than your own, put it behind\n"
        "a reverse proxy that has them, and name that proxy's host with --allow-host. Requests\n"
        "of other programs: zebjax/serve.md.\n\n"
        f"{spec.help_text()}",
    )
    made.add_argument(
        "players",
        nargs="*",
        metavar="PLAYER",
        help=f"to choose from (default {' '.join(DEFAULT)}; with --bid "
        f"{' '.join(BIDDING_DEFAULT)}); as listed below, not cheat",
    )
    made.add_argument("--host", default="127.0.0.1", help="address (default 127.0.0.1)")
    made.add_argument(
        "--port", type=cli.integer(0, 65535), default=8042, help="default 8042; 0: any free one"
    )
    made.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name under which browsers reach the server; may be repeated",
    )
    options.add(made)
    return made


def seeds(first: int | None) -> Callable[[], int]:
    """A function that gives a seed for each hand: counted from `first`, or drawn anew."""
    if first is None:
        return lambda: secrets.randbelow(MAX_SEED + 1)
    count = iter(range(first, MAX_SEED + first))
    return lambda: next(count) % (MAX_SEED + 1)


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address; an OSError says that it is in use, before players are loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise ValueError(f"{host}:{port}: cannot be served ({reason.lower()})") from None
    return bound


def _run(arguments: argparse.Namespace) -> int:
    options.need_extra("serve", "starlette", "uvicorn")
    default = BIDDING_DEFAULT if arguments.bid else DEFAULT
    with _bound(arguments.host, arguments.port) as bound:
        host = options.open_host(arguments, arguments.players or list(default))
        _serve(host, arguments, bound)
    return 0


def _serve(host: "Host", arguments: argparse.Namespace, bound: socket.socket) -> None:
    import uvicorn

    from zebjax.table.web import app

    names = {*LOOPBACK, arguments.host.lower(), *map(str.lower, arguments.allow_host)}
    config = uvicorn.Config(
        app.make(app.Server(host, seeds(arguments.seed)), names),
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody could write them
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
    )
    print(f"http://{arguments.host}:{bound.getsockname()[1]}/  (Ctrl-C ends it)", flush=True)
    uvicorn.Server(config).run(sockets=[bound])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("serve", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
