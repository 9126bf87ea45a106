"""One run, all in one process: play, train, judge, save, and go on where it was.

A cycle has three phases: `play` (finished games into the ring), `train` (updates on it), `judge` (win rate against
random when it is due, then the metrics row). The whole state is saved when a cycle ends, and between compiled calls
when a while has passed or a stop was asked for; resuming from any of these gives the same run.
"""

import dataclasses
import datetime
import math
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, Literal, NamedTuple

import jax

from zebjax import (
    __version__,
    arena,
    checkpoint,
    devices,
    experiment,
    learner,
    network,
    players,
    replay,
    selfplay,
    start,
    torch_weights,
    tracking,
)
from zebjax.console import Reporter
from zebjax.experiment import Experiment
from zebjax.pacing import CallSizer

_STATES_KEPT = 2


class State(NamedTuple):
    """All arrays that a run goes on from."""

    learner: learner.LearnerState
    actor: selfplay.Actor
    ring: replay.Ring


@dataclasses.dataclass
class Progress:
    """Where a run is; saved as JSON beside the arrays."""

    first_cycle: int
    """The training step of the weights that it began with."""
    cycle: int
    """Cycles completed: the training step of the weights."""
    total_games: int
    phase: Literal["play", "train", "judge"] = "judge"
    """A run begins by judging what it starts from."""
    games_in_cycle: int = 0
    updates_in_cycle: int = 0
    play_s: float = 0.0
    train_s: float = 0.0
    wall_s: float = 0.0
    """Since the row of the cycle before, saving and drawing included; not while no process was running."""


class Stopped(Exception):
    """A stop was asked for and the call under way is finished."""


