"""supervisord's own parser reads the generated configuration as it is meant."""

import dataclasses
import json
import shlex
import subprocess
import sys

import pytest
from supervisor.datatypes import RestartUnconditionally, RestartWhenExitUnexpected
from supervisor.options import ServerOptions

from tests.support.fleets import plan
from zebjax.distributed import machine
from zebjax.operations.local import child, configuration, start
from zebjax.operations.local.configuration import Policy

ODD = "/opt/50 % of;it ; or #1 'quoted' \"twice\"/python"


def parsed(folder, text, monkeypatch):
    (folder / "logs").mkdir(exist_ok=True)
    (folder / configuration.FILE).write_text(text)
    monkeypatch.chdir(folder)  # as supervisord
    options = ServerOptions()
    options.realize(["-c", str(folder / configuration.FILE)], doc="")
    return options


@pytest.fixture
def programs(tmp_path):
    return plan(tmp_path, ("learner", "play-1", "evalaux-1")).programs


def test_the_groups_stop_in_the_right_order_and_logs_rotate(tmp_path, monkeypatch, programs):
    policy = Policy(start_s=7, retries=3, worker_stop_s=11, learner_stop_s=13, log_bytes=999)
    text = configuration.text(programs, policy, tmp_path / "s.sock", "abc123")
    options = parsed(tmp_path, text, monkeypatch)
    groups = sorted(options.process_group_configs, key=lambda group: group.priority)
    # They start in this order and stop in the opposite one, each when the one before has ended.
    assert [group.name for group in groups] == ["events", "learner", "workers"]
    events, learner, workers = groups
    assert [each.name for each in workers.process_configs] == ["play-1", "evalaux-1"]
    for each in (*learner.process_configs, *workers.process_configs):
        assert (each.startsecs, each.startretries, each.stopsignal) == (7, 3, 15)
        assert each.autostart and each.redirect_stderr and each.killasgroup
        assert not each.stopasgroup
        assert each.stdout_logfile == f"logs/{each.name}.log"  # supervisord runs in the folder
        assert each.stdout_logfile_maxbytes == 999 and each.stdout_logfile_backups == 3
        assert each.environment == {child.MARK: "abc123"}
    (own,) = learner.process_configs
    assert own.stopwaitsecs == 13 and own.autorestart is RestartWhenExitUnexpected
    assert own.exitcodes == [0]
    assert {each.stopwaitsecs for each in workers.process_configs} == {11}
    assert {each.autorestart for each in workers.process_configs} == {RestartUnconditionally}
    assert {event.__name__ for event in events.pool_events} == {
        "ProcessStateEvent",
        "SupervisorStateChangeEvent",
    }
    (server,) = options.server_configs
    assert server["file"] == str(tmp_path / "s.sock") and server["chmod"] == 0o700


def test_odd_paths_survive(tmp_path, monkeypatch, programs):
    monkeypatch.setattr(sys, "executable", ODD)
    socket = tmp_path / "a % b"
    text = configuration.text(programs, Policy(), socket, "abc123")
    options = parsed(tmp_path, text, monkeypatch)
    assert options.server_configs[0]["file"] == str(socket)
    for group in options.process_group_configs:
        for each in group.process_configs:
            words = shlex.split(each.command)
            assert words == [ODD, "-I", child.__file__, each.name]


def test_the_child_becomes_the_program_of_its_name(tmp_path):
    (tmp_path / "deep").mkdir()
    code = "import os; print(os.getcwd(), os.environ['A'], os.environ['B'])"
    command = [sys.executable, "-c", code]
    program = {"name": "play-1", "command": command, "environment": {"B": "of % the ; fleet"}}
    facts = {"cwd": str(tmp_path / "deep"), "programs": [{"name": "learner"}, program]}
    (tmp_path / "fleet.json").write_text(json.dumps(facts))
    done = subprocess.run(
        [sys.executable, "-I", child.__file__, "play-1"],
        cwd=tmp_path,
        env={"A": "mine", "B": "mine too"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path / 'deep'} mine of % the ; fleet\n"


def test_each_process_tells_its_share_of_the_machines_price(tmp_path):
    made = dataclasses.replace(plan(tmp_path, ("learner", "play-1")), price_usd_per_hour=0.5)
    kept = start.programs_of(made.as_fleet(tmp_path / "socket"))
    assert [machine.price(program.environment[machine.PRICE]) for program in kept] == [0.25, 0.25]
