"""The guard over dstack's real server, on loopback, with a provider that misbehaves.

Needs `pip install 'dstack[server]'` and OpenSSH's client, neither root nor the internet. With
`ZEBJAX_FAULTS_OUT=FILE` the table of the faults is written there, and `ZEBJAX_FAULTS_NOTE` in it.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.support.vast import running
from tests.support.vast.faults import FAULTS, Table
from tests.support.vast.fleet import SECRET_NAME, Fleet, set_secret
from zebjax.distributed import weights

needed = ("dstack", "uvicorn", "paramiko")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in needed) or not shutil.which("ssh"),
        reason="needs dstack[server] and ssh",
    ),
]
SECRET = "a-secret-that-must-not-be-in-any-file"
DEADLINE_S = float(os.environ.get("ZEBJAX_TEST_DEADLINE_S", "90"))
"""On an idle machine of two cores a good machine is there after 35 s; on a busy one give more."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with running.running(tmp_path_factory.mktemp("world") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def table():
    return Table(DEADLINE_S)


@pytest.fixture(autouse=True)
def written(table):
    """What is in the table after a test is also in the file."""
    yield
    if out := os.environ.get("ZEBJAX_FAULTS_OUT"):
        table.write(out, os.environ.get("ZEBJAX_FAULTS_NOTE", ""))


@pytest.fixture
def plan(tmp_path, cloud):
    """Plan a fleet; after the test its guards are killed, and what a failure left there ends."""
    made = []

    def one(name, targets, spot=False):
        made.append(Fleet(tmp_path, cloud, name, targets, DEADLINE_S, spot))
        return made[-1]

    yield one
    for fleet in made:
        fleet.kill()
        if cloud.alive():
            fleet.call("down", "--wait-s", "300")


def machines(first, faults, usd, **more):
    """Offers with these faults, each a little dearer than the one before."""
    return [
        {"id": first + i, "fault": fault, "usd": round(usd + i / 1000, 4), **more}
        for i, fault in enumerate(faults)
    ]


def publish(cloud):
    """What the guard looks for: the learner has published weights."""
    path = cloud.store / weights.NEWEST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def go_down(fleet, guard):
    """`down` ends everything: by dstack's account, by the provider's, and the guard's."""
    down = fleet.call("down")
    assert down.returncode == 0 and "the provider lists nothing" in down.stdout, down.stderr
    assert guard.wait(60) == 0
    assert fleet.cloud.alive() == []
    assert not any(row.get("busy") for row in fleet.cloud.log())


def judged(fleet, table, offers):
    """Each offer's fault was found out, and is in the table."""
    for number, fault in offers.items():
        verdicts = fleet.verdicts(number)
        assert {event for event, *_ in verdicts} & FAULTS[fault].events, (fault, verdicts)
        table.add(fault, verdicts)


def met_when_offered(fleet, table, bad, others=()):
    """Every bad offer is found out; then there are good ones, and the target is met in time."""
    fleet.until(lambda: all(fleet.verdicts(machine["id"]) for machine in bad))
    fleet.cloud.offer([*bad, *others, *machines(201, 5 * ["good"], 0.08)])
    met_s = fleet.until(fleet.is_met)
    assert met_s <= 2 * DEADLINE_S, fleet.log.read_text()
    table.met(f"first good offer after {len(bad)} bad ones", len(bad), met_s)
    judged(fleet, table, {machine["id"]: machine["fault"] for machine in bad})


def test_faults_of_rentals_and_machines(plan, cloud, table, tmp_path):
    bad = ("loading", "no_ssh", "no_runner", "gone", "half", "html", "dearer", "oci", "dies")
    offered = machines(101, bad, 0.03, cores=16, gpu="RTX 4070 Ti")
    others = [{"id": 301, "gpu": "RTX 4090", "usd": 0.02}, {"id": 302, "usd": 0.3}]
    cloud.offer(offered + others)
    fleet = plan("qa", {"selfplay": 2, "evalaux": 1})
    refused = fleet.call("up")
    assert refused.returncode == 2 and f"lacks the secrets {SECRET_NAME}" in refused.stderr
    set_secret(fleet.spec, SECRET_NAME, SECRET)
    options = ["lb_v_eq_3740", "--store.url", "s3://bucket/z", "--selfplay", "1"]
    options += ["--gpu", "RTX4070Ti,RTX3070Ti", "--package", "zebjax-0-py3-none-any.whl"]
    words = [sys.executable, "-m", "zebjax", "fleet", "plan", *options]
    said = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "selfplay, 9 offers up to 0.1 USD per hour" in said
    assert "0.030 USD per hour, 34.0 games/s, 0.25 USD per million games" in said

    assert "no_weights" in fleet.call("up", "--dry-run").stdout
    guard = fleet.start()
    fleet.until(lambda: fleet.events("no_weights"))
    assert not cloud.log()
    publish(cloud)
    met_when_offered(fleet, table, offered, others)
    table.add("no_weights", [("no_weights", 0.0, "")])
    assert not {301, 302} & {row.get("rent") for row in cloud.log()}
    # What never started was not tried twice, what was over the cap was not either.
    tried = [row["rent"] for row in cloud.log() if row.get("fault") in ("loading", "dearer")]
    assert sorted(tried) == [101, 107]
    name = fleet.workers("selfplay")[0].name
    # dstack's server fetches logs from time to time.
    fleet.until(lambda: f"{name} plays" in fleet.call("logs", name).stdout)
    beat = json.loads((cloud.store / "examples" / name / "status.json").read_text())
    assert beat["digest"] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert 0.08 <= float(beat["usd"]) < 0.09
    go_down(fleet, guard)
    logs = [cloud.folder / "server.log", fleet.log, *fleet.folder.iterdir()]
    for path in logs:
        assert SECRET not in path.read_text(), path


