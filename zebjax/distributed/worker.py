"""A worker: it plays with the newest published weights and sends its games, until it is stopped.

All communication with the store is in a thread of its own (`Link`), which ships the spool, fetches
weights, and writes heartbeats.
"""

import dataclasses
import functools
import math
import os
import time
import zlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from zebjax import game, network, record, solver
from zebjax.common import devices, jax_settings
from zebjax.common.console import Reporter
from zebjax.distributed import claims, heartbeat, spool, weights
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Store
from zebjax.distributed.store_thread import Background
from zebjax.record import GameRecord, Metadata
from zebjax.training import eval_aux, memory, selfplay
from zebjax.training.call_sizer import CallSizer
from zebjax.training.config import Experiment
from zebjax.training.session import Stopped

Role = Literal["selfplay", "evalaux"]
_FILES_AT_ONCE, _FILES_A_COMMIT = 16, 256
_BAD_WEIGHTS_S = 60.0
"""Seconds before weights that were refused are fetched again."""


@dataclasses.dataclass(frozen=True)
class Job:
    """The task of a worker."""

    role: Role
    worker_id: str
    max_games: int | None = None
    """Stop after so many games; None: no limit."""


class Current(NamedTuple):
    """The weights in use."""

    manifest: weights.Manifest
    params: network.Params


