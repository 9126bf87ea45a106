"""One run: get games, train, evaluate, save, and resume.

A cycle has three phases: `play` (add finished games to the rings, see `sources`), `train` (update
the weights), `judge` (evaluate the network when it is due, then write the metrics row). While the
files of a cycle are written, the device plays the first call of the next one (`ahead`). The run is
saved at the end of a cycle, and between compiled calls after some time or when a stop was
requested. Resuming from any save gives the same run.
"""

import dataclasses
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import network
from zebjax.common import checkpoint, devices, files
from zebjax.common.console import Reporter, counted
from zebjax.training import (
    changes,
    cycle_row,
    environment,
    eval_aux,
    judging,
    kept_games,
    learner,
    metrics,
    replay,
    resize,
    saved_state,
    wandb_run,
)
from zebjax.training.call_sizer import CallSizer
from zebjax.training.config import Experiment, to_json
from zebjax.training.outputs import Outputs
from zebjax.training.session import Progress, Stopped
from zebjax.training.sources import GameSource, SelfPlaySource


def seconds_left(cycle_walls: Sequence[float], cycles_left: int) -> float | None:
    """Estimate the time until the run is complete; None if it is not known yet.

    The first cycle of a process also compiles and fills the buffer, so it does not count.

    Args:
        cycle_walls: seconds of each cycle of this process.
        cycles_left: number of cycles still to do.
    """
    if cycles_left == 0:
        return 0.0
    recent = cycle_walls[1:][-20:]
    return sum(recent) / len(recent) * cycles_left if recent else None


def _spec(settings: Experiment) -> str:
    """The spec of the run's player: by its values of moves if its games have taught them."""
    # There the policy has only learned to imitate the values.
    by_values = ",choose=value" if settings.learns_moves else ""
    return f"zeb:{settings.folder}{by_values}"


def _completed(progress: Progress, settings: Experiment) -> str:
    """The last lines of a run: what it has done, and the commands to look at it."""
    cycles = counted(progress.cycle - progress.first_cycle, "cycle")
    games = counted(progress.total_games, "game")
    folder = settings.folder
    player = shlex.quote(_spec(settings))
    contract = " --contract 30" if settings.network.plays_contracts else ""
    return (
        f"complete: {cycles}, {games}, in {folder}; more with --cycles\n"
        f"next: zebjax arena {player} vs heuristic{contract}\n"
        f"      zebjax recap {shlex.quote(str(folder))}"
    )


