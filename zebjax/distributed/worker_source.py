"""A run whose games are played by workers: they come through a store, and its weights go there."""

import json
import math
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from zebjax import record
from zebjax.common.console import Reporter, Row
from zebjax.distributed import heartbeat, ingest, spool, weights
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Store, StoreError
from zebjax.distributed.store_thread import Background
from zebjax.game import N_PLIES
from zebjax.torch_compat import weights as torch_weights
from zebjax.training import eval_aux, replay, sources
from zebjax.training.config import Experiment, to_json
from zebjax.training.session import Stopped

if TYPE_CHECKING:
    from zebjax.training.run import Run

_TELL_S = 15.0
_ALARM_AGAIN_S = 60.0
_ALARM_AFTER_S = 40.0
"""Workers that start together with the learner get so long until they are missed."""
_MOST_WAIT_S = 600.0
_FIRST_LOOK_S = 60.0
"""A learner that starts waits so long for what is in the store already; after that it goes on with
what it has."""


class Workers:
    """The learner of several processes: games come from the store, weights go there, by a thread of
    its own.
    """

    def __init__(
        self,
        settings: Experiment,
        report: Reporter,
        take_over: bool = False,
        stop_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings, self._report = settings, report
        self.store: Store = open_store(settings.namespace)
        self._watch = heartbeat.Watch(self.store)
        self._where = f"{socket.gethostname()}:{settings.folder.absolute()}"
        self._take_over = take_over
        self._wait_for_other_learner(stop_asked)
        self._ingest: ingest.Ingest | None = None
        self._background = Background(self._work, settings.store.look_every_s)
        self._has_begun = False
        self._lock = threading.Lock()
        """Held where what is pending changes."""
        self._to_publish: tuple[bytes, dict[str, Any], dict[str, bytes]] | None = None
        self._to_prune: dict[str, str] | None = None
        self._saved_cursor: dict[str, str] = {}
        self._deleted: list[str] = []
        """Torch files that left the store, and are to leave the cursor."""
        self._beats = 0
        self._last_look = self._last_write = self._last_beat = self._last_prune = -math.inf
        self._are_weights_pruned = True
        self._beat_every_s = max(heartbeat.EVERY_S, settings.store.upload_interval_s)
        self._began = self._last_kept = time.monotonic()
        self._alarms: list[str] = []
        self._told: list[str] = []
        self._told_at = -math.inf
        self._status: dict[str, Any] = {}
        self._published = -1

    def _wait_for_other_learner(self, stop_asked: Callable[[], bool]) -> None:
        """Refuse to start beside a learner that lives; one that is gone leaves its lease to be
        taken over.

        Raises:
            ValueError: if one lives.
            Stopped: if a stop is asked for meanwhile.
        """
        self._watch.look()
        other = self._watch.learner
        if other is None or self._take_over or other.sign.get("state") == heartbeat.STOPPED:
            return
        if weights.newest_lease(self.store)[1].get("where") == self._where:
            return  # it was this run's folder, and its lock says that nobody is there
        self._report.note("a learner was at work here a moment ago; looking whether it still is")
        until = time.monotonic() + min(_MOST_WAIT_S, 3 * max(heartbeat.EVERY_S, other.every_s()))
        while time.monotonic() < until:
            if stop_asked():
                raise Stopped
            time.sleep(min(0.5, self._settings.store.look_every_s))
            self._watch.look()
            now = self._watch.learner
            if now is not None and now.changed_at is not None:
                raise ValueError(
                    f"{self.store.where}: another learner is at work here "
                    f"({now.sign.get('host')}); stop it, choose "
                    "another --name, or --take-over"
                )

    # ---- the run's thread

    def begin(self, run: "Run") -> None:
        """Become the store's learner and start fetching, now that the run knows where it goes on
        from.

        Raises:
            ValueError: if the store is ahead of a run that begins.
        """
        try:
            found = weights.newest(self.store)
        except (Missing, weights.BadWeights):
            found = None
        if found is not None:
            step = found[0].step
            where = weights.newest_lease(self.store)[1].get("where")
            # Its own newest publication may be a cycle ahead of its newest state.
            if (
                where != self._where
                and step > run.progress.cycle + 1
                and not (run.is_new or self._take_over)
            ):
                raise ValueError(
                    f"{self.store.where}: another learner ({where}) has gone on to step {step}, "
                    f"while {run.folder} is "
                    f"at step {run.progress.cycle}; go on with that one, choose another --name, "
                    "or --take-over to go "
                    "back to this one's"
                )
            if run.is_new and step > run.progress.cycle and not self._take_over:
                raise ValueError(
                    f"{self.store.where}: the weights there are of step {step}, but {run.folder} "
                    "holds no state to go "
                    f"on from and would begin again at step {run.progress.cycle}; bring that "
                    "folder back, choose "
                    "another --name, or --take-over to begin again"
                )
            run.progress.wandb_run_id = run.progress.wandb_run_id or found[0].wandb_run_id
        self._lease = weights.take_lease(self.store, {"where": self._where})
        self._saved_cursor = dict(run.progress.cursor)
        self._ingest = ingest.Ingest(self.store, run.folder, run.progress.cursor)
        self._update_status(run)
        self._has_begun = True
        self._background.start()

    def fill(self, run: "Run") -> None:
        """Take what has arrived, and wait while there is too little or nothing new to train on."""
        told = began = time.monotonic()
        while True:
            self._take(run)
            reason = self._waits_for(run)
            if reason is None:
                break
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                run.report.note(f"  waiting: {reason}")
            run.between_calls()
            time.sleep(min(0.2, self._settings.store.poll_s))
        run.progress.play_s += time.monotonic() - began

    def _take(self, run: "Run") -> None:
        assert self._ingest is not None
        for arrived in self._ingest.take():
            if arrived.records is None:
                run.progress.quarantined += 1
                run.report.note(f"  quarantined: {arrived.reason}")
                continue
            run.progress.cursor[arrived.cursor_key] = arrived.name
            if arrived.metadata is not None and arrived.metadata.source == record.SELFPLAY:
                self._take_selfplay(run, arrived)
            else:
                self._take_eval_aux(run, arrived)

    def _take_selfplay(self, run: "Run", arrived: ingest.Arrived) -> None:
        assert arrived.records is not None
        n = len(arrived.records.slots)
        run.state = run.state._replace(ring=replay.add_some(run.state.ring, arrived.records))
        run.progress.total_games += n
        run.progress.games_in_cycle += n
        sources.count(
            run.progress,
            {"selfplay_examples": n * N_PLIES, "selfplay_files": 1, "bytes": arrived.n_bytes},
        )
        run.progress.arrived_examples += n * N_PLIES
        self._last_kept = time.monotonic()

    def _take_eval_aux(self, run: "Run", arrived: ingest.Arrived) -> None:
        assert arrived.records is not None and arrived.metadata is not None
        config, progress = run.settings.eval_aux, run.progress
        if not config.enabled:
            return
        lag = max(0, progress.cycle - arrived.metadata.model_step)
        sifted = eval_aux.sift(config, arrived.records, lag, run.settings.seed, arrived.name)
        kept = sifted.kept * N_PLIES
        sources.count_eval_aux(progress, sifted, arrived.metadata.search)
        sources.count(progress, {"bytes": arrived.n_bytes})
        if kept:
            run.state = run.state._replace(aux=replay.add_some(run.state.aux, sifted.records))
            progress.total_games += sifted.seen
            progress.arrived_examples += kept
            self._last_kept = time.monotonic()

    def _waits_for(self, run: "Run") -> str | None:
        config, progress = run.settings.replay, run.progress
        assert self._ingest is not None
        if not self._ingest.has_looked.is_set() and time.monotonic() - self._began < _FIRST_LOOK_S:
            return "looking what is in the store"
        in_ring = int(replay.n_examples(run.state.ring))
        if in_ring < max(config.min_buffer, N_PLIES):
            return f"{in_ring:,} of {max(config.min_buffer, N_PLIES):,} examples of self-play are in the buffer"
        rows = (
            progress.trained_rows
            + run.settings.learner.updates_per_cycle * run.settings.learner.batch
        )
        if config.max_reuse and rows > config.max_reuse * progress.arrived_examples:
            return f"{progress.arrived_examples:,} examples have come, too few for {rows:,} training rows (max_reuse)"
        age = time.monotonic() - self._last_kept
        if config.max_example_age_s and age > config.max_example_age_s:
            return f"no new game for {age:.0f} s (max_example_age_s)"
        return None

    def look(self, run: "Run") -> None:
        """Tell what the thread has to say, and who is missing."""
        self._update_status(run)
        self._background.check(run.report.note)
        alarms = self._alarms if time.monotonic() - self._began > _ALARM_AFTER_S else []
        if alarms != self._told or (alarms and time.monotonic() - self._told_at > _ALARM_AGAIN_S):
            self._told, self._told_at = alarms, time.monotonic()
            run.report.note(
                f"  ALARM: {', '.join(alarms)}" if alarms else "  all workers are there"
            )

    def trained(self, run: "Run", last: bool) -> None:
        """Have the weights published when that is due.

        Raises:
            ValueError: if they are not finite.
        """
        done = run.progress.cycle - run.progress.first_cycle
        if self._published == run.progress.cycle:
            return
        if self._published >= 0 and not last and done % self._settings.store.publish_every_cycles:
            return
        facts = {
            "step": run.progress.cycle,
            "total_games": run.progress.total_games,
            "wandb_run_id": run.progress.wandb_run_id,
            "experiment": json.loads(to_json(run.settings)),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        params = jax.device_get(run.state.learner.params)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise ValueError(
                f"cycle {run.progress.cycle}: the weights are no longer finite and were not "
                "published; go back with "
                "`python -m zebjax.rollback`, or try a lower --learner.lr"
            )
        torch: dict[str, bytes] = {}
        if self._settings.store.publish_torch:
            contents = torch_weights.hub_contents(
                Path(f"{run.settings.name}.pt"), run.settings.network, params, facts
            )
            torch = {str(path): data for path, data in contents.items()}
        with self._lock:
            self._to_publish = weights.to_bytes(run.settings.network, params), facts, torch
        self._published = run.progress.cycle
        self._background.hurry()

    def saved(self, run: "Run") -> None:
        """Files that the state before this one holds may leave the store: it is what is left if
        this one breaks.
        """
        with self._lock:
            self._to_prune = self._saved_cursor
            for name in self._deleted:
                run.progress.cursor.pop(name, None)
            self._deleted = []
        self._saved_cursor = dict(run.progress.cursor)

    def row(self, run: "Run") -> Row:
        """What came in this cycle, by the original's names."""
        progress = run.progress
        wall = max(progress.wall_s, 1e-9)
        examples = progress.ingest.get("selfplay_examples", 0)
        return {
            "perf/games_per_s": progress.games_in_cycle / wall,
            "ingest/selfplay_examples": examples,
            "ingest/selfplay_files": progress.ingest.get("selfplay_files", 0),
            "ingest/selfplay_examples_per_s": examples / wall,
            "ingest/bytes": progress.ingest.get("bytes", 0),
            "ingest/quarantined_files_total": progress.quarantined,
            "ingest/busy_s_total": 0.0 if self._ingest is None else self._ingest.busy_s,
            **sources.eval_aux_row(progress),
        }

    def close(self, run: "Run") -> None:
        """Publish and tell what is left to tell, as far as the store takes it."""
        if not self._has_begun:
            return
        self._update_status(run)
        trouble: object = "it does not answer"
        if self._background.stop():
            try:
                weights.check_lease(self.store, self._lease)
                if self._to_publish is not None:
                    self._publish(heartbeat.STOPPED)
                else:
                    self._beat(heartbeat.STOPPED)
                return
            except (StoreError, weights.Fenced) as error:
                trouble = error
        self._report.note(f"not told to the store: {trouble}")

    # ---- the thread that talks to the store

    def _update_status(self, run: "Run") -> None:
        progress = run.progress
        self._status = {
            "epoch": self._lease.epoch,
            "experiment": run.settings.name,
            "eval_aux": run.settings.eval_aux.enabled,
            "step": progress.cycle,
            "last_step": progress.first_cycle + run.settings.cycles,
            "total_games": progress.total_games,
            "quarantined": progress.quarantined,
            "phase": progress.phase,
        }

    def _work(self) -> bool:
        """Do all that is due; what one part of it meets does not keep the others from their
        work.
        """
        assert self._ingest is not None
        failed: StoreError | None = None
        for part in (self._look_around, self._lead, self._ingest.poll):
            try:
                part()
            except StoreError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return False

    def _look_around(self) -> None:
        if time.monotonic() - self._last_look >= max(
            heartbeat.EVERY_S, self._settings.store.look_every_s
        ):
            self._last_look = time.monotonic()
            self._watch.look()
            self._alarms = self._watch.alarms(self._settings.eval_aux.enabled)

    def _lead(self) -> None:
        """What only the learner that holds the lease may do: publish, give a sign, delete what is
        old.

        Of all this one commit every `upload_interval_s` to each repository of a Hub: a publication
        carries a sign.
        """
        weights.check_lease(self.store, self._lease)
        try:
            self._tell()
        finally:  # examples that cannot be listed keep no weights from the workers
            self._prune()

    def _tell(self) -> None:
        """Publish and give a sign, as far as they are due."""
        interval_s = self._settings.store.upload_interval_s
        if time.monotonic() - self._last_write < interval_s or (
            self._prune_weights() and interval_s
        ):
            return
        try:
            if self._to_publish is not None:
                self._publish(heartbeat.RUNNING)
        finally:
            if time.monotonic() - self._last_beat >= self._beat_every_s:
                self._beat(heartbeat.RUNNING)

    def _publish(self, state: str) -> None:
        pending = self._to_publish
        assert pending is not None
        self._last_write = (
            time.monotonic()
        )  # also if it fails: who wrote too often is not to write at once again
        data, facts, torch = pending
        manifest = weights.publish(
            self.store, self._lease, data, facts, {**torch, **self._sign(state)}
        )
        self._last_beat = time.monotonic()
        self._are_weights_pruned = False
        with self._lock:
            if self._to_publish is pending:  # and no newer one
                self._to_publish = None
        self._background.say(
            f"  published step {manifest.step} as generation {manifest.generation}, "
            f"{manifest.size:,} bytes"
        )

    def _beat(self, state: str) -> None:
        self._last_write = time.monotonic()
        self.store.put({}, self._sign(state))
        self._last_beat = time.monotonic()

    def _sign(self, state: str) -> dict[str, bytes]:
        self._beats += 1
        facts = self._status | {"state": state, "alarms": self._alarms}
        count = f"{self._lease.epoch}-{self._beats}"
        return {
            heartbeat.LEARNER: heartbeat.sign(
                "learner", self._settings.name, count, self._beat_every_s, facts
            )
        }

    def _prune_weights(self) -> bool:
        """Delete parameters of old generations; whether there were any."""
        if self._are_weights_pruned:
            return False
        is_any = weights.prune(self.store, self._settings.store.keep_weights)
        self._are_weights_pruned = True
        if is_any:
            self._last_write = time.monotonic()
        return is_any

    def _prune(self) -> None:
        """Delete example files that are in a saved state, but for each worker's newest ones."""
        cursor, interval_s = self._to_prune, self._settings.store.upload_interval_s
        if cursor is None or time.monotonic() - self._last_prune < interval_s:
            return
        self._last_prune = time.monotonic()
        by_worker: dict[str, list[str]] = {}
        entries = self.store.entries("examples")
        for entry in entries:
            if parsed := spool.parse_name(entry.name):
                by_worker.setdefault(parsed.worker, []).append(entry.name)
        stay = math.ceil(self._settings.store.keep_examples / max(len(by_worker), 1))
        doomed = [
            name
            for worker, names in by_worker.items()
            for name in names[:-stay]
            if name <= cursor.get(worker, "")
        ]
        torch_doomed = ingest.old_torch_files((entry.name for entry in entries), cursor, stay)
        if doomed or torch_doomed:
            self.store.delete([*doomed, *torch_doomed])
        with self._lock:
            self._deleted += torch_doomed
            if self._to_prune is cursor:
                self._to_prune = None
