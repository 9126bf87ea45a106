"""dstack as a provider: one run of dstack is one rental of one offer."""

import contextlib
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from zebjax.distributed.machine import PRICE
from zebjax.operations.rented import dstack_files
from zebjax.operations.rented.model import ROLES, Instance, Offer
from zebjax.operations.rented.provider import Refused, Unreachable
from zebjax.operations.rented.spec import Spec

_TIMEOUT_S = 60.0
"""Of a call of dstack's server: its client has none."""
_MAX_OFFERS, _PAGE = 100, 100
_LOG_BYTES = 1 << 20
_EXITED = ("container_exited_with_error", "done_by_runner")
_REASONS: dict[str, Literal["capacity", "outbid", "start", "exit", "lost", "stopped"]] = {
    "failed_to_start_due_to_no_capacity": "capacity",
    "interrupted_by_no_capacity": "outbid",
    "waiting_instance_limit_exceeded": "start",
    "waiting_runner_limit_exceeded": "start",
    "creating_container_error": "start",
    "executor_error": "start",
    "ports_binding_failed": "start",
    "volume_error": "start",
    **dict.fromkeys(_EXITED, "exit"),
    "terminated_by_user": "stopped",
    "aborted_by_user": "stopped",
}
"""dstack's reasons for the end of a job -> ours; all others are "lost"."""
_ONE_MACHINE = ("vastai",)
"""Backends where an instance type is one machine's offer."""


class DstackProvider:
    """The protocol `provider.Provider` over dstack's server, as `dstack project` has set it up."""

    def __init__(self, spec: Spec) -> None:
        """Connect to the server.

        Raises:
            ValueError: if dstack is not installed, or no server is set up or answers.
        """
        self.spec = spec
        self._own = re.compile(rf"{re.escape(spec.name)}-({'|'.join(ROLES)})-\d+")
        try:
            from dstack._internal.core import errors
            from dstack.api import Client
        except ImportError as error:
            raise ValueError(
                f"a rented fleet needs dstack ({error}): pip install 'zebjax[fleet]'"
            ) from None
        self._errors = errors
        try:
            self._client = Client.from_config()
        except errors.DstackError as error:
            raise ValueError(
                f"no dstack server is set up ({_first_line(error)}): start one with `dstack "
                "server`, and see `dstack project`"
            ) from None
        session = self._client.client._s
        session.request = functools.partial(session.request, timeout=_TIMEOUT_S)
        with self._answers():  # the client retries for minutes: find out now if nobody is there
            self._client.client.projects.get(self._client.project)

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        """Turn errors of dstack into those of the protocol."""
        from requests import RequestException

        try:
            yield
        except (self._errors.ServerClientError, self._errors.ConfigurationError) as error:
            raise Refused(_first_line(error)) from None
        except (self._errors.DstackError, RequestException) as error:
            raise Unreachable(f"dstack's server: {_first_line(error)}") from None

    # ---- offers

    def list_offers(self, role: str) -> tuple[Offer, ...]:
        """See `Provider`."""
        configuration = dstack_files.task(self.spec, role, f"{self.spec.name}-offers")
        # Files would be uploaded; and with a fleet's name there are no offers before it is made.
        for field in ("files", "fleets"):
            configuration.pop(field, None)
        with self._answers():
            plan = self._client.runs.get_run_plan(
                dstack_files.parse(configuration), max_offers=_MAX_OFFERS, for_offers_only=True
            )
        found = [_offer(o) for o in plan.job_plans[0].offers if o.availability.is_available()]
        return tuple({offer.id: offer for offer in reversed(found)}.values())

    # ---- rentals

    def list_instances(self) -> tuple[Instance, ...]:
        """See `Provider`."""
        with self._answers():
            runs = {run.run_spec.run_name: run for run in (*self._latest(), *self._active())}
        return tuple(
            _instance(name, match[1], run)
            for name, run in runs.items()
            if (match := self._own.fullmatch(name or ""))
        )

    def _latest(self) -> list[Any]:
        found: list[Any] = self._client.client.runs.list(
            self._client.project, None, limit=_PAGE, job_submissions_limit=1
        )
        return found

    def _active(self) -> list[Any]:
        """All runs that are not over, on however many pages."""
        found: list[Any] = []
        while True:
            last = found[-1] if found else None
            page = self._client.client.runs.list(
                self._client.project,
                None,
                only_active=True,
                prev_submitted_at=last.submitted_at if last else None,
                prev_run_id=last.id if last else None,
                limit=_PAGE,
                job_submissions_limit=1,
            )
            found += page
            if len(page) < _PAGE:
                return found

    def rent(self, name: str, role: str, offer: Offer) -> None:
        """See `Provider`."""
        configuration = dstack_files.task(self.spec, role, name)
        backend, instance_type, region = offer.id.split("/", 2)
        price = f"{PRICE}={offer.usd_per_hour:g}"  # for the worker's heartbeat
        configuration["env"] = [*configuration.get("env", []), price]
        if backend != dstack_files.OWN_HOSTS:  # there dstack chooses
            configuration |= {"backends": [backend], "instance_types": [instance_type]}
            if backend not in _ONE_MACHINE:
                configuration["regions"] = [region]
        with self._answers():
            self._client.runs.apply_configuration(
                dstack_files.parse(configuration), reserve_ports=False
            )

    def end(self, name: str) -> None:
        """See `Provider`."""
        with self._answers(), contextlib.suppress(self._errors.ResourceNotExistsError):
            self._client.client.runs.stop(self._client.project, [name], abort=False)

    def list_machines(self) -> tuple[str, ...]:
        """See `Provider`."""
        with self._answers():
            fleets = self._client.client.fleets.list(self._client.project)
            active = [run.run_spec.run_name or "" for run in self._active()]
        machines = [
            f"{instance.name} ({instance.status.value})"
            for fleet in fleets
            if fleet.name == self.spec.name
            for instance in fleet.instances
            if instance.status.value != "terminated"
        ]
        own = [name for name in active if self._own.fullmatch(name)]
        return (*machines, *own)

    def open(self, folder: Path) -> None:
        """Make dstack's fleets from the files that `plan` wrote; those that exist are kept.

        Raises:
            ValueError: if dstack does not make one.
        """
        with self._answers():
            there = {fleet.name for fleet in self._client.client.fleets.list(self._client.project)}
        for file, configuration in dstack_files.fleets(self.spec).items():
            if configuration["name"] not in there:
                _dstack(folder, "apply", "--project", self._client.project, "-y", "-f", file)

    def close(self) -> None:
        """See `Provider`. One's own hosts stay in their fleet."""
        with self._answers(), contextlib.suppress(self._errors.ResourceNotExistsError):
            self._client.client.fleets.get(self._client.project, self.spec.name)
            self._client.client.fleets.delete(self._client.project, [self.spec.name])

    def missing_secrets(self) -> list[str]:
        """Names of the fleet's secrets that dstack's server does not have."""
        with self._answers():
            known = {
                secret.name for secret in self._client.client.secrets.list(self._client.project)
            }
        return [secret for _, secret in self.spec.secrets if secret not in known]

    def logs(self, name: str) -> str:
        """See `Provider`."""
        with self._answers():
            run = self._client.runs.get(name)
            if run is None:
                return ""
            data = b""
            for piece in run.logs():
                data = (data + piece)[-_LOG_BYTES:]
        return data.decode(errors="replace")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or getattr(error, "msg", "") or type(error).__name__
    return text.splitlines()[0]


