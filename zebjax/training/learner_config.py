"""Settings of how the network is trained."""

import dataclasses
from typing import Literal

from zebjax.common import checks

PolicyMask = Literal["legal", "unplayed"]


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
    """How the network is trained. The defaults are the original's."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw (the original's), or muon (Jordan et al. 2024): orthogonalised momentum at lr for
    matrices, AdamW at lr / 10 for vectors. From random weights muon needs far fewer examples."""
    lr: float = 1e-4
    """Peak learning rate of the schedule."""
    schedule: Literal["constant", "cosine"] = "constant"
    """constant, or cosine: decay to lr / 10 until decay_updates, then constant."""
    warmup_updates: int = 0
    """Number of updates of linear warm-up from 0."""
    decay_updates: int = 100_000
    """Number of updates until the end of the cosine, warm-up included."""
    weight_decay: float = 0.01
    """Weight decay, applied to every parameter."""
    clip_norm: float = 0.0
    """Maximum global norm of the gradients; 0: no clipping."""
    batch: int = 64
    """Examples per update. With AdamW, lr goes with its square root: four times the examples, twice
    the lr."""
    updates_per_cycle: int = 1000
    """Optimiser updates per training cycle."""
    updates_per_call: int = 0
    """Updates per compiled call; a stop waits for the current call. 0: choose a number that takes
    about ten seconds on this machine. The result of training does not depend on it."""
    policy_weight: float = 1.0
    """Weight of the policy loss."""
    value_weight: float = 1.0
    """Weight of the value loss."""
    belief_weight: float = 0.5
    """Weight of the belief loss."""
    move_value_weight: float = 1.0
    """Weight of the loss of a network's `move_values`, see `losses.move_errors`; only positions
    with known values of moves count: those of games of `zebjax teach` and `zebjax iterate`, and of
    self-play with `selfplay.method` outcomes or rollouts."""
    ema: float = 0.0
    """Decay of an exponential average of the weights, such as 0.999: the run plays with it,
    evaluates, saves and publishes it. In update t it is at most (1 + t) / (10 + t). 0: none."""
    belief_tiles: Literal["dealt", "hidden"] = "dealt"
    """Tiles that the belief head is trained on. dealt: the 21 tiles dealt to the other seats
    (as the original). hidden: those of the 21 that are not yet played."""
    decisions_only: bool = False
    """True: train on plies with more than one legal move only, three of five. False: on forced
    plies too (as the original); they teach the value and the belief, and no policy."""
    root_value_share: float = 0.0
    """Share of the root value (of the search or the teacher) in the value target; the rest is the
    outcome. The root value has less noise, but contains the errors of the network or teacher. 0:
    as the original."""
    policy_from_values: float = 0.0
    """Above 0: the policy learns softmax(score / this) of the network's own values of moves, with
    the score of `zeb:PATH,choose=value`, instead of the policy targets of the games. Games with
    rollouts know one outcome of each move, so their targets are noisy, and the mean of many is too
    even. The metrics of the policy then say how well it agrees with the values. 0: the games'
    targets."""
    policy_mask: PolicyMask = "legal"
    """Slots in the softmax of the policy: legal, or unplayed (as the original)."""

    def __post_init__(self) -> None:
        checks.check(self, "learner")
        checks.at_least(self, "learner", 2, "batch")
        checks.at_least(self, "learner", 1, "updates_per_cycle", "decay_updates")
        checks.at_most(
            self, "learner", checks.MAX_COUNT, "batch", "updates_per_cycle", "updates_per_call"
        )
        checks.at_most(self, "learner", checks.MAX_COUNT, "decay_updates", "warmup_updates")
        checks.at_least(self, "learner", 0, "weight_decay", "clip_norm", "warmup_updates")
        weights = ("policy_weight", "value_weight", "belief_weight", "move_value_weight")
        checks.at_least(self, "learner", 0, *weights)
        if self.policy_from_values and not 1e-3 <= self.policy_from_values <= 1e3:
            raise ValueError(
                "learner.policy_from_values: expected 0, or 0.001 to 1000, got "
                f"{self.policy_from_values}"
            )
        if self.policy_from_values and self.policy_mask != "legal":
            raise ValueError(
                "learner.policy_mask: expected legal with policy_from_values; no values are known "
                "of moves that are not"
            )
        checks.positive(self, "learner", "lr")
        if self.updates_per_call and self.updates_per_cycle % self.updates_per_call:
            raise ValueError(
                "learner.updates_per_call: expected 0 or a divisor of updates_per_cycle "
                f"({self.updates_per_cycle}), got {self.updates_per_call}"
            )
        if not 0 <= self.root_value_share <= 1:
            raise ValueError(
                f"learner.root_value_share: expected 0 to 1, got {self.root_value_share}"
            )
        if not 0 <= self.ema < 1:
            raise ValueError(f"learner.ema: expected 0 to less than 1, got {self.ema}")
        if self.schedule == "cosine" and self.decay_updates <= self.warmup_updates:
            raise ValueError("learner.decay_updates: expected more than warmup_updates")

    @property
    def chunk(self) -> int:
        """Number of updates whose examples are drawn and replayed together.

        It divides `updates_per_cycle`.
        """
        if self.updates_per_call:
            return self.updates_per_call
        return max(n for n in range(1, 26) if self.updates_per_cycle % n == 0)
