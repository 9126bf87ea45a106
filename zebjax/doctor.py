"""Can this machine do its part? `python -m zebjax.doctor EXPERIMENT.py`: one line a check, in under
two minutes.
"""

import contextlib
import dataclasses
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from zebjax import experiment, network, record
from zebjax.common import checkpoint, compilation_cache
from zebjax.distributed import weights
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Refused, StoreError
from zebjax.training import eval_aux, selfplay
from zebjax.training.config import Experiment

_USAGE = """usage: python -m zebjax.doctor EXPERIMENT.py [--overrides]

Check what a process of this experiment needs: device, store and its access, published weights, the
exact solver, and that one game of each kind can be played. A line a check; exit status 0 if all is
well, 2 if not.

example:
  python -m zebjax.doctor experiments/lb_v_eq_3740.py --store.url s3://my-bucket/zeb
"""
_FEW_SIMS, _FEW_WORLDS = 4, 5


def _me() -> str:
    """What this machine's probes are called."""
    return "doctor-" + re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:50]


def device(settings: Experiment) -> str:
    """What computes here."""
    found = jax.devices()
    return f"{len(found)} x {found[0].device_kind} ({jax.default_backend()})"


def store(settings: Experiment) -> str:
    """Whether a worker can write here, what was written can be read again, and nothing overwrites
    it.
    """
    place = open_store(settings.namespace)
    name, data = f"examples/{_me()}/probe", b"probe"
    try:
        place.put(
            {name: data}
        )  # it is there where an earlier one of this machine could not be deleted
        if place.put({name: b"other"}):
            raise ValueError(f"{place.where}: an object that is there could be created again")
        if place.get(name, 100) != data or [
            entry.name for entry in place.entries(name.rpartition("/")[0])
        ] != [name]:
            raise ValueError(f"{place.where}: what was written is not what is there")
    finally:
        with contextlib.suppress(StoreError):  # a worker's credential need not be good for deleting
            place.delete([name])
    return f"{place.where}: examples can be written and read"


def learner_access(settings: Experiment) -> str:
    """Whether a learner could work with this credential; a worker need not, so it is never
    wrong.
    """
    place = open_store(settings.namespace)
    name = f"weights/{_me()}"
    try:
        place.put({}, {name: b"probe"})
    except Refused as error:
        return f"this credential is good for workers only: {error}"
    try:
        place.delete([name])
    except Refused as error:
        return (
            f"this credential can write weights but not delete, which a learner does too: {error}"
        )
    return "this credential can also write weights and delete: good for a learner"


def beginning(settings: Experiment) -> str:
    """Whether what a new run begins with is there; a worker needs none of it."""
    if checkpoint.steps(settings.folder / "state"):
        return f"{settings.folder}: there is a run to go on with"
    wanted = {
        "start.checkpoint": settings.start.checkpoint,
        "teacher.folder": settings.teacher.folder,
        "replay.seed_folder": settings.replay.seed_folder,
    }
    here = {
        name: path
        for name, path in wanted.items()
        if path is not None and not path.startswith("hf://")
    }
    missing = [
        f"{name} = {path}"
        for name, path in here.items()
        if path != "bundled" and not Path(path).exists()
    ]
    if missing:
        return f"only a worker can start here: there is no {', '.join(missing)}"
    return "all that a new run begins with is here"


def published(settings: Experiment) -> str:
    """Whether there are weights to play with, and of this experiment."""
    from zebjax.distributed.worker import check_experiment

    place = open_store(settings.namespace)
    try:
        found = weights.newest(place)
    except Missing:
        return "no weights published yet: only a learner can start"
    assert found is not None
    check_experiment(found[0], settings)
    weights.fetch(place, found[0], settings.network)
    return f"step {found[0].step}, generation {found[0].generation}, {found[0].size:,} bytes"


def self_play(settings: Experiment) -> str:
    """One game of self-play with few simulations, proved legal."""
    search = dataclasses.replace(
        settings.selfplay.search, sims=min(_FEW_SIMS, settings.selfplay.search.sims)
    )
    config = dataclasses.replace(
        settings.selfplay, lanes=jax.device_count(), games_per_cycle=1, search=search
    )
    params = network.init(settings.network, jax.random.key(0))
    actor = selfplay.init(config, jax.random.key(1))
    actor = selfplay.advance(config, settings.network, params, actor, 0, 1000)
    _, records = selfplay.take(config, actor)
    record.validate(records)
    return f"a game with {search.sims} simulations a decision"


def eval_aux_games(settings: Experiment) -> str:
    """Two games of E[Q] with few worlds against a network, proved legal; compiles the solver."""
    config = dataclasses.replace(
        settings.eval_aux, worlds=min(_FEW_WORLDS, settings.eval_aux.worlds)
    )
    params = network.init(settings.network, jax.random.key(0))
    records, _ = eval_aux.play(
        config, settings.network, params, eval_aux.GamesToPlay(step=0, seed=0, number=0, n_games=2)
    )
    record.validate(records)
    return f"two games against E[Q] of {config.worlds} worlds"


CHECKS: dict[str, Callable[[Experiment], str]] = {
    "device": device,
    "store": store,
    "learner": learner_access,
    "start": beginning,
    "weights": published,
    "self-play": self_play,
    "eval-aux": eval_aux_games,
}


def examine(settings: Experiment) -> Iterator[tuple[str, bool, str]]:
    """Each check's name, whether it is well, and what it found."""
    for name, check in CHECKS.items():
        began = time.monotonic()
        try:
            found, is_well = check(settings), True
        except Exception as error:  # whatever is wrong with a machine is what this is to tell
            found, is_well = str(error).strip().split("\n")[0] or type(error).__name__, False
        yield name, is_well, f"{found} ({time.monotonic() - began:.1f} s)"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    if not arguments or arguments[0].startswith("-"):
        print("doctor: expected an experiment file; see --help", file=sys.stderr)
        return 2
    compilation_cache.keep()
    try:
        settings = experiment.load(Path(arguments[0]), arguments[1:])
    except ValueError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return 2
    all_well = True
    for name, is_well, found in examine(settings):
        all_well &= is_well
        print(f"{'ok  ' if is_well else 'FAIL'} {name:10} {found}", flush=True)
    return 0 if all_well else 2


if __name__ == "__main__":
    sys.exit(main())