def test_faults_of_programs(plan, cloud, table):
    bad = ("crash", "doctor", "doctor_hangs", "mute", "garbage", "idle")
    offered = machines(401, bad, 0.03)
    cloud.offer(offered)
    fleet = plan("qb", {"selfplay": 2, "evalaux": 1})
    set_secret(fleet.spec, SECRET_NAME, SECRET)
    publish(cloud)
    guard = fleet.start()
    doctor = 401 + bad.index("doctor")
    fleet.until(lambda: len([v for v in fleet.verdicts(doctor) if v[0] == "doctor_failed"]) == 2)
    met_when_offered(fleet, table, offered)
    quarantined = " ".join(e["detail"] for e in fleet.events("quarantined"))
    assert all(f"vastai/{401 + i}/" in quarantined for i in range(len(bad)))
    assert sum(row.get("rent") == doctor for row in cloud.log()) == 2
    go_down(fleet, guard)


def replaced(fleet, table, faults):
    """Give workers faults; the target is met again without them."""
    began = time.time()
    for fault, worker in faults.items():
        fleet.cloud.give(int(worker.offer.split("/")[1]), fault)
    names = {worker.name for worker in faults.values()}

    def met():
        return fleet.is_met() and not names & {w.name for w in fleet.memory().workers}

    met_s = fleet.until(met)
    assert met_s <= 2 * DEADLINE_S, fleet.log.read_text()
    table.met(f"in mid-run: {', '.join(faults)}", len(faults), met_s)
    for fault, worker in faults.items():
        told = [e for e in fleet.events() if e["name"] == worker.name and e["time_s"] > began]
        found = [e for e in told if e["event"] in FAULTS[fault].events]
        assert found, (fault, told)
        table.add(fault, [(found[0]["event"], found[0]["time_s"] - began, "")])


def kept(fleet, table, fault, action):
    """Something else fails for a while; afterwards the same workers are there."""
    before, began = {w.name for w in fleet.workers()}, time.time()
    action()
    ended = time.time()
    fleet.until(lambda: (fleet.memory().decided_s or 0) > ended + 10)
    assert {w.name for w in fleet.workers()} == before, fleet.log.read_text()
    table.add(fault, [("kept", time.time() - began, "")])


def test_faults_in_mid_run_and_around_the_fleet(plan, cloud, table):
    twins = machines(601, 2 * ["good"], 0.03, machine="twin")
    spot = [{**m, "spot": i % 2 == 0} for i, m in enumerate(machines(604, 14 * ["good"], 0.05))]
    cloud.offer(twins + machines(603, ["skew"], 0.035) + spot)
    fleet = plan("qc", {"selfplay": 3, "evalaux": 1}, spot=True)
    set_secret(fleet.spec, SECRET_NAME, SECRET)
    publish(cloud)
    guard = fleet.start()
    began = time.time()
    fleet.until(lambda: any("same machine" in e["detail"] for e in fleet.events("culled")))
    table.add("twins", [("culled", time.time() - began, "")])
    fleet.until(fleet.is_met)

    def others():
        return [w for w in fleet.workers() if "/603/" not in w.offer]

    replaced(fleet, table, dict(zip(("silent", "tires", "killed"), others(), strict=False)))
    is_spot = {f"vastai/{m['id']}/se-sweden": m["spot"] for m in spot}
    outbid = next(w for w in others() if is_spot.get(w.offer))
    lost = next(w for w in others() if not is_spot.get(w.offer))
    ends = next(w for w in others() if w not in (outbid, lost))
    replaced(fleet, table, {"outbid": outbid, "lost": lost, "ends": ends})

    kept(fleet, table, "server_killed", cloud.kill_server)

    def broken():
        cloud.set_broken(True)
        time.sleep(20)
        cloud.set_broken(False)

    kept(fleet, table, "provider_broken", broken)

    def gone():
        away = cloud.store.rename(cloud.folder / "away")
        cloud.store.touch()
        time.sleep(DEADLINE_S * 0.75)  # longer than a worker may be silent
        cloud.store.unlink()
        away.rename(cloud.store)

    kept(fleet, table, "store_gone", gone)
    assert fleet.events("store_unreachable")

    def guard_killed():
        fleet.guards[-1].kill()
        fleet.guards[-1].wait()
        fleet.start()
        fleet.until(lambda: "a guard runs" in fleet.call("status").stdout)

    kept(fleet, table, "guard_killed", guard_killed)
    second = fleet.call("up")
    assert second.returncode == 2 and "a guard of this fleet already runs" in second.stderr
    table.add("second_guard", [("refused", 0.0, "")])
    assert not fleet.verdicts(603)  # a wrong clock is no fault
    table.add("skew", [("kept", 0.0, "")])

    sticky = others()[0]
    cloud.give(int(sticky.offer.split("/")[1]), "sticky")
    assert fleet.call("cull", sticky.name).returncode == 0
    fleet.until(lambda: fleet.is_met() and sticky.name not in [w.name for w in fleet.workers()])
    go_down(fleet, fleet.guards[-1])
    table.add("sticky", [("ended", 0.0, "")])
    assert guard.poll() is not None