def _offer(found: Any) -> Offer:
    resources, backend = found.instance.resources, found.backend.value
    gpus = resources.gpus
    return Offer(
        f"{backend}/{found.instance.name}/{found.region}",
        gpus[0].name if gpus else "",
        found.price,
        resources.cpus,
        len(gpus),
        is_one_machine=backend in _ONE_MACHINE,
    )


def _instance(name: str, role: str, run: Any) -> Instance:
    job = run.latest_job_submission
    if job is None and run.jobs:
        job = run.jobs[0].job_submissions[-1]
    placed = job.job_provisioning_data if job else None
    offer, gpu, price, host = "", "", 0.0, ""
    if placed is not None:
        gpus = placed.instance_type.resources.gpus
        offer = f"{placed.backend.value}/{placed.instance_type.name}/{placed.region}"
        gpu, price, host = gpus[0].name if gpus else "", placed.price, placed.hostname or ""
    status = job.status.value if job else run.status.value
    state: Literal["starting", "running", "ending", "ended"] = "starting"
    if run.status.is_finished():
        state = "ended"
    elif status == "running":
        state = "running"
    elif status == "terminating" or run.status.value == "terminating":
        state = "ending"
    reason = str(getattr(job, "termination_reason", None) or "")
    detail = str(getattr(job, "termination_reason_message", None) or reason or status)
    return Instance(
        name,
        role,
        offer,
        gpu,
        price,
        state,
        _REASONS.get(reason, "lost") if state == "ended" else "",
        getattr(job, "exit_status", None),
        host,
        detail.splitlines()[0] if detail else "",
    )


def _dstack(folder: Path, *words: str) -> None:
    """Run dstack's own command line in a folder, as it only accepts files below it."""
    program = "from dstack._internal.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ValueError(f"dstack {' '.join(words)}: {said[-1] if said else done.returncode}")
