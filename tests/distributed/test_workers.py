"""A learner and its workers over a store, each with its real code, in turn in one process."""

import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support.faulty import FaultyStore
from tests.support.tiny import Quiet, as_numpy, go
from tests.support.workers import learn, names, play, settings_in
from zebjax import record, status
from zebjax.common import checkpoint
from zebjax.distributed import heartbeat, open, spool, weights, worker, worker_link
from zebjax.distributed.worker_source import WorkerSource
from zebjax.operations.watching import facts
from zebjax.torch_compat import weights as torch_weights
from zebjax.training import metrics, rollback
from zebjax.training import run as training
from zebjax.training.session import Stopped


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Weights of step 0, 24 games of self-play and 8 against E[Q], then three cycles on them."""
    settings = settings_in(tmp_path_factory.mktemp("many"))
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    play(settings, "evalaux", 8)
    sent = names(settings)
    return settings, sent, learn(settings)


def test_a_worker_that_stopped_says_that_all_was_sent(finished):
    settings, _, _ = finished
    processes = told(open.open_store(settings.namespace))["processes"]
    (sign,) = [row for row in processes if row["role"] == "selfplay"]
    assert (sign["state"], sign["games"], sign["batches"], sign["spooled_files"]) == (
        "stopped",
        24,
        3,
        0,
    )


def test_games_are_counted_once_and_in_their_rings(finished):
    _, sent, run = finished
    assert len(sent) == 3 + 2
    assert run.session.progress.total_games == 24 + 8
    assert run.session.progress.cursor == {"selfplay": sent[4], "evalaux": sent[1]}
    assert (int(run.session.state.ring.size), int(run.session.state.aux.size)) == (24, 8)
    assert run.session.progress.quarantined == 0


def test_the_metrics_are_the_originals(finished):
    _, _, run = finished
    rows = metrics.read(run.session.folder / metrics.FILE)
    assert [row["cycle"] for row in rows] == [0, 1, 2, 3]
    row = rows[1]
    assert row["ingest/selfplay_examples"] == 24 * 28 and row["ingest/selfplay_files"] == 3
    assert row["ingest/eval_aux_seen_examples"] == row["ingest/eval_aux_kept_examples"] == 8 * 28
    assert row["ingest/eval_aux_lag_avg"] == 0 and row["ingest/eval_aux_keep_weight_avg"] == 1
    assert row["stats/eval_aux_mix_ratio"] == 0.1 and row["stats/eval_aux_policy_w"] == 0
    assert 0 <= row["stats/eval_aux_eq_win_rate_running"] <= 1
    for stream in ("selfplay", "eval_aux"):
        for loss in ("policy", "value", "belief"):
            assert row[f"train/{stream}_{loss}_loss"] > 0
    # Mean over both streams, but for the policy of the second, which is not learned.
    policy, aux = row["train/policy_loss"], row["train/eval_aux_policy_loss"]
    assert policy == pytest.approx(0.9 * row["train/selfplay_policy_loss"] + 0.1 * aux, rel=1e-4)
    assert row["train/objective_loss"] == pytest.approx(
        row["train/total_loss"] - 0.1 * aux, rel=1e-4
    )


def test_weights_are_published_as_due_and_workers_take_them(finished):
    settings, _, run = finished
    place = open.open_store(settings.namespace)
    manifests = [
        json.loads(place.get(entry.name, 1 << 20))
        for entry in place.entries("weights")
        if entry.name.endswith("/manifest.json")
    ]
    assert [(m["generation"], m["step"]) for m in manifests] == [(1, 0), (2, 0), (3, 2), (4, 3)]
    assert [m["epoch"] for m in manifests] == [1, 2, 2, 2]
    newest, _ = weights.newest(place)
    params = weights.fetch(place, newest, settings.network)
    jax.tree.map(np.testing.assert_array_equal, params, as_numpy(run.session.state.learner.params))
    report = play(settings, "selfplay", 8, "late")
    assert "playing with step 3, generation 4" in report.notes
    _, metadata = record.read(
        _local(settings, next(name for name in names(settings) if "/late/" in name))
    )
    assert metadata.model_step == 3 and metadata.worker == "late" and metadata.search["sims"] == 2


def _local(settings, name):
    return Path(settings.namespace) / name


def test_games_against_eq_have_targets_where_eq_moved(finished):
    settings, _, _ = finished
    data = open.open_store(settings.namespace)
    kept = [name for name in names(settings) if name.startswith("examples/evalaux")]
    records, metadata = record.read(_local(settings, kept[-1]))
    assert (
        metadata.source == "eval-eq-zeb"
        and {"eq_win_rate", "zeb_win_rate", "avg_margin"} <= metadata.search.keys()
    )
    unjudged = records.kind == record.TargetKind.NONE
    assert 0.15 < unjudged.mean() < 0.45 and not records.weight[unjudged].any()
    assert records.weight[~unjudged].all() and (records.kind == record.TargetKind.TEACHER).any()
    assert data.where == settings.namespace


def test_what_a_saved_state_holds_may_leave_the_store(finished):
    settings, sent, _ = finished
    kept = [name for name in names(settings) if "/late/" not in name]
    assert set(kept) <= set(sent) and len(kept) < len(sent)
    assert {sent[1], sent[4]} <= set(
        kept
    )  # each worker's last stays, as its sequence goes on from there


def test_a_run_that_goes_on_takes_nothing_twice(finished, tmp_path):
    settings, _, run = finished
    before = run.session.progress.total_games
    play(settings, "selfplay", 8, "more")
    new = [name for name in names(settings) if "/late/" in name or "/more/" in name]
    counted = [
        learn(dataclasses.replace(settings, cycles=cycles)).session.progress.total_games
        for cycles in (4, 5)
    ]
    assert new and counted == [before + 8 * len(new)] * 2


def test_a_learner_stopped_at_many_moments_counts_each_file_once(tmp_path):
    settings = settings_in(tmp_path, cycles=2)
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    play(settings, "evalaux", 4)
    looks = np.random.default_rng(0)
    for _ in range(100):  # a judging takes 28 looks, so fewer do not pass
        run = learn(settings, stop_after=int(looks.integers(1, 50)))
        if run.session.progress.cycle == 2 and run.session.progress.phase == "play":
            break
    assert run.session.progress.cycle == 2
    assert (
        run.session.progress.total_games,
        int(run.session.state.ring.size),
        int(run.session.state.aux.size),
    ) == (
        28,
        24,
        4,
    )


def test_a_pytorch_worker_can_follow(tmp_path):
    settings = settings_in(tmp_path)
    settings = dataclasses.replace(
        settings, store=dataclasses.replace(settings.store, publish_torch=True)
    )
    run = learn(settings, stop_after=1)
    read = torch_weights.read(tmp_path / "store" / "many" / "many.pt")
    jax.tree.map(
        np.testing.assert_array_equal, read.params, as_numpy(run.session.state.learner.params)
    )
    state = json.loads((tmp_path / "store" / "many" / "many-state.json").read_text())
    assert state == {"step": 0, "total_games": 0}


@pytest.mark.slow  # compiles the games against E[Q] a second time
def test_one_process_can_do_it_all(tmp_path):
    settings = settings_in(tmp_path, cycles=2)
    settings = dataclasses.replace(
        settings, eval_aux=dataclasses.replace(settings.eval_aux, games_per_cycle=4)
    )
    run = go(settings)
    row = metrics.read(run.session.folder / metrics.FILE)[-1]
    assert int(run.session.state.aux.size) == 8 and row["stats/eval_aux_mix_ratio"] == 0.1
    assert row["stats/total_games"] == int(run.session.state.ring.size) + 8
    assert not list(tmp_path.glob("store/*"))  # nobody pays for distribution who does not need it


def test_a_worker_that_cannot_work_says_why(tmp_path):
    settings = settings_in(tmp_path)
    with pytest.raises(
        ValueError, match="no weights are published there yet; start the learner first"
    ):
        play(settings, "selfplay", 8)
    learn(settings, stop_after=1)
    other = dataclasses.replace(settings, network=dataclasses.replace(settings.network, ff_dim=32))
    with pytest.raises(ValueError, match=r"the learner's network.ff_dim is 16, here it is 32"):
        play(other, "selfplay", 8)


def test_a_worker_goes_on_while_the_store_is_away(tmp_path, monkeypatch):
    settings = settings_in(tmp_path)
    learn(settings, stop_after=1)
    place = FaultyStore(open.open_store(settings.namespace), fails=0)
    monkeypatch.setattr(worker, "open_store", lambda url: place)

    class Goes(Quiet):
        def working(self, what, done, total):
            place.gone = True

    report = Goes()
    worker.work(settings, worker_link.Job("selfplay", "w", 16), report, lambda: False)
    assert any("stay in" in note for note in report.notes)
    assert names(settings) == []
    place.gone = False
    play(settings, "selfplay", 8, "w")
    parsed = [spool.parse_name(name).sequence for name in names(settings)]
    assert parsed == [1, 2, 3]


def test_a_second_learner_is_told_and_a_fenced_one_stops(tmp_path):
    settings = settings_in(tmp_path)
    learn(settings, stop_after=1)
    place = open.open_store(settings.namespace)
    first = WorkerSource(settings, Quiet())
    other = dataclasses.replace(
        settings,
        runs=str(tmp_path / "other"),
        store=dataclasses.replace(settings.store, url=str(tmp_path / "store")),
    )
    beats = iter(range(10**6))

    sign = lambda: heartbeat.to_bytes("learner", "many", f"x{next(beats)}", 5, {})  # noqa: E731
    place.put({}, {heartbeat.LEARNER: sign()})
    sleep = time.sleep

    def beat_and_sleep(seconds):
        place.put({}, {heartbeat.LEARNER: sign()})
        sleep(min(seconds, 0.05))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zebjax.distributed.leadership.time.sleep", beat_and_sleep)
        with pytest.raises(ValueError, match="another learner is running here"):
            WorkerSource(other, Quiet())
        with pytest.raises(Stopped):
            WorkerSource(other, Quiet(), stop_asked=lambda: True)

    class Watching(Quiet):
        taken = False

        def note(self, text):
            super().note(text)
            if "waiting" in text and not self.taken:
                self.taken = True
                go(other, 1, WorkerSource(other, Quiet(), take_over=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zebjax.distributed.worker_source._WAIT_NOTE_S", 0.0)
        run = training.Run(settings, Watching(), lambda: False, first)
        with pytest.raises(weights.Fenced, match="has taken over from this one"):
            run.go()
    assert weights.newest_lease(place)[0] == 3


@pytest.mark.slow  # the next test rolls back too
def test_a_rollback_goes_on_from_an_earlier_step_as_a_new_generation(tmp_path):
    settings = settings_in(tmp_path, cycles=3)
    settings = dataclasses.replace(
        settings, save=dataclasses.replace(settings.save, keep_every_cycles=1)
    )
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    learn(settings)
    before = weights.newest(open.open_store(settings.namespace))[0]
    with pytest.raises(ValueError, match="no weights of step 9; there are those of 0, 1, 2, 3"):
        rollback.roll_back(settings, 9, Quiet())
    report = Quiet()
    rollback.roll_back(settings, 1, report)
    assert "rolled back to step 1" in report.notes[-1]
    run = learn(dataclasses.replace(settings, cycles=3), stop_after=1)
    newest = weights.newest(open.open_store(settings.namespace))[0]
    assert (before.step, newest.step) == (3, 1) and newest.generation == before.generation + 1
    assert newest.parent == before.generation
    assert [row["cycle"] for row in metrics.read(run.session.folder / metrics.FILE)] == [0, 1]
    assert len(metrics.read(run.session.folder / "metrics-before-rollback-from-3.jsonl")) == 4
    assert learn(settings).session.progress.cycle == 3


def test_a_rollback_that_was_killed_is_finished_by_the_same_command(tmp_path, monkeypatch):
    settings = settings_in(tmp_path, cycles=2)
    settings = dataclasses.replace(
        settings, save=dataclasses.replace(settings.save, keep_every_cycles=1)
    )
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    root = learn(settings).session.folder / "checkpoints"

    class Killed(Exception):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(rollback.checkpoint, "remove_steps", kill)
        rollback.roll_back(settings, 1, Quiet())
    assert checkpoint.steps(root) == [0, 1, 2]
    for _ in range(2):
        rollback.roll_back(settings, 1, Quiet())
        assert checkpoint.steps(root) == [0, 1]


def test_a_learner_that_was_fenced_off_does_not_come_back_over_newer_weights(tmp_path):
    """As a service that is started again and again, after the one that took over has ended."""
    settings = settings_in(tmp_path, cycles=9)
    run = learn(settings, stop_after=1)
    place = open.open_store(settings.namespace)
    lease = weights.take_lease(place, {"where": "elsewhere:/runs/many"})
    data = weights.to_bytes(settings.network, run.session.state.learner.params)
    facts = {"step": 5, "total_games": 9, "wandb_run_id": None, "experiment": {}, "created_at": ""}
    weights.publish(place, lease, data, facts)
    with pytest.raises(
        ValueError, match=r"another learner \(elsewhere:/runs/many\) has reached step 5, while"
    ):
        learn(settings)
    assert weights.newest_lease(place)[0] == lease.epoch
    run = go(settings, 1, WorkerSource(settings, Quiet(), take_over=True))
    assert weights.newest(place)[0].step == 0


# ---- who is at work


def told(place):
    return facts.poll(heartbeat.Watch(place))


def test_status_knows_who_is_missing(tmp_path):
    place = open.open_store(str(tmp_path))
    assert told(place)["alarms"] == ["learner_down", "no_selfplay"]

    def beat(role, name, **facts):
        return heartbeat.to_bytes(role, name, str(time.monotonic()), 5, facts)

    place.put({}, {heartbeat.LEARNER: beat("learner", "x", eval_aux=True, step=7)})
    assert told(place)["alarms"] == ["no_selfplay", "no_evalaux"]
    place.put({}, {spool.status_name("a"): beat("selfplay", "a", step=5, last_batch_s=3.0)})
    place.put({}, {spool.status_name("e"): beat("evalaux", "e", step=7, last_batch_s=10_000.0)})
    found = told(place)
    assert found["alarms"] == ["evalaux_not_producing"]
    assert [process.get("lag") for process in found["processes"]] == [None, 2, 0]
    place.put({}, {spool.status_name("a"): beat("selfplay", "a", state="stopped")})
    assert told(place)["alarms"] == ["no_selfplay", "evalaux_not_producing"]


@pytest.mark.parametrize("skew_s", [-3600, 3600])
def test_a_clock_an_hour_off_hides_nobody_and_shows_nobody_dead(tmp_path, monkeypatch, skew_s):
    place = open.open_store(str(tmp_path))
    now = time.time

    def beat(count):
        monkeypatch.setattr(heartbeat.time, "time", lambda: now() + skew_s)
        place.put({}, {heartbeat.LEARNER: heartbeat.to_bytes("learner", "x", count, 5, {})})
        monkeypatch.setattr(heartbeat.time, "time", now)

    beat("1")
    watch = heartbeat.Watch(place)
    assert (
        "learner_down" in facts.poll(watch)["alarms"]
    )  # not known yet: it is watched before that is said
    assert "learner_down" in facts.poll(watch)["alarms"]
    beat("2")
    assert "learner_down" not in facts.poll(watch)["alarms"]


def test_status_has_an_exit_status_and_json(tmp_path, capsys):
    place = open.open_store(str(tmp_path))
    assert status.main([str(tmp_path)]) == 2
    assert "there is no run here" in capsys.readouterr().err
    place.put({}, {spool.status_name("a"): heartbeat.to_bytes("selfplay", "a", "1", 5, {})})
    assert status.main([str(tmp_path), "--json", "--watch-s", "0"]) == 1
    assert json.loads(capsys.readouterr().out)["alarms"] == ["learner_down"]
    place.put({}, {heartbeat.LEARNER: heartbeat.to_bytes("learner", "a", "1", 5, {})})
    assert status.main([str(tmp_path)]) == 0
    assert "all well" in capsys.readouterr().out
    for place in (str(tmp_path / "none"), f"file://{tmp_path}/none"):
        assert status.main([place]) == 2
        assert "there is no such folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "sign", [b"", b"[]", b"{", b'{"time_s": "x", "every_s": null}', b"[" * 50_000]
)
def test_a_sign_that_is_none_is_a_silent_process(tmp_path, sign):
    place = open.open_store(str(tmp_path))
    place.put({}, {heartbeat.LEARNER: sign, spool.status_name("a"): sign})
    assert told(place)["alarms"] == ["learner_down", "no_selfplay"]


def test_the_sources_are_those_of_the_original():
    assert (record.SELFPLAY, record.EVAL_AUX) == ("selfplay-mcts", "eval-eq-zeb")
