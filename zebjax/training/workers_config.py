"""Settings of the parts of a run that are processes of their own: eval-aux games, the store."""

import dataclasses

from zebjax.common import checks, hub

_MAX_GAMES_PER_FILE = 10_000

HUB_LOOK_S = 15.0
"""Minimum seconds between polls of a Hub store."""


@dataclasses.dataclass(frozen=True)
class EvalAuxConfig:
    """The eval-aux stream: games of E[Q] against the current network, in a ring of their own."""

    enabled: bool = False
    """True to keep and train on its games (the original's stage 1; without them, its stage 0)."""
    batch_fraction: float = 0.05
    """Share of a cycle's updates that take their batch from this stream."""
    policy_weight: float = 0.0
    """Weight of the policy loss in those updates. The target at E[Q]'s decisions is softmax(mean
    points over its sampled worlds / 1 point); the network's own decisions have none."""
    capacity_examples: int = 100_000
    """Examples in its ring."""
    max_model_lag: int = 400
    """Drop games made by weights more than so many cycles old; negative: no limit."""
    lag_half_life: int = 200
    """Cycles after which the probability of keeping a game halves; 0 keeps all."""
    min_keep_weight: float = 0.10
    """Lower bound of that probability."""
    worlds: int = 100
    """Worlds per decision of E[Q]."""
    temperature: float = 0.1
    """Of the network's policy in these games."""
    games_per_file: int = 128
    """Games per file; a worker plays them at the same time."""
    games_per_cycle: int = 16
    """Games per cycle when one process does everything."""

    def __post_init__(self) -> None:
        checks.check(self, "eval_aux")
        for name, low, high in (
            ("batch_fraction", 0, 1),
            ("policy_weight", 0, 1e6),
            ("min_keep_weight", 0, 1),
            ("temperature", 0, 100),
            ("capacity_examples", 28, 2**31 - 1),
            ("worlds", 1, 100_000),
            ("games_per_file", 2, 10_000),
            ("games_per_cycle", 2, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"eval_aux.{name}: expected {low} to {high:g}, got {getattr(self, name)}"
                )


@dataclasses.dataclass(frozen=True)
class StoreConfig:
    """How the processes of a run (`--role`) exchange weights and games."""

    url: str = ""
    """A folder, s3://BUCKET/PREFIX (gs://, az://) or hf://USER/REPO. The run uses a folder of its
    name in it. Empty: the folder `store` beside the runs, for processes on one machine."""
    publish_every_cycles: int = 25
    """Cycles between two publications of the learner's weights."""
    keep_weights: int = 5
    """Publications whose weights stay in the store."""
    keep_examples: int = 128
    """Files of games that stay in the store, the newest of each worker. Older ones are deleted
    once the learner has saved a state that holds their games."""
    publish_torch: bool = False
    """Also publish <name>.pt with its two JSON files, so that a PyTorch worker of the original's
    can follow. Its games are taken from examples/<worker>/*.pt in the store: give it
    `--output-dir STORE/NAME/examples/WORKER` where the store is a folder."""
    games_per_file: int = 128
    """Games per file of a self-play worker."""
    poll_s: float = 5.0
    """Seconds between two polls of the store. On a Hub at least 15 s: an account has 1,000 calls in
    five minutes, enough for about twenty workers."""
    upload_interval_s: float = 0.0
    """Minimum seconds between two writes of a process; a worker then sends several files at once.
    On a Hub at least 60, and 30 times the number of processes is safe: a repository takes 128
    commits an hour from all of them."""
    spool_bytes: int = 1 << 30
    """Bytes of games that a worker keeps on disk while the store is away; the oldest go first."""

    def __post_init__(self) -> None:
        counts = ("publish_every_cycles", "keep_weights", "keep_examples", "games_per_file")
        checks.at_least(self, "store", 1, *counts, "spool_bytes")
        if self.games_per_file > _MAX_GAMES_PER_FILE:
            raise ValueError(
                f"store.games_per_file: expected at most {_MAX_GAMES_PER_FILE:,}, got "
                f"{self.games_per_file}"
            )
        if self.url and not self.url.rpartition("://")[2].strip("/ "):
            raise ValueError(
                f"store.url: expected a folder, s3://BUCKET/PREFIX or hf://USER/REPO, got "
                f"{self.url!r}"
            )
        if not 0.01 <= self.poll_s <= 3600:
            raise ValueError(f"store.poll_s: expected 0.01 to 3600, got {self.poll_s}")
        least = 60 if hub.is_hub(self.url) else 0
        if not least <= self.upload_interval_s <= 86400:
            raise ValueError(
                f"store.upload_interval_s: expected {least} to 86400 here, got "
                f"{self.upload_interval_s}"
            )

    @property
    def look_every_s(self) -> float:
        """Seconds between two polls: `poll_s`, and more if the store needs it."""
        return max(self.poll_s, HUB_LOOK_S) if hub.is_hub(self.url) else self.poll_s