class Run:
    """A run in its folder. `go` trains until the experiment's last cycle."""

    def __init__(self, settings: Experiment, report: Reporter, stop_asked: Callable[[], bool]) -> None:
        self.settings = settings
        self.folder = settings.folder
        self.report = report
        self.stop_asked = stop_asked
        devices.check_divides("selfplay.lanes", settings.selfplay.lanes)
        devices.check_divides("learner.batch", settings.learner.batch)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.metrics_file = self.folder / "metrics.jsonl"
        earlier_starts = self._earlier_starts()
        if saved := checkpoint.steps(self.folder / "state"):
            self.state, self.progress = self._restore_newest(saved)
            report.note(f"continuing {self.folder} after cycle {self.progress.cycle}")
        elif tracking.read(self.metrics_file):
            raise ValueError(
                f"{self.folder}: there are results of a run but no state to continue from; move the folder away, "
                "or choose another --name"
            )
        else:
            self.state, self.progress = self._start()
        tracking.truncate(self.metrics_file, self.progress.cycle - (self.progress.phase == "judge"))
        if not self._is_complete():  # else what it says now made nothing of what is there
            checkpoint.write_text(self.folder / "experiment.json", experiment.to_json(self.settings) + "\n")
        self._note_environment(earlier_starts)
        self._last_save = self._wall_counted_to = time.monotonic()
        self._play_size = CallSizer("self-play", "fewer --selfplay.lanes or --selfplay.search.sims", report)
        self._train_size = CallSizer("training", "a lower --learner.updates-per-call or --learner.batch", report)
        self._cycle_walls: list[float] = []

    def _is_complete(self) -> bool:
        last = self.progress.first_cycle + self.settings.cycles
        return self.progress.cycle >= last and self.progress.phase != "judge"

    # ---- beginning and going on

    def _start(self) -> tuple[State, Progress]:
        key = jax.random.fold_in(jax.random.key(self.settings.seed), 0)
        begun = start.begin(self.settings, self.folder / "start", key, self.report.note)
        state = _fresh_state(self.settings, begun.params, begun.step)
        progress = Progress(first_cycle=begun.step, cycle=begun.step, total_games=begun.total_games)
        if self.settings.teacher.folder is not None:
            games = start.taught_games(self.settings)
            self.report.note(f"{len(games.slots):,} games of the teacher from {self.settings.teacher.folder}")
            state = state._replace(ring=replay.add(state.ring, games))
            progress.total_games += len(games.slots)
        return state, progress

    def _restore_newest(self, saved: list[int]) -> tuple[State, Progress]:
        """The newest state, or the one before it if a disk fault broke that: the run is the same from either."""
        for number in reversed(saved[1:]):
            try:
                return self._restore(number)
            except experiment.CannotContinue:
                raise
            except ValueError as error:
                self.report.note(f"{error}; going back to the state before it")
        return self._restore(saved[0])

    def _keep_start(self, before: str | None) -> None:
        """A changed `start.checkpoint` (its file may have moved) has no effect on a run that has begun: say so."""
        now = self.settings.start
        if now.checkpoint != before:
            self.report.note(
                f"start.checkpoint = {now.checkpoint!r} is not read: this run began with {before!r} and goes on "
                "from its own state; to begin with another checkpoint give it another --name"
            )
            start = dataclasses.replace(now, checkpoint=before)
            self.settings = dataclasses.replace(self.settings, start=start)

    def _restore(self, number: int) -> tuple[State, Progress]:
        folder = checkpoint.step_folder(self.folder / "state", number)
        saved = checkpoint.read_json(folder / "experiment.json")
        experiment.check_can_continue(saved, self.settings)
        abstract = network.abstract_params(self.settings.network)
        like = jax.eval_shape(lambda params: _fresh_state(self.settings, params, 0), abstract)
        try:
            progress = Progress(**checkpoint.read_json(folder / "progress.json"))
        except TypeError as error:
            raise ValueError(f"{folder / 'progress.json'}: not the progress of a run ({error})") from None
        of_run = (progress.first_cycle, progress.cycle, progress.total_games)
        counts = (*of_run, progress.games_in_cycle, progress.updates_in_cycle)
        seconds = (progress.play_s, progress.train_s, progress.wall_s)
        possible = all(type(n) is int and n >= 0 for n in counts) and all(type(s) in (int, float) for s in seconds)
        if progress.phase not in ("play", "train", "judge") or not possible:
            raise ValueError(f"{folder / 'progress.json'}: not the progress of a run: {progress}")
        left = self.settings.learner.updates_per_cycle - progress.updates_in_cycle
        if progress.phase == "train" and (left < 0 or left % self.settings.learner.chunk):
            raise experiment.CannotContinue(
                f"{self.folder}: this run stopped after {progress.updates_in_cycle} updates of a cycle and cannot go "
                f"on with updates_per_cycle = {self.settings.learner.updates_per_cycle} in calls of "
                f"{self.settings.learner.chunk}; put learner.updates_per_cycle and updates_per_call back for one cycle"
            )
        state = devices.everywhere(checkpoint.restore_tree(folder / "arrays", like))
        self._keep_start(saved["start"].get("checkpoint"))
        if changed := experiment.changes(saved, self.settings):
            self.report.note(f"going on with other settings than before: {', '.join(changed)}")
        return state, progress

    def _save(self) -> None:
        """The whole state, complete or not there."""
        self._count_wall()
        number = max(checkpoint.steps(self.folder / "state"), default=0) + 1
        with checkpoint.new_folder(checkpoint.step_folder(self.folder / "state", number)) as folder:
            checkpoint.save_tree(folder / "arrays", self.state)
            checkpoint.write_json(folder / "progress.json", dataclasses.asdict(self.progress))
            checkpoint.write_text(folder / "experiment.json", experiment.to_json(self.settings) + "\n")
        checkpoint.prune(self.folder / "state", keep=_STATES_KEPT)
        self._last_save = time.monotonic()

    def _count_wall(self) -> None:
        now = time.monotonic()
        self.progress.wall_s += now - self._wall_counted_to
        self._wall_counted_to = now

    def _earlier_starts(self) -> list[Any]:
        """What `environment.json` says of earlier starts of this run."""
        file = self.folder / "environment.json"
        starts = checkpoint.read_json(file) if file.exists() else []
        if not isinstance(starts, list):
            raise ValueError(f"{file}: expected a list of the run's starts; move the file away")
        return starts

    def _note_environment(self, earlier_starts: list[Any]) -> None:
        """Versions and device of this start, in a list with those of earlier ones."""
        packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "mctx", "numpy")
        here = {
            "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "cycle": self.progress.cycle,
            "device": jax.devices()[0].device_kind,
            "platform": jax.default_backend(),
            "machine": platform.platform(),
            "python": platform.python_version(),
            "command": sys.argv,
            "versions": {"zebjax": __version__} | {name: metadata.version(name) for name in packages},
        }
        checkpoint.write_json(self.folder / "environment.json", [*earlier_starts, here])

    # ---- the cycle

    def go(self) -> None:
        """Run to the last cycle; a stop saves the state and returns early, telling so."""
        phases = {"play": self._play, "train": self._train, "judge": self._judge}
        try:
            while not self._is_complete():
                phases[self.progress.phase]()
        except Stopped:
            self._save()
            self.report.note(f"stopped after cycle {self.progress.cycle}; the same command continues")
            return
        done = self.progress.cycle - self.progress.first_cycle
        self.report.note(
            f"complete: {done} cycles, {self.progress.total_games:,} games, in {self.folder}; more with --cycles"
        )

    def _between_calls(self) -> None:
        if self.stop_asked():
            raise Stopped
        if time.monotonic() - self._last_save > self.settings.save.every_s:
            self._save()

    def _play(self) -> None:
        """Self-play until the cycle's games are in the ring, and the ring has what training waits for.

        With a teacher the ring was filled at the start, and nothing is played.
        """
        settings, config = self.settings, self.settings.selfplay
        while settings.teacher.folder is None:
            waiting = int(self.state.actor.n_finished)
            if waiting >= config.games_per_cycle:
                actor, records = selfplay.take(config, self.state.actor)
                self.state = self.state._replace(actor=actor, ring=replay.add(self.state.ring, records))
                self.progress.total_games += config.games_per_cycle
                self.progress.games_in_cycle += config.games_per_cycle
                in_ring = int(replay.n_examples(self.state.ring))
                if in_ring >= settings.replay.min_buffer:
                    break
                self.report.note(f"  filling the buffer: {in_ring:,} of {settings.replay.min_buffer:,} examples")
                continue
            self.report.working("self-play", waiting, config.games_per_cycle)
            began = time.monotonic()
            actor = selfplay.advance(
                config,
                settings.network,
                self.state.learner.params,
                self.state.actor,
                self.progress.cycle,
                self._play_size.n,
            )
            self.state = self.state._replace(actor=jax.block_until_ready(actor))
            self._play_size.timed(time.monotonic() - began)
            self.progress.play_s += time.monotonic() - began
            self._between_calls()
        self.progress.phase = "train"

    def _train(self) -> None:
        """The cycle's updates, in calls of about ten seconds."""
        config = self.settings.learner
        while (left := config.updates_per_cycle - self.progress.updates_in_cycle) > 0:
            self.report.working("training", self.progress.updates_in_cycle, config.updates_per_cycle)
            chunks = 1 if config.updates_per_call else min(self._train_size.n, left // config.chunk)
            began = time.monotonic()
            state = learner.train(config, self.settings.network, self.state.learner, self.state.ring, chunks)
            self.state = self.state._replace(learner=jax.block_until_ready(state))
            if chunks == self._train_size.n:  # a last, shorter call says nothing of how long the next may be
                self._train_size.timed(time.monotonic() - began)
            self.progress.train_s += time.monotonic() - began
            self.progress.updates_in_cycle += chunks * config.chunk
            self._between_calls()
        self.progress.cycle += 1
        self.progress.phase = "judge"

    def _judge(self) -> None:
        """Judge the network when it is due, write the cycle's row and its network, and save."""
        began = time.monotonic()
        progress, settings = self.progress, self.settings
        row: tracking.Row = {"cycle": progress.cycle, "stats/total_games": progress.total_games}
        last = progress.cycle == self.progress.first_cycle + settings.cycles
        is_due = (progress.cycle - self.progress.first_cycle) % settings.evaluation.every_cycles == 0
        if is_due or last:
            row |= self._evaluate()
        self._count_wall()
        if progress.updates_in_cycle:
            row |= self._cycle_row(time.monotonic() - began)
        tracking.append(self.metrics_file, row)
        self.report.cycle(row, self._seconds_left())
        self._save_network()
        if is_due or last:
            tracking.plot_curves(tracking.read(self.metrics_file), self.folder / "curves.png", settings.name)
        progress.games_in_cycle = progress.updates_in_cycle = 0
        progress.play_s = progress.train_s = progress.wall_s = 0.0
        progress.phase = "play"
        self._save()

    def _evaluate(self) -> tracking.Row:
        config = self.settings.evaluation
        zeb = players.zeb(self.settings.network, self.state.learner.params, config.temperature)

        def progress(share: float, _: arena.MatchResult | None) -> None:
            self.report.working("deals against random", round(share * config.deals), config.deals)
            if self.stop_asked():
                raise Stopped

        # The same deals every time, so that the curve shows the network's changes and not the deals'.
        key = jax.random.fold_in(jax.random.key(self.settings.seed), 3)
        result = arena.play_match(zeb, players.random(), config.deals, key, progress=progress)
        return {
            "eval/vs_random_win_rate": result.win_rate,
            "eval/vs_random_win_rate_ci95": 1.96 * result.win_rate_stderr,
            "eval/vs_random_margin": result.margin,
            "eval/vs_random_deals": result.n_deals,
        }

    def _cycle_row(self, judge_s: float) -> tracking.Row:
        """Metrics by the original's names; in one process `ingest` is self-play."""
        progress, games = self.progress, self.progress.games_in_cycle
        state, means = learner.take_metrics(self.state.learner, progress.updates_in_cycle)
        self.state = self.state._replace(learner=state)
        train = {name: float(mean) for name, mean in means.items()}
        if not math.isfinite(train["total_loss"] + train["grad_norm"]):
            raise ValueError(
                f"cycle {progress.cycle}: the losses are no longer finite; try a lower --learner.lr in a new --name"
            )
        play_s = max(progress.play_s, 1e-9)  # 0 where enough games were waiting already
        self._cycle_walls.append(progress.wall_s)
        selfplay_losses = {f"selfplay_{name}": train[name] for name in train if name in _STREAM_LOSSES}
        return {
            **{f"train/{name}": value for name, value in (train | selfplay_losses).items()},
            "train/objective_loss": train["total_loss"],  # they differ only where an eval-aux stream is mixed in
            "perf/ingest_time_s": progress.play_s,
            "perf/train_time_s": progress.train_s,
            "perf/post_train_time_s": judge_s,
            "perf/cycle_wall_time_s": progress.wall_s,
            "perf/games_per_s": games / play_s,
            "perf/updates_per_s": progress.updates_in_cycle / progress.train_s,
            "stats/replay_buffer_selfplay": int(replay.n_examples(self.state.ring)),
            "ingest/selfplay_examples": games * 28,
            "ingest/selfplay_examples_per_s": games * 28 / play_s,
        }

    def _seconds_left(self) -> float | None:
        if not self._cycle_walls:
            return None
        recent = self._cycle_walls[1:][-20:] or self._cycle_walls  # the first also compiled, and filled the buffer
        return sum(recent) / len(recent) * (self.progress.first_cycle + self.settings.cycles - self.progress.cycle)

    def _save_network(self) -> None:
        """The weights alone, for players; older ones go but for every `keep_every_cycles`th."""
        root, cycle = self.folder / "checkpoints", self.progress.cycle
        with checkpoint.new_folder(checkpoint.step_folder(root, cycle), replace=True) as folder:
            network.save(folder, self.settings.network, self.state.learner.params)
            facts = {"run": self.settings.name, "step": cycle, "total_games": self.progress.total_games}
            checkpoint.write_json(folder / torch_weights.TRAINING_FILE, facts)
        kept = self.settings.save.keep_every_cycles
        checkpoint.remove_steps(root, [step for step in checkpoint.steps(root) if step % kept and step != cycle])


_STREAM_LOSSES = ("policy_loss", "value_loss", "belief_loss")


def _fresh_state(settings: Experiment, params: network.Params, step: int) -> State:
    root = jax.random.key(settings.seed)
    return State(
        learner=learner.init(settings.learner, settings.network, params, jax.random.fold_in(root, 1)),
        actor=selfplay.init(settings.selfplay, jax.random.fold_in(root, 2), step),
        ring=replay.init(settings.replay.capacity_examples),
    )
