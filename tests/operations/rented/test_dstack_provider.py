"""dstack's runs become rentals: states, and whose fault an end was."""

import importlib.util
import types

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("dstack") is None, reason="needs zebjax[fleet]"
)


def run(status, job_status, reason=None, exit_status=None):
    from dstack._internal.core.models.runs import JobStatus, RunStatus

    job = types.SimpleNamespace(
        status=JobStatus(job_status),
        termination_reason=reason,
        termination_reason_message=None,
        exit_status=exit_status,
        job_provisioning_data=None,
    )
    return types.SimpleNamespace(status=RunStatus(status), latest_job_submission=job, jobs=[])


@pytest.mark.parametrize(
    ("status", "job_status", "reason", "expected"),
    [
        ("submitted", "submitted", None, ("starting", "")),
        ("provisioning", "pulling", None, ("starting", "")),
        ("running", "running", None, ("running", "")),
        ("terminating", "terminating", "container_exited_with_error", ("ending", "")),
        ("failed", "failed", "container_exited_with_error", ("ended", "exit")),
        ("done", "done", "done_by_runner", ("ended", "exit")),
        ("failed", "failed", "failed_to_start_due_to_no_capacity", ("ended", "capacity")),
        ("failed", "failed", "waiting_instance_limit_exceeded", ("ended", "start")),
        ("failed", "failed", "interrupted_by_no_capacity", ("ended", "outbid")),
        ("failed", "failed", "instance_unreachable", ("ended", "lost")),
        ("terminated", "terminated", "terminated_by_user", ("ended", "stopped")),
        ("failed", "failed", "a_reason_of_a_later_version", ("ended", "lost")),
    ],
)
def test_a_run_of_dstack_is_a_rental(status, job_status, reason, expected):
    from zebjax.operations.rented import dstack_provider

    made = dstack_provider._instance("f-selfplay-1", "selfplay", run(status, job_status, reason, 3))
    assert (made.state, made.reason) == expected and made.exit_status == 3


def test_the_reasons_are_those_of_dstack():
    from dstack._internal.core.models.runs import JobTerminationReason

    from zebjax.operations.rented import dstack_provider

    assert set(dstack_provider._REASONS) <= {reason.value for reason in JobTerminationReason}


def test_without_a_server_there_is_one_sentence(tmp_path, monkeypatch):
    from zebjax.operations.rented import dstack_provider, spec
    from zebjax.operations.rented.settings import Rules

    for name in ("DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = spec.Spec("f", "quickstart", (), "s3://b/q", "q", Rules(), spec.Machines(image="z"))
    with pytest.raises(ValueError, match="no dstack server is set up"):
        dstack_provider.DstackProvider(made)
