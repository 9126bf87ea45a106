"""Save and restore a run: its arrays, progress and settings, in `NAME/state/step_*`.

A save is atomic. The newest two are kept: if a disk fault damages the newest, the run resumes from
the one before.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import network
from zebjax.common import checkpoint, devices, files, jax_settings
from zebjax.common.console import Reporter, counted
from zebjax.contract_record import AnyRecord
from zebjax.training import changes, held_out, learner, metrics, replay, resume, warm_start
from zebjax.training.config import Experiment, to_json
from zebjax.training.session import Progress, Session, State, fresh_state

_SAVES_KEPT = 2


def open_session(
    settings: Experiment,
    report: Reporter,
    stop_asked: Callable[[], bool],
    needs_finite: bool = True,
) -> Session:
    """Resume the run in the experiment's folder from its newest save, or begin it.

    Args:
        settings: the experiment.
        report: the console.
        stop_asked: returns True after a stop was requested.
        needs_finite: False to accept a save whose weights are not finite, for a rollback.

    Returns:
        The session. If the run is resumed, `start.checkpoint` and `replay.seed_folder` in its
        settings are the values that the run began with. Its arrays have their saved shapes, see
        `resize.fit`, and its progress has the changed settings, see `changes`.

    Raises:
        CannotContinue: (a ValueError) if the settings cannot resume the saved run.
        ValueError: if the folder holds something else or a damaged run.
    """
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    metrics.repair(folder / metrics.FILE, report.note)
    saves = checkpoint.steps(folder / "state")
    if saves:
        session = _restore_newest(settings, saves, report, stop_asked, needs_finite)
        if not session.is_complete:
            report.note(f"resuming {folder} after cycle {session.progress.cycle}")
        return session
    _refuse_results_without_a_state(settings)
    state, progress, held = _begin(settings, report)
    return Session(settings, report, stop_asked, state, progress, True, held)


def save(session: Session) -> None:
    """Save the run.

    Raises:
        ValueError: if its weights are not finite; the existing saves are kept.
    """
    progress, folder = session.progress, session.folder
    if not is_finite(session.state.learner):
        raise ValueError(not_finite(session))
    number = max(checkpoint.steps(folder / "state"), default=0) + 1
    with files.new_folder(checkpoint.step_folder(folder / "state", number), durable=True) as new:
        checkpoint.save_tree(new / "arrays", session.state)
        held_out.save(new, session.held_out)
        files.write_json(new / "progress.json", dataclasses.asdict(progress))
        files.write_text(new / "experiment.json", to_json(session.settings) + "\n")
    checkpoint.prune(folder / "state", keep=_SAVES_KEPT)


def not_finite(session: Session) -> str:
    """The sentence that ends a run whose weights are nan or infinite."""
    progress = session.progress
    return (
        f"{session.folder}: the weights are no longer finite at cycle {progress.cycle}, after "
        f"{progress.updates_in_cycle} updates; they were not saved, so the last good save stays. "
        "Resume with a lower --learner.lr, or go back further with `zebjax rollback`"
    )


@jax.jit
def _all_finite(floats: list[jax.Array]) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]))


def is_finite(state: learner.LearnerState) -> bool:
    """True if no weight, no number of the optimiser and no sum of a metric is nan or infinite."""
    tree = (state.params, state.optimizer, state.metrics, state.average)
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if all(isinstance(leaf, np.ndarray) for leaf in floats):
        # A compiled check would have to wait for the call that runs ahead.
        return all(np.isfinite(leaf).all() for leaf in floats)
    return bool(_all_finite(floats))


def _refuse_results_without_a_state(settings: Experiment) -> None:
    """Raise ValueError if the folder has metrics of training but no saved state."""
    folder = settings.folder
    rows = metrics.read(folder / metrics.FILE)
    # One row without losses is allowed: zebjax 0.1 wrote the row of the first evaluation before its
    # first save, so such a run was killed at its start and can begin again.
    if any("train/total_loss" in row for row in rows) or len(rows) > 1:
        raise ValueError(
            f"{folder}: there are results of a run, but its saved state is gone; move the folder "
            "away, or choose another --name"
        )


def _begin(settings: Experiment, report: Reporter) -> tuple[State, Progress, AnyRecord]:
    key = jax.random.fold_in(jax_settings.key(settings.seed), 0)
    begun = warm_start.begin(settings, settings.folder / "start", key, report.note)
    state = fresh_state(settings, begun.params, begun.step)
    progress = Progress(first_cycle=begun.step, cycle=begun.step, total_games=begun.total_games)
    held = held_out.none(settings.network.plays_contracts)
    share = settings.replay.held_out
    if settings.replay.seed_folder is not None:
        seeds = warm_start.seeds(settings)
        n, n_aux = len(seeds.selfplay.slots), len(seeds.eval_aux.slots)
        report.note(
            f"loaded {counted(n, 'self-play game')} and {counted(n_aux, 'game')} against E[Q] from "
            f"{settings.replay.seed_folder}"
        )
        trained, withheld = held_out.split(seeds.selfplay, share)
        held = held_out.added(settings, held, withheld)
        state = state._replace(
            ring=replay.add_some(state.ring, trained),
            aux=replay.add_some(state.aux, seeds.eval_aux),
        )
        # Count what is in the rings: they may be too small for all games.
        progress.arrived_examples = sum(
            int(replay.n_examples(ring)) for ring in (state.ring, state.aux)
        )
    if settings.teacher.folder is not None:
        games = warm_start.taught_games(settings)
        report.note(
            f"loaded {counted(len(games.slots), 'teacher game')} from {settings.teacher.folder}"
        )
        trained, withheld = held_out.split(games, share)
        held = held_out.added(settings, held, withheld)
        state = state._replace(ring=replay.add(state.ring, trained))
        progress.total_games += len(games.slots)
    return state, progress, held


def _restore_newest(
    settings: Experiment,
    saves: list[int],
    report: Reporter,
    stop_asked: Callable[[], bool],
    needs_finite: bool,
) -> Session:
    """Restore the newest save that can be read; resuming from an older one gives the same run."""
    for number in reversed(saves):
        try:
            session = _restore(settings, number, report, stop_asked)
            if needs_finite and not is_finite(session.state.learner):
                raise ValueError(
                    f"{settings.folder}: the weights of save {number} are not finite; go back with "
                    "`zebjax rollback`"
                )
            return session
        except resume.CannotContinue:
            raise
        except ValueError as error:
            if number == saves[0]:
                raise
            report.note(f"{error}; going back to the save before it")
    raise AssertionError("unreachable: there is at least one save")


def _restore(
    settings: Experiment, number: int, report: Reporter, stop_asked: Callable[[], bool]
) -> Session:
    folder = checkpoint.step_folder(settings.folder / "state", number)
    saved = files.read_json(folder / "experiment.json")
    resume.check_can_continue(saved, settings)
    then = resume.with_saved_sizes(saved, settings)
    abstract = network.abstract_params(settings.network)
    like = jax.eval_shape(lambda params: fresh_state(then, params, 0), abstract)
    progress = Progress.read(folder / "progress.json")
    resume.check_updates(settings, progress.phase, progress.updates_in_cycle)
    state = devices.everywhere(checkpoint.restore_tree(folder / "arrays", like))
    held = held_out.load(folder, settings.network.plays_contracts)
    settings = resume.keep_start(settings, saved, report.note)
    # A complete run does not use them, and keeps the settings that made it.
    is_complete = progress.is_complete(settings.cycles)
    found = [] if is_complete else changes.differences(saved, settings)
    if found:
        report.note(f"resuming with changed settings: {changes.text(found)}")
        progress.changes += changes.at(progress.cycle, found)
    return Session(
        settings, report, stop_asked, state, progress, False, held, has_changed=bool(found)
    )
