"""`zebjax fleet` without a cloud: files, refusals in one sentence, what is wanted."""

import importlib.util
import json
import re

import pytest
import yaml

from zebjax import fleet
from zebjax.operations import fleets
from zebjax.operations.rented import dstack_files, planning, spec, speeds
from zebjax.operations.rented.model import Memory, Offer, Worker, memory_to_json
from zebjax.operations.rented.settings import Config, Rules, Wanted

STORE = ["--store.url", "s3://bucket/zeb"]
has_dstack = pytest.mark.skipif(
    importlib.util.find_spec("dstack") is None, reason="needs zebjax[fleet]"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-learners-own-secret")
    (tmp_path / "zebjax-0-py3-none-any.whl").touch()
    return tmp_path


PACKAGE = ["--package", "zebjax-0-py3-none-any.whl"]


def a_fleet(folder, **changes):
    made = spec.Spec(
        **{
            **{"name": "lb", "experiment": "lb_v_eq_3740", "options": ("--seed=3",)},
            **{"namespace": "s3://bucket/zeb/lb-v-eq-3740", "run": "lb-v-eq-3740"},
            **{"rules": Rules(), "machines": spec.Machines(image="zebjax:1")},
            "secrets": spec.default_secrets("s3"),
            **changes,
        }
    )
    spec.write(folder, made)
    return made


@has_dstack
def test_plan_writes_files_that_dstack_accepts_with_names_of_secrets_only(here, capsys):
    asked = ["plan", "lb_v_eq_3740", *STORE, *PACKAGE, "--selfplay", "2", "--evalaux", "1"]
    assert fleet.main([*asked, "--gpu", "RTX4070Ti,RTX3070Ti", "--max-price", "0.09"]) == 0
    assert "offers are not known: no dstack server is set up" in capsys.readouterr().out
    folder = here / "runs" / "lb-v-eq-3740" / "fleet"
    task = yaml.safe_load((folder / "selfplay.dstack.yml").read_text())
    assert task["max_price"] == 0.09 and task["resources"]["gpu"]["name"] == [
        *("RTX4070Ti", "RTX3070Ti")
    ]
    assert task["env"][1] == (
        "AWS_SECRET_ACCESS_KEY=${{ secrets.zebjax_worker_aws_secret_access_key }}"
    )
    assert "retry" not in task and task["commands"][-1] == (
        "exec zebjax train lb_v_eq_3740 --store.url=s3://bucket/zeb --name lb-v-eq-3740 --device "
        'gpu --role selfplay --wait-for-weights --worker-id "$DSTACK_RUN_NAME"'
    )
    assert task["backends"] == ["vastai"]
    assert json.loads((folder / "fleet.json").read_text())["kind"] == "rented"
    assert spec.read_wanted(folder).targets == {"selfplay": 2, "evalaux": 1}
    for path in folder.iterdir():
        assert "learners-own" not in path.read_text()


@has_dstack
def test_what_dstacks_parser_refuses_is_a_sentence(here, capsys):
    asked = ["plan", "lb_v_eq_3740", *STORE, *PACKAGE, "--selfplay", "1", "--backend", "moonbase"]
    assert fleet.main(asked) == 2
    problem = capsys.readouterr().err
    assert "dstack refuses the configuration" in problem


@has_dstack
def test_own_hosts_and_experiments_of_ones_own_are_in_the_files(here):
    experiment = here / "mine.py"
    experiment.write_text("")
    machines = spec.Machines(image="z:1", ssh_hosts=("me@gpu-1",), ssh_key="~/.ssh/id")
    made = a_fleet(here / "f", experiment=str(experiment), machines=machines)
    names = [path.name for path in dstack_files.write(here / "f", made)]
    assert names == [
        *("cloud.dstack.yml", "hosts.dstack.yml", "selfplay.dstack.yml", "evalaux.dstack.yml")
    ]
    hosts = yaml.safe_load((here / "f" / "hosts.dstack.yml").read_text())
    assert hosts["ssh_config"]["hosts"] == [{"user": "me", "hostname": "gpu-1"}]
    task = yaml.safe_load((here / "f" / "evalaux.dstack.yml").read_text())
    assert task["files"] == [f"{experiment}:mine.py"]
    doctor = "zebjax doctor mine.py --seed=3 --name lb-v-eq-3740 --device gpu || exit 66"
    assert task["commands"][0] == doctor and task["fleets"] == ["lb", "lb-hosts"]
    # Not every provider that dstack's server knows, but the own hosts too.
    assert task["backends"] == ["vastai", "remote"]
    cloud = yaml.safe_load((here / "f" / "cloud.dstack.yml").read_text())
    assert cloud["backends"] == ["vastai"]


@has_dstack
def test_runpod_and_own_hosts_alone_by_the_same_command(here):
    asked = ["plan", "lb_v_eq_3740", *STORE, *PACKAGE, "--selfplay", "2"]
    folder = here / "runs" / "lb-v-eq-3740" / "fleet"
    assert fleet.main([*asked, "--backend", "vastai,runpod"]) == 0
    task = yaml.safe_load((folder / "selfplay.dstack.yml").read_text())
    assert task["backends"] == ["vastai", "runpod"]
    assert fleet.main([*asked, "--backend", "runpod"]) == 0
    task = yaml.safe_load((folder / "selfplay.dstack.yml").read_text())
    assert task["backends"] == ["runpod"] and "backend_options" not in task
    assert fleet.main([*asked, "--backend", "none", "--ssh-host", "me@gpu-1"]) == 0
    task = yaml.safe_load((folder / "selfplay.dstack.yml").read_text())
    assert task["fleets"] == ["lb-v-eq-3740-hosts"] and task["backends"] == ["remote"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*PACKAGE, "--selfplay", "1"], "store.url: a rented machine cannot reach the folder"),
        ([*PACKAGE, *STORE], "expected --selfplay N or --evalaux N"),
        ([*STORE, "--selfplay", "1"], "expected --package WHEEL or --image IMAGE"),
        ([*STORE, "--package", "none.whl"], "--package none.whl: expected the file of a wheel"),
        (
            [*STORE, *PACKAGE, "--evalaux", "1", "--eval-aux.no-enabled"],
            "--evalaux 1: lb-v-eq-3740 would drop these games",
        ),
        ([*STORE, *PACKAGE, "--secret", "KEY=two words"], "--secret: expected VARIABLE"),
        ([*STORE, *PACKAGE, "--fleet-name", "Lb"], "--fleet-name: expected a lower-case letter"),
        ([*STORE, *PACKAGE, "--ssh-host", "gpu-1"], "--ssh-host: expected USER@HOST"),
    ],
)
def test_a_bad_plan_is_refused_in_a_sentence_and_writes_nothing(here, capsys, options, message):
    assert fleet.main(["plan", "lb_v_eq_3740", *options]) == 2
    problem = capsys.readouterr().err
    assert message in problem and problem.count("\n") == 1 and not (here / "runs").exists()


