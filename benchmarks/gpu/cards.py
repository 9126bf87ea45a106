"""GPUs as XLA's compiler describes them, and the constants of the roofline."""

from typing import NamedTuple


class Card(NamedTuple):
    """What the manufacturer publishes about a GPU."""

    name: str
    """As the driver reports it, and so as measured results name it."""
    capability: tuple[int, int]
    multiprocessors: int
    clock_ghz: float
    bytes_per_s: float
    """Bandwidth of its memory."""
    memory_bytes: int
    l2_bytes: int
    shared_bytes: int
    """Shared memory of a multiprocessor; a block may use 1 KiB less."""
    flop_per_s: float
    """Dense bfloat16 products with float32 sums."""

    @property
    def f32_flop_per_s(self) -> float:
        """Products of float32 arrays, which XLA computes in TF32 by default."""
        return self.flop_per_s / 2


CARDS = {
    "h100": Card(
        "NVIDIA H100 80GB HBM3", (9, 0), 132, 1.98, 3.35e12, 84_978_434_048, 50 << 20, 228 << 10,
        989e12,
    ),
    "h200": Card(
        "NVIDIA H200", (9, 0), 132, 1.98, 4.8e12, 150_754_820_096, 60 << 20, 228 << 10,
        989e12,
    ),
    "4070ti": Card(
        "NVIDIA GeForce RTX 4070 Ti", (8, 9), 60, 2.61, 504e9, 12_878_086_144, 48 << 20, 100 << 10,
        80e12,
    ),
    "4070": Card(
        "NVIDIA GeForce RTX 4070", (8, 9), 46, 2.475, 504e9, 12_878_086_144, 36 << 20, 100 << 10,
        58e12,
    ),
    "3080": Card(
        "NVIDIA GeForce RTX 3080", (8, 6), 68, 1.71, 760e9, 10_500_000_000, 5 << 20, 100 << 10,
        59e12,
    ),
    "3060": Card(
        "NVIDIA GeForce RTX 3060", (8, 6), 28, 1.777, 360e9, 12_600_000_000, 9 << 18, 100 << 10,
        25e12,
    ),
}  # fmt: skip

# Fitted to 16 programs that were compiled on an H200 (`fit` in results/on-gpu-h200.json): 15 are
# then predicted within 10 %, and one, in which cuBLAS computes attention, 19 % too fast.
LAUNCH_S = 3e-6
"""Shortest time of a kernel. In a CUDA graph one without work takes 0.9 us; those of the learner at
batch 64 took 3.0 us each."""
HOST_WAIT_S = 11e-6
"""Time of a `conditional`, or of a turn of a loop of unknown length: the host reads a number. Such
a turn took 22 us with its three kernels."""
BANDWIDTH_SHARE = 0.6
"""A large copy reached 0.68."""
FLOP_SHARE = 0.45
"""A product of 8,192 x 8,192 matrices reached 0.7; one of a layer, 163,840 x 256 x 1,024, 0.53."""


def target_config(card: Card) -> str:
    """Return the card as the text form of XLA's `GpuTargetConfigProto`."""
    major, minor = card.capability
    threads = 2048 if major == 9 else 1536
    return f"""gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {card.shared_bytes}
  shared_memory_per_block_optin: {card.shared_bytes - 1024}
  threads_per_core_limit: {threads}
  core_count: {card.multiprocessors}
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  memory_bandwidth: {card.bytes_per_s:.0f}
  l2_cache_size: {card.l2_bytes}
  clock_rate_ghz: {card.clock_ghz}
  device_memory_size: {card.memory_bytes}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 patch: 0 }}
device_description_str: "{card.name}"
"""
