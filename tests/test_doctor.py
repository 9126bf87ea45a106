"""`zebjax doctor`: one line per check, a matching exit status; narrow credentials are no fault."""

import dataclasses
from itertools import islice

import pytest

from tests.support.workers import learn, settings_in
from zebjax import doctor, network
from zebjax.common import devices
from zebjax.distributed import open, store
from zebjax.training.workers_config import StoreConfig


@pytest.fixture
def settings(tmp_path):
    return settings_in(tmp_path, cycles=1)


class WorkersOnly:
    """A store whose credential may write examples and delete nothing."""

    def __init__(self, inner):
        self.inner, self.where = inner, inner.where

    def put(self, new, replace={}):  # noqa: B006
        if any(not name.startswith("examples/") for name in (*new, *replace)):
            raise store.Refused(f"{self.where}: weights: access denied")
        return self.inner.put(new, replace)

    def delete(self, names):
        raise store.Refused(f"{self.where}: access denied")

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_a_store_that_is_well_is_left_as_it_was(settings):
    place = open.open_store(settings.namespace)
    assert "can be written and read" in doctor.store(settings)
    assert "sufficient for a learner" in doctor.learner_access(settings)
    assert place.entries("examples") == place.entries("weights") == []
    assert doctor.published(settings) == "no weights published yet: only a learner can start"


def test_a_workers_credential_is_enough(settings, monkeypatch):
    place = WorkersOnly(open.open_store(settings.namespace))
    monkeypatch.setattr(doctor, "open_store", lambda url: place)
    assert "can be written and read" in doctor.store(settings)
    assert "sufficient for workers only" in doctor.learner_access(settings)


def test_a_doctor_that_may_not_delete_leaves_one_probe_however_often_it_comes(
    settings, monkeypatch
):
    class NoDeletes(WorkersOnly):
        def put(self, new, replace={}):  # noqa: B006
            return self.inner.put(new, replace)

    place = NoDeletes(open.open_store(settings.namespace))
    monkeypatch.setattr(doctor, "open_store", lambda url: place)
    for _ in range(2):
        assert "can be written and read" in doctor.store(settings)
        assert "can write weights but not delete" in doctor.learner_access(settings)
    assert [len(place.entries(folder)) for folder in ("examples", "weights")] == [1, 1]


def test_a_store_that_overwrites_is_found_out(settings, monkeypatch):
    class Overwrites(WorkersOnly):
        def put(self, new, replace={}):  # noqa: B006
            self.inner.put({}, {**new, **replace})
            return set(new)

    place = Overwrites(open.open_store(settings.namespace))
    monkeypatch.setattr(doctor, "open_store", lambda url: place)
    with pytest.raises(ValueError, match="could be created again"):
        doctor.store(settings)


def test_weights_of_another_network_are_found_out(settings):
    learn(settings, stop_after=1)
    assert "step 0, generation 1" in doctor.published(settings)
    wider = dataclasses.replace(
        settings, network=network.ZebConfig(embed_dim=32, n_heads=1, n_layers=1, ff_dim=16)
    )
    with pytest.raises(ValueError, match=r"the learner's network\.embed_dim is 16, here it is 32"):
        doctor.published(wider)


def test_every_check_is_a_line_and_one_that_fails_does_not_hide_the_others(
    settings, tmp_path, capsys, monkeypatch
):
    (tmp_path / "file").write_text("")
    broken = dataclasses.replace(settings, store=StoreConfig(url=str(tmp_path / "file")))
    monkeypatch.setattr(doctor.experiment, "read", lambda path: broken)
    assert doctor.main(["x.py"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == list(doctor.CHECKS)
    assert {line.split()[1] for line in lines if line.startswith("FAIL")} == {
        "store",
        "learner",
        "weights",
    }
    monkeypatch.setattr(doctor.experiment, "read", lambda path: settings)
    assert doctor.main(["x.py"]) == 0


def test_without_an_experiment_it_says_how(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main([])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "zebjax doctor: expected EXPERIMENT; see zebjax doctor --help\n"
    )


def test_a_gpu_that_jax_does_not_use_is_found_out(settings, monkeypatch):
    monkeypatch.setattr(devices, "unused_gpu", lambda: "there is an NVIDIA device in /dev")
    found = {name: (is_well, text) for name, is_well, text in islice(doctor.examine(settings), 1)}
    assert not found["device"][0] and "though there is an NVIDIA device" in found["device"][1]
    with pytest.raises(ValueError, match="expected a GPU"):
        doctor.device(dataclasses.replace(settings, device="gpu"))
    assert "(cpu)" in doctor.device(dataclasses.replace(settings, device="cpu"))


def test_it_says_what_it_found_of_caches_locks_and_memory(settings):
    assert "the solver in" in doctor.cache_folders(settings)
    assert doctor.locking(settings).endswith("locks of the file system")
    assert "selfplay.lanes = 8" in doctor.needed_memory(settings)
