"""One run: get games, train, judge, save, and go on where it was.

A cycle has three phases: `play` (finished games into the rings, see `feed`), `train` (updates on
them), `judge` (win rate against random when it is due, then the metrics row). The whole state is
saved when a cycle ends, and between compiled calls when a while has passed or a stop was asked for;
resuming from any of these gives the same run.
"""

import dataclasses
import datetime
import math
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import __version__, network, players
from zebjax.common import checkpoint, devices
from zebjax.common.console import Reporter
from zebjax.evaluation import belief, matches
from zebjax.training import eval_aux, learner, metrics, replay, resume, selfplay, warm_start
from zebjax.training.call_sizer import CallSizer
from zebjax.training.config import Experiment, to_json
from zebjax.training.session import Progress, Stopped
from zebjax.training.sources import Feed, OwnGames

_STATES_KEPT = 2


class State(NamedTuple):
    """All arrays that a run goes on from."""

    learner: learner.LearnerState
    actor: selfplay.Actor
    ring: replay.Ring
    aux: replay.Ring
    """Of the eval-aux stream."""


class Run:
    """A run in its folder. `go` trains until the experiment's last cycle."""

    def __init__(
        self,
        settings: Experiment,
        report: Reporter,
        stop_asked: Callable[[], bool],
        feed: Feed | None = None,
    ) -> None:
        """`feed` is where the games come from; None plays them here."""
        self.settings = settings
        self.feed = feed or OwnGames(settings, report)
        self.folder = settings.folder
        self.report = report
        self.stop_asked = stop_asked
        devices.check_divides("selfplay.lanes", settings.selfplay.lanes)
        devices.check_divides("learner.batch", settings.learner.batch)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.metrics_file = self.folder / "metrics.jsonl"
        earlier_starts = self._earlier_starts()
        saved = checkpoint.steps(self.folder / "state")
        self.is_new = not saved
        """Whether it begins, and does not go on from a state."""
        if saved:
            self.state, self.progress = self._restore_newest(saved)
            report.note(f"continuing {self.folder} after cycle {self.progress.cycle}")
        elif metrics.read(self.metrics_file):
            raise ValueError(
                f"{self.folder}: there are results of a run but no state to continue from; move "
                "the folder away, "
                "or choose another --name"
            )
        else:
            self.state, self.progress = self._start()
        metrics.truncate(self.metrics_file, self.progress.cycle - (self.progress.phase == "judge"))
        if not self._is_complete():  # else what it says now made nothing of what is there
            checkpoint.write_text(self.folder / "experiment.json", to_json(self.settings) + "\n")
        self._note_environment(earlier_starts)
        self._wandb: Any = None
        self._last_save = self._wall_counted_to = time.monotonic()
        self._train_size = CallSizer(
            "training", "a lower --learner.updates-per-call or --learner.batch", report
        )
        self._cycle_walls: list[float] = []

    def _is_complete(self) -> bool:
        last = self.progress.first_cycle + self.settings.cycles
        return self.progress.cycle >= last and self.progress.phase != "judge"

    # ---- beginning and going on

    def _start(self) -> tuple[State, Progress]:
        key = jax.random.fold_in(jax.random.key(self.settings.seed), 0)
        begun = warm_start.begin(self.settings, self.folder / "start", key, self.report.note)
        state = _fresh_state(self.settings, begun.params, begun.step)
        progress = Progress(first_cycle=begun.step, cycle=begun.step, total_games=begun.total_games)
        if self.settings.replay.seed_folder is not None:
            seeds = warm_start.seeds(self.settings)
            n, n_aux = len(seeds.selfplay.slots), len(seeds.eval_aux.slots)
            self.report.note(
                f"{n:,} games and {n_aux:,} against E[Q] from {self.settings.replay.seed_folder}"
            )
            state = state._replace(
                ring=replay.add_some(state.ring, seeds.selfplay),
                aux=replay.add_some(state.aux, seeds.eval_aux),
            )
            in_rings = (
                replay.n_examples(ring) for ring in (state.ring, state.aux)
            )  # maybe not all of them fit
            progress.arrived_examples = sum(map(int, in_rings))
        if self.settings.teacher.folder is not None:
            games = warm_start.taught_games(self.settings)
            self.report.note(
                f"{len(games.slots):,} games of the teacher from {self.settings.teacher.folder}"
            )
            state = state._replace(ring=replay.add(state.ring, games))
            progress.total_games += len(games.slots)
        return state, progress

    def _restore_newest(self, saved: list[int]) -> tuple[State, Progress]:
        """The newest state, or the one before it if a disk fault broke that: the run is the same
        from either.
        """
        for number in reversed(saved[1:]):
            try:
                return self._restore(number)
            except resume.CannotContinue:
                raise
            except ValueError as error:
                self.report.note(f"{error}; going back to the state before it")
        return self._restore(saved[0])

    def _keep_start(self, before: str | None) -> None:
        """A changed `start.checkpoint` (its file may have moved) has no effect on a run that has
        begun: say so.
        """
        now = self.settings.start
        if now.checkpoint != before:
            self.report.note(
                f"start.checkpoint = {now.checkpoint!r} is not read: this run began with "
                f"{before!r} and goes on "
                "from its own state; to begin with another checkpoint give it another --name"
            )
            warm_start = dataclasses.replace(now, checkpoint=before)
            self.settings = dataclasses.replace(self.settings, start=warm_start)

    def _restore(self, number: int) -> tuple[State, Progress]:
        folder = checkpoint.step_folder(self.folder / "state", number)
        saved = checkpoint.read_json(folder / "experiment.json")
        resume.check_can_continue(saved, self.settings)
        abstract = network.abstract_params(self.settings.network)
        like = jax.eval_shape(lambda params: _fresh_state(self.settings, params, 0), abstract)
        progress = Progress.read(folder / "progress.json")
        left = self.settings.learner.updates_per_cycle - progress.updates_in_cycle
        if progress.phase == "train" and (left < 0 or left % self.settings.learner.chunk):
            raise resume.CannotContinue(
                f"{self.folder}: this run stopped after {progress.updates_in_cycle} updates of a "
                "cycle and cannot go "
                f"on with updates_per_cycle = {self.settings.learner.updates_per_cycle} in calls "
                "of "
                f"{self.settings.learner.chunk}; put learner.updates_per_cycle and "
                "updates_per_call back for one cycle"
            )
        state = devices.everywhere(checkpoint.restore_tree(folder / "arrays", like))
        self._keep_start(saved["start"].get("checkpoint"))
        if changed := resume.changes(saved, self.settings):
            self.report.note(f"going on with other settings than before: {', '.join(changed)}")
        return state, progress

    def save(self) -> None:
        """The whole state, complete or not there."""
        self._count_wall()
        number = max(checkpoint.steps(self.folder / "state"), default=0) + 1
        with checkpoint.new_folder(checkpoint.step_folder(self.folder / "state", number)) as folder:
            checkpoint.save_tree(folder / "arrays", self.state)
            checkpoint.write_json(folder / "progress.json", dataclasses.asdict(self.progress))
            checkpoint.write_text(folder / "experiment.json", to_json(self.settings) + "\n")
        checkpoint.prune(self.folder / "state", keep=_STATES_KEPT)
        self.feed.saved(self)
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
            "versions": {"zebjax": __version__}
            | {name: metadata.version(name) for name in packages},
        }
        checkpoint.write_json(self.folder / "environment.json", [*earlier_starts, here])

    # ---- the cycle

    def go(self) -> None:
        """Run to the last cycle; a stop saves the state and returns early, telling so."""
        phases = {"play": self._play, "train": self._train, "judge": self._judge}
        try:
            if not self._is_complete():
                self.feed.begin(self)
                self._note_mix()
                self._open_wandb()
                self.feed.trained(self, last=False)
            while not self._is_complete():
                phases[self.progress.phase]()
        except Stopped:
            self.save()
            self.report.note(
                f"stopped after cycle {self.progress.cycle}; the same command continues"
            )
            return
        finally:
            self.feed.close(self)
            if self._wandb is not None:
                self._wandb.finish()
        done = self.progress.cycle - self.progress.first_cycle
        self.report.note(
            f"complete: {done} cycles, {self.progress.total_games:,} games, in {self.folder}; "
            "more with --cycles"
        )

    def _note_mix(self) -> None:
        config, n = self.settings.eval_aux, self.settings.learner.updates_per_cycle
        if config.enabled and not eval_aux.mix(n, config.batch_fraction, True).any():
            self.report.note(
                f"eval_aux.batch_fraction: {config.batch_fraction} of {n} updates a cycle are "
                "none of them: its games "
                "are not learned from; raise it, or learner.updates_per_cycle"
            )

    def _open_wandb(self) -> None:
        wanted = self.settings.tracking
        if wanted.wandb:
            run_id = self.progress.wandb_run_id
            self._wandb = metrics.open_wandb(
                self.folder, wanted.project, self.settings.name, run_id, self.report.note
            )
            self.progress.wandb_run_id = self._wandb.id

    def between_calls(self) -> None:
        """Stop if that was asked for, by raising Stopped; save if it is time."""
        self.feed.look(self)
        if self.stop_asked():
            raise Stopped
        if time.monotonic() - self._last_save > self.settings.save.every_s:
            self.save()

    def _play(self) -> None:
        """Games into the rings, until the run may train."""
        self.feed.fill(self)
        self.progress.phase = "train"

    def _train(self) -> None:
        """The cycle's updates, in calls of about ten seconds."""
        config = self.settings.learner
        turns = self._turns()
        while (left := config.updates_per_cycle - self.progress.updates_in_cycle) > 0:
            self.report.working(
                "training", self.progress.updates_in_cycle, config.updates_per_cycle
            )
            chunks = 1 if config.updates_per_call else min(self._train_size.n, left // config.chunk)
            began = time.monotonic()
            done = self.progress.updates_in_cycle
            stream = learner.EvalAux(
                self.state.aux, jnp.asarray(turns), self.settings.eval_aux.policy_weight, done
            )
            aux = stream if self.settings.eval_aux.enabled else None
            state = learner.train(
                config, self.settings.network, self.state.learner, self.state.ring, chunks, aux
            )
            self.state = self.state._replace(learner=jax.block_until_ready(state))
            if (
                chunks == self._train_size.n
            ):  # a last, shorter call says nothing of how long the next may be
                self._train_size.timed(time.monotonic() - began)
            self.progress.train_s += time.monotonic() - began
            self.progress.updates_in_cycle += chunks * config.chunk
            self.between_calls()
        self.progress.cycle += 1
        self.progress.trained_rows += config.updates_per_cycle * config.batch
        self.progress.phase = "judge"

    def _turns(self) -> np.ndarray:
        """Which of the cycle's updates take an eval-aux batch; the rings do not change while they
        are trained on.
        """
        config = self.settings.eval_aux
        has_aux = config.enabled and int(replay.n_examples(self.state.aux)) > 0
        return eval_aux.mix(self.settings.learner.updates_per_cycle, config.batch_fraction, has_aux)

    def _judge(self) -> None:
        """Judge the network when it is due, write the cycle's row and its network, and save."""
        began = time.monotonic()
        progress, settings = self.progress, self.settings
        done = progress.cycle - progress.first_cycle
        is_last = done == settings.cycles
        is_evaluated = is_last or done % settings.evaluation.every_cycles == 0
        self.feed.trained(self, is_last)
        row: metrics.Row = {"cycle": progress.cycle, "stats/total_games": progress.total_games}
        if is_evaluated:
            row |= self._evaluate()
        self._count_wall()
        if progress.updates_in_cycle:
            row |= self._cycle_row(time.monotonic() - began)
        metrics.append(self.metrics_file, row)
        if self._wandb is not None:
            self._wandb.log(row)
        self.report.cycle(row, self._seconds_left())
        self._save_network()
        if is_evaluated:
            metrics.plot_curves(
                metrics.read(self.metrics_file), self.folder / "curves.png", settings.name
            )
        progress.games_in_cycle = progress.updates_in_cycle = 0
        progress.play_s = progress.train_s = progress.wall_s = 0.0
        progress.ingest = {}
        progress.phase = "play"
        self.save()

    def _evaluate(self) -> metrics.Row:
        config = self.settings.evaluation
        zeb = players.zeb(self.settings.network, self.state.learner.params, config.temperature)

        def progress(share: float, _: matches.MatchResult | None) -> None:
            self.report.working("deals against random", round(share * config.deals), config.deals)
            self.feed.look(self)
            if self.stop_asked():
                raise Stopped

        # The same deals every time, so that the curve shows the network's changes and not the
        # deals'.
        key = jax.random.fold_in(jax.random.key(self.settings.seed), 3)
        result = matches.play_match(zeb, players.random(), config.deals, key, progress=progress)
        row: metrics.Row = {
            "eval/vs_random_win_rate": result.win_rate,
            "eval/vs_random_win_rate_ci95": 1.96 * result.win_rate_stderr,
            "eval/vs_random_margin": result.margin,
            "eval/vs_random_deals": result.n_deals,
        }
        if self.settings.network.belief_head:
            scores = belief.metrics(zeb, self.settings.network, self.state.learner.params, key)
            row |= {f"eval/{name}": score for name, score in scores.items()}
        return row

    def _cycle_row(self, judge_s: float) -> metrics.Row:
        """Metrics by the original's names; in one process `ingest` is self-play."""
        progress, n = self.progress, self.progress.updates_in_cycle
        n_aux = int(self._turns().sum())
        state, means = learner.take_metrics(self.state.learner, n, n_aux)
        self.state = self.state._replace(learner=state)
        train = {name: float(mean) for name, mean in means.items()}
        if not math.isfinite(train["total_loss"] + train["grad_norm"]):
            raise ValueError(
                f"cycle {progress.cycle}: the losses are no longer finite; try a lower "
                "--learner.lr in a new --name"
            )
        self._cycle_walls.append(progress.wall_s)
        return {
            # Losses of a stream that was not trained on are not finite.
            **{f"train/{name}": value for name, value in train.items() if math.isfinite(value)},
            "perf/ingest_time_s": progress.play_s,
            "perf/train_time_s": progress.train_s,
            "perf/post_train_time_s": judge_s,
            "perf/cycle_wall_time_s": progress.wall_s,
            "perf/updates_per_s": n / progress.train_s,
            "stats/replay_buffer_selfplay": int(replay.n_examples(self.state.ring)),
            **(self._eval_aux_row(n, n_aux) if self.settings.eval_aux.enabled else {}),
            **self.feed.row(self),
        }

    def _eval_aux_row(self, n: int, n_aux: int) -> metrics.Row:
        return {
            "stats/replay_buffer_eval_aux": int(replay.n_examples(self.state.aux)),
            "stats/selfplay_mix_ratio": (n - n_aux) / n,
            "stats/eval_aux_mix_ratio": n_aux / n,
            "stats/eval_aux_updates": n_aux,
            "stats/selfplay_updates": n - n_aux,
            "stats/eval_aux_policy_w": self.settings.eval_aux.policy_weight,
            **{
                f"stats/eval_aux_{name}_running": mean
                for name, mean in self.progress.eval_stats.items()
            },
        }

    def _seconds_left(self) -> float | None:
        if not self._cycle_walls:
            return None
        recent = (
            self._cycle_walls[1:][-20:] or self._cycle_walls
        )  # the first also compiled, and filled the buffer
        return (
            sum(recent)
            / len(recent)
            * (self.progress.first_cycle + self.settings.cycles - self.progress.cycle)
        )

    def _save_network(self) -> None:
        """The weights alone, for players; older ones go but for every `keep_every_cycles`th."""
        root, cycle = self.folder / "checkpoints", self.progress.cycle
        with checkpoint.new_folder(checkpoint.step_folder(root, cycle), replace=True) as folder:
            facts = {
                "run": self.settings.name,
                "step": cycle,
                "total_games": self.progress.total_games,
                "wandb_run_id": self.progress.wandb_run_id,
            }
            network.save(folder, self.settings.network, self.state.learner.params, facts)
        kept = self.settings.save.keep_every_cycles
        stay = (self.progress.first_cycle, cycle)
        checkpoint.remove_steps(
            root, [step for step in checkpoint.steps(root) if step % kept and step not in stay]
        )


def _fresh_state(settings: Experiment, params: network.Params, step: int) -> State:
    root = jax.random.key(settings.seed)
    return State(
        learner=learner.init(
            settings.learner, settings.network, params, jax.random.fold_in(root, 1)
        ),
        actor=selfplay.init(settings.selfplay, jax.random.fold_in(root, 2), step),
        ring=replay.init(settings.replay.capacity_examples),
        aux=replay.init(settings.eval_aux.capacity_examples),
    )
