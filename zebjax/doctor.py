"""The command `zebjax doctor`: check that this machine can run an experiment, in two minutes."""

import argparse
import contextlib
import dataclasses
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zebjax import experiment, network
from zebjax.common import cli
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Refused, StoreError
from zebjax.training.config import Experiment

# Each check imports jax itself, so that `--help` does not.
_FEW_SIMS, _FEW_WORLDS = 4, 5


def _probe_name() -> str:
    """The name of this machine's objects in the store."""
    return "doctor-" + re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:50]


def device(settings: Experiment) -> str:
    """The devices of this machine; an error if they are not the experiment's `device`, or if JAX
    uses the CPU although there is a GPU.
    """
    import jax

    from zebjax.common import devices

    devices.check(settings.device)
    found = jax.devices()
    return f"{len(found)} x {found[0].device_kind} ({jax.default_backend()})"


def needed_memory(settings: Experiment) -> str:
    """The memory that a run in one process needs, and the settings that use most of it."""
    from zebjax.training import memory

    compared = memory.check(settings)
    return f"{compared}; most for {memory.describe(memory.estimate(settings)[:2])}"


def cache_folders(settings: Experiment) -> str:
    """The cache folders of compiled code; a missing one is no error."""
    import jax

    from zebjax.solver import cached_code

    compiled = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # options are made at import
    without = "nowhere (each process compiles anew)"
    solver = cached_code.folder()
    return f"JAX's programs in {compiled or without}, the solver in {solver or without}"


def locking(settings: Experiment) -> str:
    """The kind of lock that keeps a second process out of the run's folder."""
    from zebjax.common import locks

    folder = next(
        place
        for place in (settings.folder.absolute(), *settings.folder.absolute().parents)
        if place.is_dir()
    )
    return f"{folder}: {locks.kind(folder)}"


def store(settings: Experiment) -> str:
    """Check that a worker can write objects, read them again, and not overwrite them."""
    place = open_store(settings.namespace)
    name, data = f"examples/{_probe_name()}/probe", b"probe"
    try:
        # It may exist already, if an earlier probe of this machine could not be deleted.
        place.put({name: data})
        if place.put({name: b"other"}):
            raise ValueError(f"{place.where}: an existing object could be created again")
        if place.get(name, 100) != data or [
            entry.name for entry in place.entries(name.rpartition("/")[0])
        ] != [name]:
            raise ValueError(f"{place.where}: the object read differs from the one written")
    finally:
        with contextlib.suppress(StoreError):  # a worker's credential need not allow deleting
            place.delete([name])
    return f"{place.where}: examples can be written and read"


def learner_access(settings: Experiment) -> str:
    """Check that a learner could use this credential; a worker needs less, so this never fails."""
    place = open_store(settings.namespace)
    name = f"weights/{_probe_name()}"
    try:
        place.put({}, {name: b"probe"})
    except Refused as error:
        return f"this credential is sufficient for workers only: {error}"
    try:
        place.delete([name])
    except Refused as error:
        return (
            f"this credential can write weights but not delete, which a learner needs too: {error}"
        )
    return "this credential can also write weights and delete: sufficient for a learner"


def start_files(settings: Experiment) -> str:
    """Check the files that a new run starts from; a worker needs none of them."""
    from zebjax.common import checkpoint, hub

    if checkpoint.steps(settings.folder / "state"):
        return f"{settings.folder}: holds a run to resume"
    wanted = {
        "start.checkpoint": settings.start.checkpoint,
        "teacher.folder": settings.teacher.folder,
        "replay.seed_folder": settings.replay.seed_folder,
    }
    here = {
        name: path for name, path in wanted.items() if path is not None and not hub.is_hub(path)
    }
    missing = [
        f"{name} = {path}"
        for name, path in here.items()
        if path != "bundled" and not Path(path).exists()
    ]
    if missing:
        return f"only a worker can start here: cannot find {', '.join(missing)}"
    return "all files that a new run starts from exist"


def published(settings: Experiment) -> str:
    """The newest published weights, checked against the experiment."""
    from zebjax.distributed import weights
    from zebjax.distributed.subscription import check_experiment

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
    """One game of self-play, with few simulations, replayed to prove that it is legal."""
    import jax

    from zebjax import record
    from zebjax.common import jax_settings
    from zebjax.training import selfplay

    search = dataclasses.replace(
        settings.selfplay.search, sims=min(_FEW_SIMS, settings.selfplay.search.sims)
    )
    config = dataclasses.replace(
        settings.selfplay, lanes=jax.device_count(), games_per_cycle=1, search=search
    )
    params = network.init(settings.network, jax_settings.key(0))
    actor = selfplay.init(config, jax_settings.key(1))
    actor = selfplay.advance(config, settings.network, params, actor, 0, 1000)
    _, records = selfplay.pop_finished(config, actor)
    record.validate(records)
    if config.learns_moves:
        return f"a game without a search, method {config.method}"
    return f"a game with {search.sims} simulations per decision"


def eval_aux_games(settings: Experiment) -> str:
    """Two games of E[Q] with few worlds against a network, replayed to prove that they are legal.

    This compiles the solver.
    """
    from zebjax import record
    from zebjax.common import jax_settings
    from zebjax.training import eval_aux

    config = dataclasses.replace(
        settings.eval_aux, worlds=min(_FEW_WORLDS, settings.eval_aux.worlds)
    )
    params = network.init(settings.network, jax_settings.key(0))
    records, _ = eval_aux.play(
        config, settings.network, params, eval_aux.GamesToPlay(step=0, seed=0, number=0, n_games=2)
    )
    record.validate(records)
    return f"two games against E[Q] of {config.worlds} worlds"


CHECKS: dict[str, Callable[[Experiment], str]] = {
    "device": device,
    "memory": needed_memory,
    "caches": cache_folders,
    "locks": locking,
    "store": store,
    "learner": learner_access,
    "start": start_files,
    "weights": published,
    "self-play": self_play,
    "eval-aux": eval_aux_games,
}


def examine(settings: Experiment) -> Iterator[tuple[str, bool, str]]:
    """Yield for each check its name, True if it passed, and its finding."""
    for name, check in CHECKS.items():
        began = time.monotonic()
        try:
            found, passed = check(settings), True
        except Exception as error:  # any error is a finding
            found, passed = str(error).strip().split("\n")[0] or type(error).__name__, False
        yield name, passed, f"{found} ({time.monotonic() - began:.1f} s)"


def parser() -> experiment.Parser:
    """The command's parser."""
    return experiment.Parser(
        "doctor",
        "Check that this machine can run an experiment: its device, the store and the access to\n"
        "it, published weights, the exact solver, and a game of each kind. Prints one line for\n"
        "each check. Exit status 0: all checks passed; 2: a check failed. It takes half a minute\n"
        "or less; about two minutes where programs must be compiled first.",
        "quickstart",
        "lb_v_eq_3740 --store.url s3://my-bucket/zeb",
        usage="EXPERIMENT [--FIELD VALUE ...]",
    ).with_fields()


def _run(arguments: argparse.Namespace) -> int:
    all_passed = True
    for name, passed, found in examine(experiment.Parser.experiment(arguments)):
        all_passed &= passed
        print(f"{'ok  ' if passed else 'FAIL'} {name:10} {found}", flush=True)
    return 0 if all_passed else 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("doctor", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
