"""The measurement of a GPU loses nothing to a step that fails or hangs, and says so."""

import json
import sys

import numpy as np
import pytest

from benchmarks import on_gpu
from benchmarks.gpu import steps, trace
from benchmarks.gpu.trace import Event
from benchmarks.on_gpu import Step


def python(code):
    return [sys.executable, "-c", code]


def test_a_step_that_fails_or_hangs_loses_nothing(tmp_path):
    codes = {
        "good": "print('measured')",
        "bad": "print('one'); raise SystemExit('it broke')",
        # Its child holds the output open and must end too.
        "stuck": "import subprocess, time; print('begun', flush=True); "
        "subprocess.Popen(['sleep', '60']).wait()",
        "last": "print('measured too')",
    }
    asked = [Step(name, 1.0 if name == "stuck" else 60.0) for name in codes]
    done = on_gpu.run(asked, tmp_path, lambda step: python(codes[step.name]))
    assert {name: found["status"] for name, found in done.items()} == {
        "good": "ok",
        "bad": "failed",
        "stuck": "too slow",
        "last": "ok",
    }
    assert done["bad"]["last_lines"] == ["one", "it broke"] and done["bad"]["exit_status"] == 1
    assert done["stuck"]["last_lines"] == ["begun"] and done["stuck"]["wall_s"] < 30
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == done
    assert (tmp_path / "last.log").read_text() == "measured too\n"


def test_the_summary_is_there_after_each_step(tmp_path):
    seen = []

    def make(step):
        file = tmp_path / "summary.json"
        seen.append(list(json.loads(file.read_text())["steps"]) if file.exists() else [])
        return python("")

    on_gpu.run([Step("a", 60), Step("b", 60)], tmp_path, make)
    assert seen == [[], ["a"]]


@pytest.mark.parametrize(("broken", "status"), [((), 0), (("sweep",), 1)])
def test_the_exit_status_says_if_a_step_failed(tmp_path, monkeypatch, capsys, broken, status):
    def command(step, out, is_smoke):
        assert is_smoke and out == tmp_path
        return python("raise SystemExit('no memory')" if step in broken else "")

    monkeypatch.setattr(on_gpu, "command", command)
    asked = ["--out", str(tmp_path), "--smoke", "--steps", "parity", "sweep"]
    assert on_gpu.main(asked) == status
    said = capsys.readouterr().out
    assert f"{2 - status} of 2 steps ok" in said
    assert ("sweep failed: no memory" in said) == bool(status)


def test_the_steps_take_less_than_ten_minutes_and_exist():
    assert sum(step.seconds for step in on_gpu.STEPS) <= 600
    assert [step.name for step in on_gpu.STEPS] == list(steps.STEPS)


def test_kernels_are_summed_by_name_and_busy_time_counts_once():
    # Two streams: the second kernel overlaps the first, the third begins after a pause.
    events = [Event("gemm", 0, 100), Event("norm", 50, 100), Event("gemm", 400, 50)]
    assert trace.busy_ns(events) == 150 + 50
    found = trace.summary(events, 2, 1)
    assert found["kernels"] == 1.5 and found["busy_ms"] == 1e-4
    (largest,) = found["largest"]
    assert largest == {"name": "gemm", "ms": 7.5e-5, "number": 1.0, "share": 0.6}
    assert trace._is_operation("loop_fusion.3") and not trace._is_operation("ThreadPool::Run")
    assert not trace._is_operation("while.1369") and trace._is_operation("call_fusion.1")


def test_a_folder_without_a_trace_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a trace of the profiler"):
        trace.read(tmp_path)


def test_errors_count_legal_moves_only():
    expected = {"policy": np.array([[3.0, 1.0, 9.0]]), "value": np.array([0.5])}
    got = {"policy": np.array([[1.0, 2.0, 0.0]]), "value": np.array([0.4])}
    legal = np.array([[True, True, False]])
    found = steps._errors(got, expected, legal)
    assert found["policy_error"] == 2 and found["same_top_move"] == 0
    assert found["value_error"] == pytest.approx(0.1)


@pytest.mark.slow  # compiles every step's programs; the parts are covered above
@pytest.mark.parametrize("step", [name for name in steps.STEPS if name != "all"])
def test_a_step_runs_at_tiny_sizes(tmp_path, step):
    done = on_gpu.attempt(on_gpu.command(step, tmp_path, True), 600, tmp_path / f"{step}.log")
    assert done["status"] == "ok", done
    rows = json.loads((tmp_path / f"{step}.json").read_text())["rows"]
    assert rows
    if step == "profile":
        assert [row["program"] for row in rows] == ["selfplay", "learner"]
        assert all(row["kernels"] > 1 and len(row["largest"]) > 5 for row in rows)
    if step == "pallas":
        assert [row["kernels"] for row in rows] == ["xla", "pallas"]