class Run:
    """A run in its folder; `go` trains until the last cycle of the experiment."""

    def __init__(
        self,
        settings: Experiment,
        report: Reporter,
        stop_asked: Callable[[], bool],
        source: GameSource | None = None,
    ) -> None:
        """Begin the run or resume it.

        Args:
            settings: the experiment.
            report: the console.
            stop_asked: returns True after a stop was requested; the current compiled call still
                finishes.
            source: the source of games; None for self-play in this process.

        Raises:
            ValueError: if the folder or the devices do not fit the experiment.
        """
        devices.check_divides("selfplay.lanes", settings.selfplay.n_lanes)
        devices.check_divides("learner.batch", settings.learner.batch)
        self._judge = judging.Judge(settings.evaluation)
        self.session = saved_state.open_session(settings, report, stop_asked)
        if self.session.is_new and settings.tracking.wandb:
            wandb_run.require()  # a new run that cannot have it is refused before anything is saved
        self.source = source or SelfPlaySource(report, settings.selfplay.how_to_shorten)
        settings, progress = self.session.settings, self.session.progress
        if not self.session.is_complete:  # a complete run keeps the settings that made it
            resize.fit(self.session)
            kept_games.forget_lost(self.session)
            files.write_text(settings.folder / "experiment.json", to_json(settings) + "\n")
        environment.add_start(settings.folder, progress.cycle, report.note)
        self._outputs = Outputs(self.session)
        self._last_save = self._wall_counted_to = time.monotonic()
        self._saved_progress: dict[str, Any] = {}
        """The progress of the newest save."""
        if not self.session.is_new:
            self._saved_progress = self._fingerprint()
        self._train_size = CallSizer(
            "training", "a lower --learner.updates-per-call or --learner.batch", report
        )
        self._cycle_walls: list[float] = []

    def go(self) -> None:
        """Run until the last cycle. If a stop is requested, save the run, report, and return."""
        session = self.session
        phases = {"play": self._play, "train": self._train, "judge": self._evaluate_and_report}
        try:
            if session.is_complete:
                self._outputs.open(with_wandb=False)
                self.source.complete(session)
            else:
                self.source.begin(session)
                # From here on the run can be killed at any time and resumed, changes included.
                if session.is_new or session.has_changed:
                    self.save()
                changes.write(session.folder, session.progress.changes)
                self._note_mix()
                self._open_outputs()
                self.source.weights_changed(session, is_last=False)
            while not session.is_complete:
                self.source.check(session)  # a heartbeat has the phase before its first, long call
                phases[session.progress.phase]()
        except Stopped:
            if self._fingerprint() != self._saved_progress:
                self.save()
            session.report.note(
                f"stopped after cycle {session.progress.cycle}; the same command resumes"
            )
            return
        finally:
            try:
                self.source.close(session)
            finally:
                self._outputs.close()
        session.report.note(_completed(session.progress, session.settings))

    def save(self) -> None:
        """Save the whole run. See `saved_state.save`."""
        self._count_wall()
        saved_state.save(self.session)
        self.source.saved(self.session)
        self._outputs.keep_games()
        self._last_save, self._saved_progress = time.monotonic(), self._fingerprint()

    def _fingerprint(self) -> dict[str, Any]:
        """The progress without the clock: equal while a learner only waits for games."""
        return dataclasses.asdict(self.session.progress) | {"wall_s": 0.0}

    def _open_outputs(self) -> None:
        progress = self.session.progress
        # Of a save that was killed, or of a rollback: the run reaches these steps again.
        root = self.session.folder / "checkpoints"
        later = [step for step in checkpoint.steps(root) if step > progress.cycle]
        checkpoint.remove_steps(root, later)
        with_wandb = self.session.settings.tracking.wandb
        if with_wandb and progress.wandb_run_id is None:
            progress.wandb_run_id = wandb_run.new_id()
            self.save()  # before W&B is opened, so that a restart finds the same W&B run
        self._outputs.open(with_wandb)

    def _note_mix(self) -> None:
        config = self.session.settings.eval_aux
        n = self.session.settings.learner.updates_per_cycle
        if config.enabled and not eval_aux.mix(n, config.batch_fraction, True).any():
            self.session.report.note(
                f"eval_aux.batch_fraction: {config.batch_fraction} of {n} updates per cycle rounds "
                "to 0, so its games are not trained on; raise it or learner.updates_per_cycle"
            )

    def _count_wall(self) -> None:
        now = time.monotonic()
        self.session.progress.wall_s += now - self._wall_counted_to
        self._wall_counted_to = now

    def _between_calls(self) -> None:
        """Raise Stopped if a stop was requested; save if the interval has passed."""
        self.source.check(self.session)
        self.session.raise_if_stopped()
        is_due = time.monotonic() - self._last_save > self.session.settings.save.every_s
        if is_due and self._fingerprint() != self._saved_progress:
            self.save()

    # ---- the phases of a cycle

    def _play(self) -> None:
        """Add games to the rings until the run may train."""
        for _ in self.source.fill(self.session):
            self._between_calls()
        self.session.progress.phase = "train"

    def _train(self) -> None:
        """Do the updates of the cycle, in compiled calls of about ten seconds."""
        session, progress = self.session, self.session.progress
        config, aux_config = session.settings.learner, session.settings.eval_aux
        turns = self._turns()
        while (left := config.updates_per_cycle - progress.updates_in_cycle) > 0:
            done = progress.updates_in_cycle
            session.report.working("training", done, config.updates_per_cycle)
            chunks = 1 if config.updates_per_call else min(self._train_size.n, left // config.chunk)
            began = time.monotonic()
            stream = None
            if aux_config.enabled:
                weights = learner.LossWeights(
                    aux_config.policy_weight,
                    aux_config.value_weight,
                    aux_config.belief_weight,
                    config.move_value_weight,
                )
                stream = learner.EvalAux(session.state.aux, jnp.asarray(turns), weights, done)
            state = learner.train(
                config,
                session.settings.network,
                session.state.learner,
                session.state.ring,
                chunks,
                stream,
            )
            session.state = session.state._replace(learner=jax.block_until_ready(state))
            # Do not measure a shorter last call: it says nothing about a call with n chunks.
            if chunks == self._train_size.n:
                self._train_size.timed(time.monotonic() - began)
            progress.train_s += time.monotonic() - began
            progress.updates_in_cycle += chunks * config.chunk
            self._between_calls()
        progress.cycle += 1
        progress.trained_rows += config.updates_per_cycle * config.batch
        progress.phase = "judge"

    def _turns(self) -> np.ndarray:
        """Return True for the updates of the cycle that take an eval-aux batch.

        bool `[updates_per_cycle]`. The result is the same throughout the phase `train`, because the
        rings do not change in it.
        """
        settings = self.session.settings
        has_aux = settings.eval_aux.enabled and int(replay.n_examples(self.session.state.aux)) > 0
        return eval_aux.mix(
            settings.learner.updates_per_cycle, settings.eval_aux.batch_fraction, has_aux
        )

    def _evaluate_and_report(self) -> None:
        """Evaluate the network if it is due, save the run with its metrics row, then report."""
        began = time.monotonic()
        session, progress = self.session, self.session.progress
        done = progress.cycle - progress.first_cycle
        is_last = done == session.settings.cycles
        is_evaluated = is_last or done % session.settings.evaluation.every_cycles == 0
        if not saved_state.is_finite(session.state.learner):
            raise ValueError(saved_state.not_finite(session))
        row: metrics.Row = {"cycle": progress.cycle, "stats/total_games": progress.total_games}
        if is_evaluated:
            row |= self._evaluate()
        if progress.updates_in_cycle:
            row |= cycle_row.of_held_out(session)
        self._count_wall()
        if progress.updates_in_cycle:
            n_aux = int(self._turns().sum())
            row |= cycle_row.of_cycle(session, n_aux, time.monotonic() - began)
            row |= self.source.metrics(session)
            self._cycle_walls.append(progress.wall_s)
        progress.row = row
        progress.begin_cycle()
        # From here on the device plays, if the source plays here, and nothing else computes there.
        self.source.play_ahead(session)
        self._save_network()
        self.save()
        # Report after the save: from here on a failure or a kill cannot lose the cycle or its row.
        self.source.weights_changed(session, is_last)
        self._outputs.row(row, self._seconds_left(), is_evaluated)

    def _evaluate(self) -> metrics.Row:
        def between() -> None:
            self.source.check(self.session)
            self.session.raise_if_stopped()

        return self._judge.evaluate(self.session, between)

    def _seconds_left(self) -> float | None:
        progress = self.session.progress
        left = progress.first_cycle + self.session.settings.cycles - progress.cycle
        return seconds_left(self._cycle_walls, left)

    def _save_network(self) -> None:
        """Save the network alone, for players, and delete older ones that need not be kept."""
        settings, progress = self.session.settings, self.session.progress
        root, cycle = settings.folder / "checkpoints", progress.cycle
        with files.new_folder(checkpoint.step_folder(root, cycle), replace=True) as folder:
            facts = {
                "run": settings.name,
                "step": cycle,
                "total_games": progress.total_games,
                "trained_examples": progress.trained_rows,
                "wandb_run_id": progress.wandb_run_id,
            }
            network.save(folder, settings.network, self.session.state.learner.published, facts)
        kept, stay = settings.save.keep_every_cycles, (progress.first_cycle, cycle)
        checkpoint.remove_steps(
            root, [step for step in checkpoint.steps(root) if step % kept and step not in stay]
        )
