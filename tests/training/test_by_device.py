"""`auto` becomes an explicit value when a process starts, and is said with its reason."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import pytest

from tests.support.tiny import TINY
from zebjax import network
from zebjax.common import devices
from zebjax.training import by_device, changes, memory
from zebjax.training.config import PRESETS, SelfPlayConfig, to_json

AUTO = dataclasses.replace(
    TINY,
    network=dataclasses.replace(TINY.network, compute_dtype="auto"),
    selfplay=dataclasses.replace(TINY.selfplay, lanes="auto"),
)
N_DEVICES = jax.device_count()


def resolve(settings, role="all"):
    notes = []
    return by_device.resolve(settings, role, notes.append), notes


def in_folder(settings, path):
    return dataclasses.replace(settings, runs=str(path))


def save(settings, lanes, number=1):
    saved = json.loads(to_json(settings))
    saved["selfplay"]["lanes"] = lanes
    folder = settings.folder / "state" / f"step_{number:09d}"
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text(json.dumps(saved))


def test_on_a_cpu_auto_is_float32_and_few_lanes(tmp_path):
    made, notes = resolve(in_folder(AUTO, tmp_path))
    assert made.network == TINY.network
    assert made.selfplay.lanes >= by_device.CPU_LANES and made.selfplay.lanes % N_DEVICES == 0
    dtype, lanes = notes
    assert dtype.startswith("network.compute_dtype: float32 (auto, on ")
    assert lanes.startswith(f"selfplay.lanes: {made.selfplay.lanes} (auto: a CPU gains little")


def test_explicit_values_stay_and_nothing_is_said():
    explicit = dataclasses.replace(
        TINY, network=dataclasses.replace(TINY.network, compute_dtype="bfloat16")
    )
    assert resolve(explicit) == (explicit, [])


@pytest.mark.parametrize(
    ("backend", "capability", "dtype"),
    [
        ("cpu", None, "float32"),
        ("gpu", "7.0", "float32"),  # V100: no tensor cores for bfloat16
        ("gpu", "7.5", "float32"),
        ("gpu", "8.6", "bfloat16"),
        ("gpu", "9.0", "bfloat16"),
        ("gpu", "12.0", "bfloat16"),
        ("gpu", "gfx90a", "bfloat16"),
        ("tpu", None, "bfloat16"),
    ],
)
def test_the_fast_dtype_of_a_device(monkeypatch, backend, capability, dtype):
    has = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(**has)])
    assert devices.fast_dtype() == dtype
    assert network.resolved(PRESETS["small"]).compute_dtype == dtype
    trained = dataclasses.replace(PRESETS["small"], compute_dtype="bfloat16")
    assert network.resolved(trained) == trained  # explicit
    assert network.on_this_device(trained).compute_dtype == dtype
    assert trained.same_weights(network.on_this_device(trained))


def test_a_resumed_run_keeps_its_lanes_and_a_worker_does_not_take_them(tmp_path):
    settings = in_folder(AUTO, tmp_path)
    save(settings, 48)
    for role in ("all", "learner"):
        made, notes = resolve(settings, role)
        assert made.selfplay.lanes == 48 and "the run was saved with them" in notes[1]
    assert resolve(settings, "selfplay")[0].selfplay.lanes != 48
    # A damaged save is passed over: opening the run says what is wrong with it.
    save(settings, "many", number=2)
    assert resolve(settings)[0].selfplay.lanes == 48


def test_a_run_from_before_auto_resumes_without_a_change(tmp_path):
    settings = in_folder(AUTO, tmp_path)
    save(settings, 8)
    saved = json.loads((settings.folder / "state/step_000000001/experiment.json").read_text())
    saved["network"]["compute_dtype"] = "float32"
    assert changes.differences(saved, resolve(settings)[0]) == []
    del saved["network"]["compute_dtype"]
    assert changes.differences(saved, resolve(settings)[0]) == []


def test_lanes_are_auto_or_a_number():
    with pytest.raises(ValueError, match="lanes: expected auto or 1 to 1,000,000, got 'many'"):
        SelfPlayConfig(lanes="many")
    with pytest.raises(ValueError, match="lanes: expected auto or 1 to 1,000,000, got 0"):
        SelfPlayConfig(lanes=0)
    with pytest.raises(ValueError, match="lanes: expected a number here, got auto"):
        _ = SelfPlayConfig(lanes="auto").n_lanes
    assert [part.n_bytes for part in memory.estimate(AUTO) if "auto" in part.setting] == [0]


def measured(lanes, games_per_s, devices=N_DEVICES, device="NVIDIA H100", date="2026-11-26"):
    settings = dataclasses.replace(TINY, network=TINY.network)
    row = {"lanes": lanes, "games_per_s": games_per_s}
    row |= {"network": dataclasses.asdict(settings.network)}
    row |= {"search": dataclasses.asdict(settings.selfplay.search)}
    return {"device": device, "devices": devices, "date": date}, row


def test_a_sweep_on_such_a_device_decides():
    sweep = [measured(512, 10.0), measured(1024, 14.0), measured(2048, 13.0)]
    found = by_device.best_of_sweep(TINY, "NVIDIA H100", sweep)
    assert found == (1024, "the fastest in a sweep on NVIDIA H100, 2026-11-26")
    assert by_device.best_of_sweep(TINY, "NVIDIA A100", sweep) is None
    # One measured number of lanes is no sweep; nor are rows of other dtypes, searches, counts.
    assert by_device.best_of_sweep(TINY, "NVIDIA H100", sweep[:1]) is None
    in_bfloat16 = dataclasses.replace(
        TINY, network=dataclasses.replace(TINY.network, compute_dtype="bfloat16")
    )
    assert by_device.best_of_sweep(in_bfloat16, "NVIDIA H100", sweep) is None
    more = dataclasses.replace(TINY.selfplay.search, sims=99)
    deeper = dataclasses.replace(TINY, selfplay=dataclasses.replace(TINY.selfplay, search=more))
    assert by_device.best_of_sweep(deeper, "NVIDIA H100", sweep) is None
    others = [measured(n, 1.0, devices=N_DEVICES + 1) for n in (512, 1024)]
    assert by_device.best_of_sweep(TINY, "NVIDIA H100", others) is None
    later = [measured(n, 99 - n, date="2027-01-01") for n in (32, 64)]
    assert by_device.best_of_sweep(TINY, "NVIDIA H100", sweep + later).lanes == 32


def test_the_sweep_is_read_from_files(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"rows": [1, {"plies_per_s": 3}]}')
    result, row = measured(512, 10.0)
    (tmp_path / "sweep.json").write_text(json.dumps(result | {"rows": [row]}))
    assert [row["lanes"] for _, row in by_device._rows([tmp_path, tmp_path / "none"])] == [512]


@pytest.mark.parametrize("limit", [0, 31, 32, 100, 511, 512, 4096, 10**6])
def test_the_largest_size_that_fits_is_found_in_few_questions(limit):
    asked = []

    def fits(size):
        asked.append(size)
        return size <= limit

    fitting = [size for size in by_device.SIZES if size <= limit]
    assert by_device.largest_fitting(by_device.SIZES, fits) == max(fitting, default=None)
    assert asked[0] == by_device.SIZES[-1] and len(asked) == len(set(asked)) <= 5


@pytest.mark.parametrize(("free", "lanes"), [(3e9, 2048), (1e12, 16384), (1.0, 32)])
def test_lanes_fit_into_what_the_other_parts_leave(monkeypatch, tmp_path, free, lanes):
    """A program that needs a megabyte a lane: the compiler's own figure is in the slow test."""
    settings = in_folder(AUTO, tmp_path)
    monkeypatch.setattr(devices, "backend", lambda: "gpu")
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(by_device, "RESULTS", ())
    others = sum(part.n_bytes for part in memory.estimate(settings))
    monkeypatch.setattr(memory, "limit", lambda: (int((free + others) / 0.9), "a GPU has"))
    monkeypatch.setattr(by_device, "program_bytes", lambda settings: settings.selfplay.lanes * 1e6)
    chosen = by_device.choose_lanes(settings, "all")
    assert chosen.lanes == lanes
    assert ("needs" in chosen.reason) == (lanes > 32)
    monkeypatch.setattr(memory, "limit", lambda: None)
    assert "does not tell its memory" in by_device.choose_lanes(settings, "all").reason


@pytest.mark.slow  # compiles self-play twice; what it feeds is covered above
def test_the_compiled_program_of_more_lanes_needs_more_memory():
    few, many = (by_device.program_bytes(by_device.with_lanes(TINY, n)) for n in (8, 64))
    assert 0 < few < many < 16 * few
