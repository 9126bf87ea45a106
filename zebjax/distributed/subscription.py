"""The newest published weights, for a worker."""

from collections.abc import Callable
from typing import NamedTuple

from zebjax import network
from zebjax.distributed import weights
from zebjax.distributed.interval import Interval
from zebjax.distributed.store import Store
from zebjax.network.config import ZebConfig
from zebjax.training.config import Experiment, SelfPlayConfig

_REFUSED_S = 60.0
"""Seconds before refused weights are fetched again: they may be large."""


class Current(NamedTuple):
    """The weights in use."""

    manifest: weights.Manifest
    params: network.Params

    def is_before(self, other: weights.Manifest) -> bool:
        """True if `other` was published after these weights."""
        mine = self.manifest
        return (mine.epoch, mine.generation) < (other.epoch, other.generation)


class Subscription:
    """Follows the publications of one experiment's learner."""

    def __init__(self, store: Store, settings: Experiment, note: Callable[[str], None]) -> None:
        self._store, self._settings, self._note = store, settings, note
        self.newest: Current | None = None
        """The newest weights that were fetched and passed all checks."""
        self._tag: str | None = None
        self._refused = Interval(_REFUSED_S)
        self._complaint = ""

    def pull(self) -> None:
        """Fetch the newest weights if they are newer, undamaged, and of this experiment.

        Raises:
            Missing: if nothing is published.
            BadWeights: if the published weights must not be used and there are no earlier ones.
            StoreError: if the store cannot be read.
        """
        if not self._refused.is_due():
            return
        try:
            found = weights.newest(self._store, self._tag)
            if found is not None:
                self._take(*found)
        except weights.BadWeights as error:
            if self.newest is None:
                raise
            self._refused.restart()
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._note(f"keeping the weights of step {self.newest.manifest.step}: {error}")

    def _take(self, manifest: weights.Manifest, tag: str) -> None:
        before = self.newest
        if before is None or before.is_before(manifest):
            check_experiment(manifest, self._settings)
            params = weights.fetch(self._store, manifest, self._settings.network)
            self.newest = Current(manifest, params)
            if before is not None:
                self._note(f"weights of step {manifest.step} (generation {manifest.generation})")
        self._tag = tag


def check_experiment(manifest: weights.Manifest, settings: Experiment) -> None:
    """Raise BadWeights if the learner runs another experiment, trains another network, or learns
    from another kind of games.
    """
    theirs = manifest.experiment
    if theirs.get("name") != settings.name:
        raise weights.BadWeights(
            f"the learner runs experiment {theirs.get('name')!r}, this is {settings.name!r}"
        )
    if not isinstance(theirs.get("network"), dict):
        raise weights.BadWeights("the manifest names no network")
    # A field is absent in weights from before it existed, whose network had its default.
    network = ZebConfig().parameter_fields() | theirs["network"]
    for field, ours in settings.network.parameter_fields().items():
        if network[field] != ours:
            raise weights.BadWeights(
                f"the learner's network.{field} is {network[field]!r}, here it is "
                f"{ours!r}; start the worker with the learner's experiment file and overrides"
            )
    selfplay = theirs.get("selfplay")
    method = selfplay.get("method") if isinstance(selfplay, dict) else None
    method = method or SelfPlayConfig.method
    if method != settings.selfplay.method:
        raise weights.BadWeights(
            f"the learner's selfplay.method is {method!r}, here it is "
            f"{settings.selfplay.method!r}; start the worker with the learner's experiment file "
            f"and overrides, here --selfplay.method {method!r}"
        )