class Link:
    """A worker's connection to the store: weights come in, games and heartbeats go out."""

    def __init__(
        self, settings: Experiment, job: Job, store: Store, note: Callable[[str], None]
    ) -> None:
        self._settings, self._job, self._store, self._note = settings, job, store, note
        self._folder = settings.folder / "workers" / job.worker_id
        self.spool = spool.Spool(self._folder / "spool", job.worker_id, settings.store.spool_bytes)
        self.games = 0
        self._beats, self._last_write = 0, -math.inf
        self._began = self._last_batch = time.monotonic()
        self._tag: str | None = None
        self._complaint, self._pull_again_at = "", -math.inf
        self._dropped_reported = 0
        self._background = Background(
            self._work, min(settings.store.look_every_s, self._beat_every_s())
        )
        self._newest: Current | None = None
        self._claim: claims.Claim | None = None
        self._taken_over: claims.TakenOver | None = None

    def begin(self, stop_asked: Callable[[], bool] = lambda: False) -> Current:
        """Find the weights, claim the worker id, and try to write games.

        Raises:
            ValueError: in one sentence, if one of these is not possible.
            Stopped: if a stop is asked for while another process of this id is watched.
        """
        worker, owner = self._job.worker_id, claims.owner_of(self._folder)
        claims.wait_for_others(self._store, worker, owner, self._note, stop_asked)
        try:
            self._pull()
        except Missing:
            raise ValueError(
                f"{self._store.where}: no weights are published there yet; start the learner "
                "first: "
                "python -m zebjax.train EXPERIMENT.py --role learner"
            ) from None
        assert self._newest is not None
        self._claim = claims.take(self._store, worker, owner)
        self.first = self.spool.begin(self._store)
        self._write(heartbeat.RUNNING)
        self._background.start()
        return self._newest

    def current(self) -> Current:
        """The newest weights; raises the error that ended the store's thread, if one did."""
        self._background.check(self._note)
        assert self._newest is not None
        return self._newest

    def send(self, records: GameRecord, model_step: int, facts: dict[str, Any]) -> None:
        """Add games to the spool, which the store's thread ships."""
        if not len(records.slots):
            return
        source = record.SELFPLAY if self._job.role == "selfplay" else record.EVAL_AUX
        is_in = self.spool.add(records, Metadata(source, self._job.worker_id, model_step, facts))
        if self.spool.dropped_games > self._dropped_reported:
            self._dropped_reported = self.spool.dropped_games
            why = (
                self.spool.trouble
                or f"the store is away and {self.spool.max_bytes:,} bytes wait for it"
            )
            self._note(f"{self._dropped_reported:,} games dropped so far: {why}")
        self.games += len(records.slots)
        if is_in:
            self._last_batch = time.monotonic()
        self._background.hurry()

    def end(self) -> None:
        """Ship the finished games, as far as the store takes them; the next start sends the
        others.
        """
        trouble: object = "the store does not answer"
        if self._taken_over is not None:  # the other process sends under this name now
            self._background.stop()
            trouble = "another process has this worker id"
        elif self._background.stop():
            try:
                while len(self.spool.files()) > self._most():
                    self._write(heartbeat.RUNNING)
                self._write(heartbeat.STOPPED)
                return
            except (ValueError, OSError) as error:
                trouble = error
        self._note(
            f"{len(self.spool.files())} files wait in {self.spool.folder} for the next start: "
            f"{trouble}"
        )

    def _work(self) -> bool:
        waiting, interval_s = bool(self.spool.files()), self._settings.store.upload_interval_s
        try:
            if time.monotonic() - self._last_write >= (
                interval_s if waiting else self._beat_every_s()
            ):
                self._write(heartbeat.RUNNING)
        finally:  # a worker that cannot write for a while still plays with the newest weights
            self._pull()
        return bool(self.spool.files()) and not interval_s

    def _write(self, state: str) -> None:
        """Send the oldest files with a heartbeat: on a Hub that is one commit, and
        `upload_interval_s` limits those.
        """
        # Also if it fails: a process that wrote too often must not write again at once.
        self._last_write = time.monotonic()
        if self._claim is not None:
            try:
                claims.check(self._store, self._claim)
            except claims.TakenOver as error:
                self._taken_over = error
                raise
        most = self._most()
        self.spool.ship(self._store, self._heartbeat(state, most), most)

    def _most(self) -> int:
        return _FILES_A_COMMIT if self._settings.store.upload_interval_s else _FILES_AT_ONCE

    def _beat_every_s(self) -> float:
        return max(heartbeat.EVERY_S, self._settings.store.upload_interval_s)

    def _heartbeat(self, state: str, most: int) -> dict[str, bytes]:
        """The heartbeat that is true once the store has the oldest `most` files."""
        self._beats += 1
        waiting = len(self.spool.files())
        sent = min(waiting, most)
        now = time.monotonic()
        manifest = self._newest.manifest if self._newest else None
        facts = {
            "state": state,
            "step": manifest.step if manifest else None,
            "generation": manifest.generation if manifest else None,
            "games": self.games,
            "games_per_s": self.games / max(now - self._began, 1e-9),
            "last_batch_s": now - self._last_batch,
            "batches": self.spool.sent_files + sent,
            "spooled_files": waiting - sent,
            "dropped_games": self.spool.dropped_games,
            "sent_bytes": self.spool.sent_bytes,
            **(self._claim.facts() if self._claim is not None else {}),
        }
        count = f"{os.getpid()}-{self._beats}"
        data = heartbeat.to_bytes(
            self._job.role, self._job.worker_id, count, self._beat_every_s(), facts
        )
        return {spool.status_name(self._job.worker_id): data}

    def _pull(self) -> None:
        """Take the newest weights if they are newer, undamaged, and of this experiment; else keep
        the present ones.
        """
        if time.monotonic() < self._pull_again_at:
            return
        try:
            found = weights.newest(self._store, self._tag)
            if found is None:
                return
            manifest, tag = found
            before = self._newest.manifest if self._newest else None
            if before is None or (manifest.epoch, manifest.generation) > (
                before.epoch,
                before.generation,
            ):
                check_experiment(manifest, self._settings)
                params = weights.fetch(self._store, manifest, self._settings.network)
                self._newest = Current(manifest, params)
                if before is not None:
                    self._background.say(
                        f"weights of step {manifest.step} (generation {manifest.generation})"
                    )
            self._tag = tag
        except weights.BadWeights as error:
            if self._newest is None:
                raise
            self._pull_again_at = time.monotonic() + _BAD_WEIGHTS_S  # they may be large
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._background.say(
                    f"keeping the weights of step {self._newest.manifest.step}: {error}"
                )


def check_experiment(manifest: weights.Manifest, settings: Experiment) -> None:
    """Raise BadWeights if the learner trains another experiment or another network."""
    theirs = manifest.experiment
    if theirs.get("name") != settings.name:
        raise weights.BadWeights(
            f"the learner runs experiment {theirs.get('name')!r}, this is {settings.name!r}"
        )
    if not isinstance(theirs.get("network"), dict):
        raise weights.BadWeights("the manifest names no network")
    for field, ours in settings.network.parameter_fields().items():
        if theirs["network"].get(field) != ours:
            raise weights.BadWeights(
                f"the learner's network.{field} is {theirs['network'].get(field)!r}, here it is "
                f"{ours!r}; start the "
                "worker with the learner's experiment file and overrides"
            )


