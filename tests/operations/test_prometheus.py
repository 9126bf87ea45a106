"""Prometheus text: the facts of `status`, read back by Prometheus' own parser."""

import argparse
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.store_made import LEARNER, made, whole
from zebjax.operations.watching import following, prometheus
from zebjax.operations.watching import target as targets


def read(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(state):
    return read(prometheus.text(state))


def test_the_facts_are_gauges(tmp_path):
    found = of(targets.open_target(str(whole(tmp_path, step_age_s=900.0).where)).poll())
    run = ("run", "big")
    assert found["zebjax_step", (run,)] == 3740
    assert found["zebjax_buffer_examples", (run,)] == 450_000
    assert found["zebjax_alarm", (("alarm", "step_stands"), run)] == 1
    assert found["zebjax_alarm", (("alarm", "no_selfplay"), run)] == 0
    assert found["zebjax_metric", (("name", "train/value_loss"), run)] == 0.881
    assert found["zebjax_games_per_second", (("role", "all"), run)[::1]] == 12.0
    name = ("name", "a")
    assert found["zebjax_process_games_per_second", (name, ("role", "selfplay"), run)] == 11.5
    assert found["zebjax_usd_per_hour", (run,)] == 1.6


@pytest.mark.parametrize("odd", ['"} 1\nzebjax_step{run="x', "\\", "\udcff", "a\nb", "é☃"])
def test_labels_are_escaped(tmp_path, odd):
    state = targets.open_target(str(whole(tmp_path).where)).poll()
    state["run"] = odd
    state["processes"][1]["host"] = odd
    found = of(state)
    runs = {dict(labels)["run"] for _, labels in found}
    assert runs == {odd.encode(errors="replace").decode()}
    assert sum(name == "zebjax_step" for name, _ in found) == 1


def test_a_hostile_learner_makes_no_sample_twice(tmp_path):
    made(tmp_path, LEARNER | {"role": "selfplay", "name": "a"}, a={"games_per_s": 1.0})
    text = prometheus.text(targets.open_target(str(tmp_path)).poll())
    series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series)) and read(text)


def test_the_server_shows_the_newest_state_on_loopback(tmp_path):
    target = targets.open_target(str(whole(tmp_path).where))
    arguments = argparse.Namespace(
        alert=None, alert_warnings=False, metrics_port=0, metrics_host=following.LOOPBACK
    )
    notes = []
    with following.following(arguments, target, target.poll(), notes.append) as follower:
        (note,) = notes
        url = note.removeprefix("metrics on ")
        assert url.startswith("http://127.0.0.1:")

        def get(address):
            return urllib.request.urlopen(address, timeout=10).read().decode()

        assert read(get(url))["zebjax_step", (("run", "big"),)] == 3740
        whole(tmp_path, step=3741)
        follower.poll()
        assert read(get(url))["zebjax_step", (("run", "big"),)] == 3741
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(url + "/../etc/passwd")
        port = int(url.split(":")[2].split("/")[0])
        taken = argparse.Namespace(
            alert=None, alert_warnings=False, metrics_port=port, metrics_host=following.LOOPBACK
        )
        with pytest.raises(ValueError, match="expected a free port"):
            following.following(taken, target, follower.state, print).__enter__()
    with pytest.raises(urllib.error.URLError):
        get(url)
