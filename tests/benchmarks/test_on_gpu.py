"""The measurement of a GPU loses nothing to a step that fails or hangs, and says so."""

import json
import sys

import numpy as np
import pytest

from benchmarks import on_gpu
from benchmarks.gpu import parity, steps, trace
from benchmarks.gpu.trace import Event
from benchmarks.on_gpu import Step


def python(code, out=None, name=""):
    """A process that compiles nothing, waits for its turn and then runs `code`."""
    turn = "from pathlib import Path; from benchmarks import on_gpu; " if out else ""
    turn += f"on_gpu.wait_for_turn({name!r}, Path({str(out)!r})); " if out else ""
    return [sys.executable, "-c", turn + code]


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
    done = on_gpu.run(
        asked, tmp_path, lambda step: python(codes[step.name], tmp_path, step.name), 120, 2
    )
    assert {name: found["status"] for name, found in done.items()} == {
        "good": "ok",
        "bad": "failed",
        "stuck": "too slow",
        "last": "ok",
    }
    assert done["bad"]["last_lines"] == ["one", "it broke"] and done["bad"]["exit_status"] == 1
    assert done["stuck"]["last_lines"] == ["begun"] and done["stuck"]["measuring_s"] < 30
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == done
    assert (tmp_path / "last.log").read_text() == "measured too\n"


def test_all_steps_compile_before_the_first_measures_and_one_measures_at_a_time(tmp_path):
    # Each appends its name when it begins and ends to measure; none may begin while one measures.
    code = (
        "import time; f = open({file!r}, 'a'); f.write('{name} '); f.flush(); time.sleep(0.2); "
        "f.write('{name} ')"
    )

    def make(step):
        # The first to measure sees that all are ready.
        see = f"assert len(list(Path({str(tmp_path)!r}).glob('*.ready'))) == 3; "
        text = code.format(file=str(tmp_path / "order"), name=step.name)
        return python(see + text, tmp_path, step.name)

    done = on_gpu.run([Step(name, 60) for name in "abc"], tmp_path, make, 120, 3)
    assert [found["status"] for found in done.values()] == ["ok"] * 3
    assert (tmp_path / "order").read_text().split() == list("aabbcc")


def test_a_step_that_compiles_for_too_long_is_given_up(tmp_path):
    codes = {"long": "import time; time.sleep(60)", "other": ""}
    asked = [Step(name, 60) for name in codes]
    done = on_gpu.run(asked, tmp_path, lambda step: python(codes[step.name]), 1.0, 1)
    assert [found["status"] for found in done.values()] == ["too slow", "not begun"]
    assert done["long"]["wall_s"] < 30
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == done


@pytest.mark.parametrize(("broken", "status"), [((), 0), (("engine",), 1)])
def test_the_exit_status_says_if_a_step_failed(tmp_path, monkeypatch, capsys, broken, status):
    def command(step, out, is_smoke):
        assert is_smoke and out == tmp_path
        return python("raise SystemExit('no memory')" if step in broken else "")

    monkeypatch.setattr(on_gpu, "command", command)
    asked = ["--out", str(tmp_path), "--smoke", "--steps", "parity", "engine"]
    assert on_gpu.main(asked) == status
    said = capsys.readouterr().out
    assert f"{2 - status} of 2 steps ok" in said
    assert ("engine failed: no memory" in said) == bool(status)


def test_the_steps_exist_and_can_end_within_ten_minutes():
    names = [step.name for step in on_gpu.STEPS]
    assert {name.partition("+")[0] for name in names} <= set(steps.STEPS)
    assert len(set(names)) == len(names)
    assert on_gpu.COMPILE_S + sum(step.seconds for step in on_gpu.STEPS) <= 600


def test_kernels_are_summed_by_name_and_busy_time_counts_once():
    # Two streams: the second kernel overlaps the first, the third begins after a pause.
    events = [
        Event("gemm", 0, 100, "dot.1"),
        Event("norm", 50, 100),
        Event("gemm", 400, 50, "dot.1"),
    ]
    assert trace.busy_ns(events) == 150 + 50
    found = trace.summary(events, 2, 1)
    assert found["kernels_per_unit"] == 1.5 and found["busy_ms"] == 1e-4
    (largest,) = found["largest"]
    assert largest == {
        "name": "gemm",
        "instruction": "dot.1",
        "ms": 7.5e-5,
        "number": 1.0,
        "share": 0.6,
    }
    assert trace._is_operation("loop_fusion.3") and not trace._is_operation("ThreadPool::Run")
    assert not trace._is_operation("while.1369") and trace._is_operation("call_fusion.1")


def test_a_folder_without_a_trace_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a trace of the profiler"):
        trace.read(tmp_path)


def test_errors_count_legal_moves_only():
    expected = {"policy": np.array([[3.0, 1.0, 9.0]]), "value": np.array([0.5])}
    got = {"policy": np.array([[1.0, 2.0, 0.0]]), "value": np.array([0.4])}
    legal = np.array([[True, True, False]])
    found = parity.errors(got, expected, legal)
    assert found["policy_error"] == 2 and found["same_top_move"] == 0
    assert found["value_error"] == pytest.approx(0.1)


@pytest.mark.slow  # compiles every kind of step; the parts are covered above
@pytest.mark.parametrize(
    "step", ["limits", "parity", "engine", "learner-64", "evaluations-24", "original-8192"]
)
def test_a_step_runs_at_tiny_sizes(tmp_path, step):
    done = on_gpu.run(
        [Step(step, 600)], tmp_path, lambda one: on_gpu.command(one.name, tmp_path, True), 600
    )
    assert done[step]["status"] == "ok", done
    rows = json.loads((tmp_path / f"{step}.json").read_text())["rows"]
    assert rows
    if step in ("learner-64", "evaluations-24", "original-8192"):
        (row,) = rows  # with the trace, which replaces the one before
        assert row["kernels_per_unit"] > 1 and len(row["largest"]) > 5
    if step == "parity":
        assert {row["dtype"] for row in rows} == {"float32", "bfloat16"}
        assert {row["kernels"] for row in rows} == {"xla"}  # as a CPU evaluates each
