"""Follow a run: poll it, keep its last state, announce alarms, serve metrics."""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import cli

if TYPE_CHECKING:  # imported when the command runs, so that `--help` is fast
    from zebjax.operations.watching.announce import Announcer
    from zebjax.operations.watching.facts import State
    from zebjax.operations.watching.target import Target

CANNOT_POLL = "cannot_poll"
_CANNOT_POLL_S = 300.0
"""Seconds without an answer of the store after which that is an alarm of its own."""
LOOPBACK = "127.0.0.1"


def add_options(parser: cli.Parser) -> None:
    """Add the options of commands that follow a run."""
    parser.add_argument(
        "--alert",
        metavar="CMD",
        help="run this shell command once when an alarm begins and once when it ends (mail, ntfy, "
        "Slack); it finds ZEBJAX_ALARM (name and sentence), ZEBJAX_STATE (began or ended) and "
        "ZEBJAX_RUN in its environment, has 30 seconds, and is not repeated after a restart",
    )
    parser.add_argument(
        "--alert-warnings",
        action="store_true",
        help="run the command of --alert for warnings about the metrics too (memorising, stale, "
        "...): the run works then, but learns less than it could",
    )
    parser.add_argument(
        "--metrics-port",
        type=cli.integer(0, 65535),
        metavar="PORT",
        help="serve the state as Prometheus text on http://HOST:PORT/metrics; 0: any free port",
    )
    parser.add_argument(
        "--metrics-host",
        default=LOOPBACK,
        metavar="HOST",
        help=f"the address for --metrics-port (default: {LOOPBACK}, this machine only)",
    )


class Follower:
    """The last state of a run; `poll` renews it."""

    def __init__(
        self,
        target: "Target",
        state: "State",
        announcer: "Announcer | None",
        with_warnings: bool = False,
    ) -> None:
        """Follow a run.

        Args:
            target: the run.
            state: its state at the first poll.
            announcer: announces alarms; None without one.
            with_warnings: True to announce warnings about the metrics too.
        """
        self.target, self.state = target, state
        self._with_warnings = with_warnings
        self.trouble: str | None = None
        """Why the last poll failed; None if it did not."""
        self._announcer = announcer
        self._answered = time.monotonic()

    def poll(self) -> list[str]:
        """Poll once and announce alarms; return a sentence for each problem.

        A poll that fails keeps the last state: perhaps the store is away only briefly.
        """
        try:
            self.state, self.trouble = self.target.poll(), None
            self._answered = time.monotonic()
        except (ValueError, OSError) as error:
            self.trouble = f"the last state; cannot poll now: {error}"
        return self._announce()

    def alarms(self) -> dict[str, str]:
        """The present alarms, name -> sentence."""
        found = {name: self.state["alarm_texts"].get(name, "") for name in self.state["alarms"]}
        away_s = time.monotonic() - self._answered
        if self.trouble is not None and away_s >= _CANNOT_POLL_S:
            found[CANNOT_POLL] = self.trouble
        return found

    def _announce(self) -> list[str]:
        if self._announcer is None:
            return []
        now = self.alarms()
        if self._with_warnings:
            now |= {f"warning {name}": text for name, text in self.state["warnings"].items()}
        return self._announcer.update(now, str(self.state["run"]))


@contextlib.contextmanager
def following(
    arguments: argparse.Namespace, target: "Target", state: "State", note: Callable[[str], None]
) -> Iterator[Follower]:
    """Follow a run as the options of `add_options` say.

    Args:
        arguments: of the command.
        target: the run.
        state: its state at the first poll.
        note: receives sentences for the user.

    Raises:
        ValueError: if an option lacks another, the port is taken, or another process announces the
            same alarms.
    """
    from zebjax.operations.watching import announce, prometheus

    if arguments.alert_warnings and arguments.alert is None:
        raise ValueError("--alert-warnings needs --alert CMD")
    with contextlib.ExitStack() as stack:
        announcer = None
        if arguments.alert is not None:
            # The same run under a relative and an absolute path is one run.
            is_url = "://" in target.where
            where = target.where if is_url else str(Path(target.where).absolute())
            announcer = stack.enter_context(announce.opened(arguments.alert, where, note))
        follower = Follower(target, state, announcer, arguments.alert_warnings)
        if arguments.metrics_port is not None:
            server = prometheus.Server(
                arguments.metrics_host, arguments.metrics_port, lambda: follower.state
            )
            stack.callback(server.close)
            note(f"metrics on http://{arguments.metrics_host}:{server.port}/metrics")
        yield follower
