"""What the processes of a local fleet run, and how they share GPUs."""

import sys

import pytest

from zebjax import train
from zebjax.operations.local import programs
from zebjax.operations.local.programs import Gpu, Program

ONE, TWO = Gpu("0", "H100"), Gpu("1", "H100")


def fleet(n_selfplay=2, n_evalaux=1, changes=()):
    return programs.of_experiment("quickstart", changes, n_selfplay, n_evalaux)


def test_each_role_is_a_command_of_zebjax_train():
    made = fleet(changes=["--learner.lr=0.005"])
    assert [program.name for program in made] == ["learner", "play-1", "play-2", "evalaux-1"]
    for program in made:
        assert program.command[:4] == (sys.executable, "-m", "zebjax", "train")
        own = train.parser().parse(program.command[4:])
        assert own.experiment == "quickstart" and getattr(own, "learner.lr") == 0.005
        assert own.role == program.role
        assert own.worker_id == (None if program.role == "learner" else program.name)
        assert own.wait_for_weights == (program.role != "learner")
        assert Program.from_json(program.to_json()) == program


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("", []),
        ("-1", []),
        ("1,9,0", ["1"]),  # CUDA stops at what it does not know
        ("GPU-12ab", ["GPU-12ab"]),
    ],
)
def test_only_visible_gpus_are_used(wanted, found):
    environment = {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}
    gpus = programs.visible(["A", "B", "C"], environment)
    assert [gpu.identity for gpu in gpus] == found
    assert all(gpu.name == "ABC"[int(gpu.identity)] for gpu in gpus if gpu.identity.isdigit())


def test_without_a_gpu_nothing_is_set():
    assert programs.placed(fleet(), [], {}) == (fleet(), [])
    assert programs.gpus({"JAX_PLATFORMS": "cpu"}) == []


def test_processes_that_share_a_gpu_get_equal_parts_and_do_not_reserve_them():
    made, notes = programs.placed(fleet(), [ONE], {})
    for program in made:
        assert program.gpu == "H100" and program.environment == {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "XLA_CLIENT_MEM_FRACTION": "0.225",
        }
    assert notes == [
        "learner, play-1, play-2, evalaux-1 share GPU 0 (H100): each may use 22% of its memory, "
        "and takes it as needed"
    ]


def test_two_gpus_are_shared_evenly_and_a_gpu_of_ones_own_is_not_limited():
    made, _ = programs.placed(fleet(), [ONE, TWO], {})
    assert [program.environment["CUDA_VISIBLE_DEVICES"] for program in made] == list("0101")
    assert {program.environment["XLA_CLIENT_MEM_FRACTION"] for program in made} == {"0.450"}
    alone, notes = programs.placed(fleet(1, 0), [ONE, TWO], {})
    assert [program.environment for program in alone] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    _, notes = programs.placed(fleet(1, 0), [ONE, TWO, Gpu("2", "H100")], {})
    assert notes[-1] == "GPU 2 (H100) is not used; more --selfplay would"


@pytest.mark.parametrize(
    "name",
    ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"],
)
def test_a_limit_of_the_users_own_stays(name):
    made, _ = programs.placed(fleet(), [ONE], {name: "0.1"})
    assert all(program.environment == {} and program.gpu == "H100" for program in made)
