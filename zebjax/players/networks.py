"""The networks of the player `eq:...,belief=...`: read, and put to their tasks."""

import dataclasses
from pathlib import Path
from typing import NamedTuple, TypeAlias

from zebjax import tiles
from zebjax.common import hub
from zebjax.network import places
from zebjax.players import small, transformers
from zebjax.players.inference import Models
from zebjax.players.transformers import Transformer
from zebjax.small import batch
from zebjax.small.network import Net

_OPTIONS = ("belief", "partner", "rollouts", "opponents", "opening")
Policies: TypeAlias = batch.Policies | transformers.Policies
"""Who plays rollouts."""


class Loaded(NamedTuple):
    """Networks that were read."""

    models: Models | None
    """Of the others; None: uniform weights."""
    policies: Policies | None
    """Of rollouts; None: none."""
    opening: small.Loaded | None
    """Plays the first tricks."""
    identity: str
    """Names what was read; part of a player's identity."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """Paths of networks: PATH for a small one, zeb:PATH for a transformer."""

    belief: str | None = None
    """Models the others; None: uniform weights."""
    partner: str | None = None
    """Models the partner; None: as `belief`."""
    rollouts: str | None = None
    """Plays the rollouts; None: none."""
    opponents: str | None = None
    """Plays for the opponents in rollouts; None: as `rollouts`."""
    opening: str | None = None
    """A small network that plays the first tricks, without worlds; None: no other player does."""
    opening_tricks: int = 2
    """Tricks that `opening` plays."""

    def load(self) -> Loaded:
        """Read the networks.

        Raises:
            ValueError: if there is no network at a path, or it cannot do its task; the message
                names the option.
        """
        if self.opening and transformers.is_named(self.opening):
            raise ValueError(f"opening: expected a small network, got {self.opening}")
        partner, opponents = self.partner or self.belief, self.opponents or self.rollouts
        paths = (self.belief, partner, self.rollouts, opponents, self.opening)
        loaded: dict[str, small.Loaded | Transformer] = {}
        for option, path in zip(_OPTIONS, paths, strict=True):
            if path is not None and path not in loaded:
                try:
                    loaded[path] = _load(path, option)
                except ValueError as error:
                    raise ValueError(f"{option}: {error}") from None
        models = policies = None
        opening: small.Loaded | None = None
        if self.belief and partner:
            models = Models(_scores(loaded[partner]), _scores(loaded[self.belief]))
        if self.rollouts and opponents:
            policies = _policies(_scores(loaded[self.rollouts]), _scores(loaded[opponents]))
        digests = ["" if path is None else loaded[path].digest for path in paths]
        # Defaults of later options are left out: pairs are cached by the identity.
        identity = ",".join(digests[: 3 if opponents == self.rollouts else 4])
        if self.opening:
            found = loaded[self.opening]
            assert not isinstance(found, Transformer)
            opening = found
            identity += f",{self.opening_tricks} tricks by {digests[4]}"
            if models is not None and not isinstance(models.partner, Transformer):
                plies = tiles.N_PLAYERS * self.opening_tricks
                models = models._replace(opening=opening.scores, opening_plies=plies)
                identity += " and by the partner"
        return Loaded(models, policies, opening, identity)


def _load(path: str, option: str) -> small.Loaded | Transformer:
    """Return the network at a path, ready to play."""
    if not transformers.is_named(path):
        if path == places.BUNDLED or hub.is_hub(path) or Path(path).is_dir():
            meant = "" if option == "opening" else f"; did you mean {transformers.PREFIX}{path}?"
            raise ValueError(f"{path}: expected a small network{meant}")
        return small.load(path)
    return transformers.load(path.removeprefix(transformers.PREFIX))


def _scores(found: small.Loaded | Transformer) -> Net | Transformer:
    return found if isinstance(found, Transformer) else found.scores


def _policies(own: Net | Transformer, others: Net | Transformer) -> Policies:
    if isinstance(own, Transformer) and isinstance(others, Transformer):
        return transformers.Policies(own, others)
    if isinstance(own, Transformer) or isinstance(others, Transformer):
        raise ValueError("opponents: expected a network of the kind of rollouts, small or zeb:PATH")
    return batch.Policies(own, others)