def work(settings: Experiment, job: Job, report: Reporter, stop_asked: Callable[[], bool]) -> None:
    """Play and send until `stop_asked`, or `job.max_games` are played.

    Raises:
        ValueError: if the worker cannot work; the message says what is missing.
        TakenOver: if another process works under this worker id; unsent games stay in the spool.
    """
    devices.check(settings.device, report.note)
    memory.check(settings, job.role)
    link = Link(settings, job, open_store(settings.namespace), report.note)
    report.note(f"{job.role} {job.worker_id}: {settings.namespace}")
    if job.role == "evalaux":
        _check_solver()
    current = link.begin(stop_asked)
    report.note(
        f"playing with step {current.manifest.step}, generation {current.manifest.generation}"
    )
    play = _play if job.role == "selfplay" else _play_against_eq
    try:
        with memory.guarded(settings, job.role, report.note):
            play(settings, job, link, report, stop_asked)
    except Stopped:
        pass
    finally:
        link.end()
    report.note(f"stopped after {link.games:,} games, {link.spool.sent_bytes:,} bytes sent")


def _check_solver() -> None:
    try:
        state = game.deal(jax_settings.key(0))
        solver.solve(jax.tree.map(lambda leaf: np.asarray(leaf)[None], state))
    except Exception as error:  # numba's own, of many kinds
        raise ValueError(
            f"the exact solver does not compile here: {type(error).__name__}: {error}"
        ) from None


def _seed(settings: Experiment, job: Job) -> int:
    return (settings.seed ^ zlib.crc32(f"{job.role} {job.worker_id}".encode())) % 2**32


def _play(
    settings: Experiment, job: Job, link: Link, report: Reporter, stop_asked: Callable[[], bool]
) -> None:
    """Play self-play games; each `store.games_per_file` finished games are one file."""
    n_file = settings.store.games_per_file
    if job.max_games is not None:
        n_file = min(n_file, job.max_games)
    config = dataclasses.replace(settings.selfplay, games_per_cycle=n_file)
    seed = _seed(settings, job)
    # Folding in the file number gives other deals after every restart.
    key = jax.random.fold_in(jax_settings.key(seed), link.first)
    step = link.current().manifest.step
    actor = selfplay.init(config, key, step)
    sizer = CallSizer("self-play", "fewer --selfplay.lanes or --selfplay.search.sims", report)
    facts = dataclasses.asdict(config.search) | {
        "lanes": config.lanes,
        "seed": seed,
        "first_file": link.first,
    }
    while not stop_asked():
        current = link.current()
        step = current.manifest.step
        began = time.monotonic()
        actor = jax.block_until_ready(
            selfplay.advance(config, settings.network, current.params, actor, step, sizer.n)
        )
        sizer.timed(time.monotonic() - began)
        finished = int(actor.n_finished)
        report.working("games of the next file", min(finished, n_file), n_file)
        while finished >= n_file:
            actor, records = selfplay.take(config, actor)
            link.send(jax.tree.map(np.asarray, records), step, facts)
            finished -= n_file
            if job.max_games is not None and link.games >= job.max_games:
                return
    # Cut on the host: a worker that was asked to stop should not compile anything first.
    left = jax.tree.map(lambda leaf: np.asarray(leaf)[: int(actor.n_finished)], actor.finished)
    link.send(left, step, facts)


def _play_against_eq(
    settings: Experiment, job: Job, link: Link, report: Reporter, stop_asked: Callable[[], bool]
) -> None:
    """Play E[Q] against the network; `eval_aux.games_per_file` games at once are one file."""
    config, seed = settings.eval_aux, _seed(settings, job)

    def on_ply(ply: int, n_games: int) -> None:
        report.working(f"plies of {n_games} games", ply, game.N_PLIES)
        if stop_asked():
            raise Stopped

    while not stop_asked():
        current = link.current()
        left = config.games_per_file if job.max_games is None else job.max_games - link.games
        if left <= 0:
            return
        n_games = min(config.games_per_file, left)
        step = current.manifest.step
        batch = eval_aux.GamesToPlay(step, seed, link.spool.next, n_games)
        tell = functools.partial(on_ply, n_games=n_games)
        records, facts = eval_aux.play(config, settings.network, current.params, batch, tell)
        record.validate(records)
        link.send(records, step, facts)
