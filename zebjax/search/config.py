"""How a root decision is searched."""

import dataclasses
from typing import Literal

from zebjax.common import checks

Policy = Literal["puct", "gumbel"]


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How a root decision is searched."""

    policy: Policy = "puct"
    """puct: PUCT (AlphaZero) on raw Q, every legal child visited once first, no root noise.
    gumbel: Gumbel MuZero (Danihelka et al. 2022), sequential halving over all legal moves."""
    sims: int = 200
    """Simulations per tree."""
    c_puct: float = 1.414
    """Exploration constant of PUCT."""
    temperature: float = 1.0
    """puct: moves are drawn from root visits ** (1 / temperature); gumbel: the scale of the Gumbel
    noise. 0: the top of the policy target, over several worlds of their mean."""
    gumbel_c_scale: float = 0.1
    """gumbel: c_scale of the paper's sigma; how sharply Q shapes the improved policy."""
    worlds: Literal["true"] | int = "true"
    """What the trees move on: the true deal (self-play only), or this many sampled worlds, one tree
    of `sims` each; all consistent worlds where there are no more."""
    plain: bool = False
    """The original's tree: a node for every ply, forced ones too, and the network asked until the
    end."""

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
