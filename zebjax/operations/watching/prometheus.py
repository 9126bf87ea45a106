"""The state of a run as Prometheus text, and a small server for it.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from zebjax.operations.watching import alarms, facts
from zebjax.operations.watching.facts import State

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MAX_PROCESSES = 1000
_LEARNER = {
    "step": "zebjax_step",
    "last_step": "zebjax_last_step",
    "step_age_s": "zebjax_step_age_seconds",
    "cycle_s": "zebjax_cycle_seconds",
    "total_games": "zebjax_games",
    "have": "zebjax_waits_have",
    "needed": "zebjax_waits_needed",
    "buffer": "zebjax_buffer_examples",
    "capacity": "zebjax_buffer_capacity_examples",
}
_PROCESS = {
    "games_per_s": "zebjax_process_games_per_second",
    "games": "zebjax_process_games",
    "step": "zebjax_process_step",
    "lag": "zebjax_process_lag",
    "last_seen_s": "zebjax_process_last_seen_seconds",
    "last_batch_s": "zebjax_process_last_batch_seconds",
    "spooled_files": "zebjax_process_waiting_files",
    "dropped_games": "zebjax_process_dropped_games",
    "price_usd_per_hour": "zebjax_process_usd_per_hour",
}


class Sample(NamedTuple):
    """One value of a gauge."""

    name: str
    labels: dict[str, str]
    value: float


def samples(state: State) -> Iterator[Sample]:
    """Yield the state's facts; each name with each set of labels at most once."""
    run = {"run": str(state["run"])}
    learner = state["learner"]
    yield from _values(learner, _LEARNER, run)
    if "phase" in learner:
        yield Sample("zebjax_phase", run | {"phase": str(learner["phase"])}, 1)
    names = (*alarms.TEXTS, alarms.STEP_STANDS)
    for name in dict.fromkeys((*names, *state["alarms"])):
        yield Sample("zebjax_alarm", run | {"alarm": name}, name in state["alarms"])
    for name in state["warnings"]:
        yield Sample("zebjax_warning", run | {"warning": name}, 1)
    for name, value in state["metrics"].items():
        yield Sample("zebjax_metric", run | {"name": name}, value)
    for role, speed in state["games_per_s"].items():
        yield Sample("zebjax_games_per_second", run | {"role": role}, speed)
    if state["usd_per_hour"] is not None:
        yield Sample("zebjax_usd_per_hour", run, state["usd_per_hour"])
    seen = set()
    for process in state["processes"][:_MAX_PROCESSES]:
        labels = run | {key: str(process.get(key, "?")) for key in ("role", "name")}
        if (labels["role"], labels["name"]) in seen:  # a learner may claim a worker's name
            continue
        seen.add((labels["role"], labels["name"]))
        about = {key: str(process.get(key, "")) for key in ("host", "device")}
        yield Sample("zebjax_process_up", labels | about, process["alive"])
        yield from _values(process, _PROCESS, labels)


def _values(
    values: Mapping[str, Any], names: Mapping[str, str], labels: dict[str, str]
) -> Iterator[Sample]:
    for key, name in names.items():
        value = facts.number(values, key)
        if value is not None:
            yield Sample(name, labels, value)


def text(state: State) -> str:
    """Return the state in the text format, the samples of a gauge together."""
    by_name: dict[str, list[str]] = {}
    for name, labels, value in samples(state):
        inner = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        by_name.setdefault(name, []).append(f"{name}{{{inner}}} {float(value):.17g}")
    blocks = (f"# TYPE {name} gauge\n" + "\n".join(rows) for name, rows in by_name.items())
    return "\n".join(blocks) + "\n"


def _escaped(label: str) -> str:
    for odd, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        label = label.replace(odd, escaped)
    return label.encode(errors="replace").decode()


class Server:
    """Serves the newest state on `/metrics`, in threads of its own."""

    def __init__(self, host: str, port: int, newest: Callable[[], State | None]) -> None:
        """Start to listen.

        Args:
            host: the address to listen on.
            port: the port; 0 for any free one.
            newest: returns the state to show; None if there is none yet.

        Raises:
            ValueError: if the port cannot be used.
        """
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(newest))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"--metrics-port: cannot listen on {host}:{port} ({reason}); expected a free port"
            ) from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()


def _handler(newest: Callable[[], State | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds, so that a client that sends nothing keeps no thread

        def do_GET(self) -> None:
            """Answer with the metrics."""
            state = newest()
            if self.path.partition("?")[0] != "/metrics":
                self._answer(404, "expected /metrics\n")
            elif state is None:
                self._answer(503, "nothing is known yet\n")
            else:
                self._answer(200, text(state))

        def _answer(self, status: int, body: str) -> None:
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing: the terminal shows the run."""

    return Handler
