"""The settings of a search, and of games without one."""

import dataclasses
from typing import Literal

from zebjax.common import checks

Policy = Literal["puct", "gumbel"]


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """The settings of a search.

    >>> SearchConfig(sims=0)
    Traceback (most recent call last):
    ValueError: search.sims: expected at least 1, got 0
    """

    policy: Policy = "puct"
    """puct: PUCT (Silver et al. 2017, AlphaGo Zero, Methods) on raw Q; every legal child is visited
    once first, and the root has no noise. gumbel: Gumbel MuZero (Danihelka et al. 2022), sequential
    halving over all legal moves."""
    sims: int = 200
    """Simulations per tree."""
    c_puct: float = 1.414
    """Exploration constant of PUCT."""
    temperature: float = 1.0
    """puct: moves are drawn from root visits ** (1 / temperature). gumbel: the scale of the Gumbel
    noise. 0: the move with the highest policy target, averaged over worlds."""
    gumbel_c_scale: float = 0.1
    """gumbel: c_scale of sigma in the paper; a larger value gives Q more weight against the prior
    policy."""
    worlds: Literal["true"] | int = "true"
    """true: search the true deal (self-play only). A number: sample this many worlds and search
    one tree of `sims` simulations in each; all consistent worlds if there are fewer."""
    plain: bool = False
    """True for the original's tree: every ply is a node, forced ones too, and the network evaluates
    positions until the end of the game."""

    def __post_init__(self) -> None:
        checks.check(self, "search")
        if self.worlds != "true" and not (type(self.worlds) is int and 1 <= self.worlds <= 10_000):
            raise ValueError(
                f"search.worlds: expected true, or 1 to 10,000 sampled worlds, got {self.worlds!r}"
            )
        if self.sims < 1:
            raise ValueError(f"search.sims: expected at least 1, got {self.sims}")
        if self.c_puct <= 0:
            raise ValueError(f"search.c_puct: expected a positive number, got {self.c_puct}")
        if self.gumbel_c_scale <= 0:
            raise ValueError(
                f"search.gumbel_c_scale: expected a positive number, got {self.gumbel_c_scale}"
            )
        if self.temperature < 0:
            raise ValueError(f"search.temperature: expected 0 or more, got {self.temperature}")


@dataclasses.dataclass(frozen=True)
class Exploration:
    """How moves are drawn in play without a search, and in rollouts. A score is that of a network's
    values of moves, in which P(win) - P(lose) counts half.

    >>> Exploration(random=2.0)
    Traceback (most recent call last):
    ValueError: explore.random: expected 0 to 1, got 2.0
    """

    temperature: float = 0.05
    """Of play, in units of the score: a move that wins 5 % less often gets 1/e of the weight. A
    transformer's policy learns these weights."""
    random: float = 0.05
    """Share of moves in play that are uniformly random."""
    rollout_temperature: float = 0.02
    """Of all moves in rollouts."""

    def __post_init__(self) -> None:
        checks.check(self, "explore")
        checks.at_least(self, "explore", 0, "temperature", "rollout_temperature")
        if not 0 <= self.random <= 1:
            raise ValueError(f"explore.random: expected 0 to 1, got {self.random}")