RENTED = ["plan", "up", "scale", "cull", "down"]


@pytest.mark.parametrize("name", RENTED)
def test_every_subcommand_explains_itself(here, name, capsys):
    with pytest.raises(SystemExit) as ended:
        fleet.main([name, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"  zebjax fleet {name} lb" in said
    for example in re.split(r"\nexamples?:\n", said.replace("\\\n", ""))[-1].splitlines():
        words = example.split()[2:]
        assert words[0] == name
        # What an example names is not there; that its options are known is what counts.
        assert fleet.main(words) == 2 and "unknown option" not in capsys.readouterr().err


@pytest.mark.parametrize("name", RENTED[1:])
def test_a_fleet_that_is_not_planned_is_named(here, capsys, name):
    more = {"cull": ["w"], "scale": ["--selfplay", "1"]}.get(name, [])
    assert fleet.main([name, "nowhere", *more]) == 2
    assert "nowhere: there is no fleet" in capsys.readouterr().err
    fleets.write(fleets.Fleet(here, "local", "x", here, "store", "zebjax fleet local x", {}))
    assert fleet.main([name, ".", *more]) == 2
    assert "not a rented fleet; expected kind 'rented'" in capsys.readouterr().err


def test_status_scale_and_cull_without_a_guard(here, capsys):
    folder = here / "runs" / "lb-v-eq-3740" / "fleet"
    a_fleet(folder)
    worker = Worker("lb-selfplay-1", "selfplay", "o", "RTX4070Ti", 0.08, 0.0, games=256.0)
    memory = Memory(workers=(worker,), spent_usd=1.25, stopped_roles={"evalaux": "crashes"})
    (folder / "memory.json").write_text(json.dumps(memory_to_json(memory)))
    assert fleet.main(["scale", "lb_v_eq_3740", "--selfplay", "2"]) == 0
    assert "no guard runs" in capsys.readouterr().out
    assert fleet.main(["scale", "lb-v-eq-3740", "--selfplay", "0"]) == 2
    assert "a fleet keeps one self-play worker" in capsys.readouterr().err
    assert fleet.main(["cull", "lb-v-eq-3740", "lb-selfplay-9"]) == 2
    assert "no such worker; expected one of: lb-selfplay-1" in capsys.readouterr().err
    assert fleet.main(["cull", "lb-v-eq-3740", "lb-selfplay-1"]) == 0
    capsys.readouterr()
    assert spec.read_wanted(folder) == Wanted({"selfplay": 2}, ("lb-selfplay-1",))
    assert fleet.main(["status", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "1.250 of 5 USD spent" in said and "evalaux is stopped: crashes" in said
    assert "lb-selfplay-1" in said and "256 games" in said
    assert fleet.main(["status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["targets"] == {"selfplay": 2}


def test_the_fleets_file_is_read_as_it_was_written(tmp_path):
    machines = spec.Machines(gpus=("H100",), package="z.whl", ssh_hosts=("a@b",))
    made = a_fleet(tmp_path, machines=machines, rules=Rules(allow=("1",), budget_usd=9.0))
    assert spec.read(tmp_path) == made
    (tmp_path / "fleet.json").write_text('{"kind": "rented", "rented": {"name": "x"}}')
    with pytest.raises(ValueError, match=r"fleet\.json: not a rented fleet's file"):
        spec.read(tmp_path)


def test_offers_come_with_their_cost_for_a_million_games():
    known = {"rtx4070ti": speeds.Known(34.0, "predicted")}
    config = Config("lb", Rules(), Wanted({"selfplay": 1}), {"rtx4070ti": 34.0})
    offers = (
        Offer("b", "RTX 3060", 0.03, 8),
        Offer("a", "RTX4070Ti", 0.0816, 8),
        Offer("c", "RTX4070Ti", 0.5, 8),
    )
    rows = planning.offers_table(config, "selfplay", offers, known)
    assert [row["offer"] for row in rows] == ["b", "a"]  # an unknown GPU is tried when it is cheap
    assert rows[1]["usd_per_million_games"] == pytest.approx(0.0816 / 3600 / 34 * 1e6)
    line = planning.summary({"selfplay": 1}, {"selfplay": rows[1:]})
    assert line == (
        "the best 1 of these offers: 0.082 USD per hour, 34.0 games/s, 0.67 USD per million games"
    )
    assert "(predicted)" in planning.text(rows, 1)[1]


@pytest.mark.parametrize(
    ("run", "name"), [("lb-v-eq-3740", "lb-v-eq-3740"), ("Big_Run.2", "big-run-2"), ("3", "z-3")]
)
def test_a_fleet_has_a_name_that_providers_accept(run, name):
    assert spec.fleet_name(run) == name
