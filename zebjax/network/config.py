"""The settings of a network, and the usual sizes."""

import dataclasses
from pathlib import Path
from typing import Any

_MAX = {"n_layers": 64, "embed_dim": 8192, "ff_dim": 8192}
# A config may come from a stranger's file, and tracing or allocating a huge one would hang.

POINTS, MAKE_SET = "points", "make/set"
"""The values of `ZebConfig.value`; the latter is `contract.VALUE`."""
VALUE_WEIGHT, POINTS_WEIGHT = 0.5, 0.2
"""The score of a move is these two times its value and its points, see `forward.Output.moves`. That
is P(win) + P(tie) / 2 + 0.02 * points, but for a constant."""
NONE, MARGINAL = "none", "marginal"
"""The values of `ZebConfig.belief_prior`."""
AUTO = "auto"
"""A setting that is chosen for the device when a process starts."""


_LATER = {"value": POINTS, "move_values": False, "belief_prior": NONE}
"""Fields that configs of earlier versions lack, with their defaults."""


@dataclasses.dataclass(frozen=True)
class ZebConfig:
    """The settings of a ZebNet. `PRESETS` has the usual ones.

    >>> ZebConfig(embed_dim=20)
    Traceback (most recent call last):
    ValueError: embed_dim: expected a multiple of 16 and of n_heads (4), got 20
    """

    embed_dim: int = 128
    n_heads: int = 4
    n_layers: int = 4
    ff_dim: int = 256
    dropout: float = 0.1
    """Dropout rate, in training only."""
    belief_head: bool = True
    """True for a head that predicts the holder of each tile."""
    belief_prior: str = NONE
    """What the belief head corrects: none, or marginal, by hand sizes and voids: its outputs are
    added to the logarithm of that (`forward.corrected_beliefs`). So it need not learn to count."""
    move_values: bool = False
    """True for a head that predicts the value and the points of each move."""
    tokenizer: str = "v1"
    """A name in `observe.TOKENIZERS`."""
    value: str = POINTS
    """The game that it is trained for: points (more points than the other team), or make/set (a
    contract, seen by tokenizer v2). Such networks do not mix."""
    compute_dtype: str = "float32"
    """Dtype of the matrix products: float32, bfloat16, or auto: bfloat16 on an accelerator that has
    it, float32 on a CPU. Outside training also of the sums between layers. Parameters, softmax,
    LayerNorm and heads stay float32. It may change when a run resumes."""
    kernels: str = AUTO
    """How attention is computed: `xla`, or by a kernel of our own (`pallas`). The kernel is for
    evaluations in bfloat16 on one NVIDIA GPU of compute capability 8 or more, with 16, 32, 64 or
    128 columns a head; elsewhere `pallas` means XLA too. `auto` is `pallas` for every network that
    fits. Not stored with weights."""

    def __post_init__(self) -> None:
        # Do not look up v1: importing observe imports jax, which would slow down `--help`.
        if self.tokenizer != "v1":
            from zebjax.observe import tokenizer

            tokenizer(self.tokenizer)
        if self.value not in (POINTS, MAKE_SET):
            raise ValueError(f"value: expected {POINTS} or {MAKE_SET}, got {self.value!r}")
        if self.value == MAKE_SET and self.tokenizer == "v1":
            raise ValueError(
                "value: make/set needs a tokenizer that sees contracts; expected tokenizer v2, got "
                "v1"
            )
        if self.belief_prior not in (NONE, MARGINAL):
            raise ValueError(
                f"belief_prior: expected {NONE} or {MARGINAL}, got {self.belief_prior!r}"
            )
        if self.belief_prior != NONE and not self.belief_head:
            raise ValueError(f"belief_prior: {self.belief_prior} needs belief_head True")
        if self.compute_dtype not in ("float32", "bfloat16", AUTO):
            raise ValueError(
                f"compute_dtype: expected float32, bfloat16 or {AUTO}, got {self.compute_dtype!r}"
            )
        for name in ("embed_dim", "n_heads", "n_layers", "ff_dim"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(
                    f"{name}: expected a positive integer, got {getattr(self, name)!r}"
                )
            if getattr(self, name) > _MAX.get(name, _MAX["embed_dim"]):
                raise ValueError(
                    f"{name}: expected at most {_MAX.get(name, _MAX['embed_dim']):,}, got "
                    f"{getattr(self, name):,}"
                )
        if self.embed_dim % 16 or self.embed_dim % self.n_heads:
            raise ValueError(
                f"embed_dim: expected a multiple of 16 and of n_heads ({self.n_heads}), got "
                f"{self.embed_dim}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {self.dropout}")
        self._check_kernels()

    def _check_kernels(self) -> None:
        if self.kernels not in (AUTO, "xla", "pallas"):
            raise ValueError(f"kernels: expected {AUTO}, xla or pallas, got {self.kernels!r}")
        if self.kernels == "pallas" and not self._fits_pallas:
            raise ValueError(
                "kernels: pallas needs compute_dtype bfloat16 or auto, and 16, 32, 64 or 128 "
                "columns a head (embed_dim / n_heads); got "
                f"{self.compute_dtype}, embed_dim {self.embed_dim}, n_heads {self.n_heads}"
            )

    @property
    def _fits_pallas(self) -> bool:
        # In Triton each axis of a tile is a power of 2, and those of a product are at least 16. The
        # tiles of a wider head would not fit on the chip.
        head = self.embed_dim // self.n_heads
        return self.compute_dtype in ("bfloat16", AUTO) and head in (16, 32, 64, 128)

    def with_kernels(self, runs_pallas: bool) -> "ZebConfig":
        """Return the config with `kernels` as they are used on a device, `xla` or `pallas`.

        Args:
            runs_pallas: True if the device runs the kernel, see `devices.runs_pallas`.
        """
        use = runs_pallas and self.kernels != "xla" and self._fits_pallas
        return dataclasses.replace(self, kernels="pallas" if use else "xla")

    def stored_fields(self) -> dict[str, Any]:
        """Return the fields that are stored with weights: all but `kernels`, which is a choice of
        the machine that evaluates them, and those of `_LATER` that have their default, so that such
        files stay as they were before there was another.
        """
        fields = dataclasses.asdict(self)
        left_out = {name for name in _LATER if fields[name] == _LATER[name]} | {"kernels"}
        return {name: fields[name] for name in fields if name not in left_out}

    def parameter_fields(self) -> dict[str, Any]:
        """Return the fields that decide the shapes and the meaning of the parameters: not dropout,
        not dtype.
        """
        left_out = {"dropout", "compute_dtype", "kernels"}
        fields = dataclasses.asdict(self)
        return {name: fields[name] for name in fields.keys() - left_out}

    @property
    def plays_contracts(self) -> bool:
        """True if its value is make/set: it sees contracts, and plays no game without one."""
        return self.value == MAKE_SET

    def same_weights(self, other: "ZebConfig") -> bool:
        """True if both have the same parameters with the same meaning; dropout, compute dtype and
        kernels may differ.
        """
        return self.parameter_fields() == other.parameter_fields()


PRESETS = {
    "small": ZebConfig(embed_dim=64, n_heads=2, n_layers=2, ff_dim=128),
    "medium": ZebConfig(embed_dim=128, n_heads=4, n_layers=4, ff_dim=256),
    "large": ZebConfig(embed_dim=256, n_heads=8, n_layers=6, ff_dim=512),
}


def config_from_dict(fields: Any, source: Path) -> ZebConfig:
    """Make a ZebConfig from an object that was read from JSON.

    Args:
        fields: the object, of any type.
        source: the file's name, for messages.

    Raises:
        ValueError: if a field is unknown or impossible; the message names `source` and the field.
    """
    known = {field.name for field in dataclasses.fields(ZebConfig)}
    if not isinstance(fields, dict):
        raise ValueError(f"{source}: expected an object with a network's fields")
    if unknown := sorted(set(fields) - known):
        raise ValueError(
            f"{source}: unknown field {unknown[0]!r}; expected {', '.join(sorted(known))}"
        )
    try:
        return ZebConfig(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: {error}") from None
