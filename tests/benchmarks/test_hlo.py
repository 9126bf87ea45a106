"""Kernels, bytes and products of a compiled program are counted as its text says."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.gpu import hlo, roofline, show
from benchmarks.gpu.cards import BANDWIDTH_SHARE, CARDS, FLOP_SHARE, HOST_WAIT_S, LAUNCH_S
from tests.support.hlo_text import PROGRAM

H100 = CARDS["h100"]


@pytest.fixture(scope="module")
def module():
    return hlo.parse(PROGRAM)


def test_instructions_are_read(module):
    assert module.entry == "main" and set(module.computations) >= {"body", "fused_slice", "much"}
    arg = module.computations["body"]["arg"]
    assert arg.arrays == (hlo.Array("s32", ()), hlo.Array("f32", (1000, 512)))
    assert arg.n_bytes == 4 + 4 * 1000 * 512 and not arg.is_root
    chosen = module.computations["main"]["chosen"]
    assert chosen.called("branch_computations") == ["little", "much"]
    assert chosen.operands == ("n", "x", "x")
    gemm = module.computations["main"]["gemm"]
    assert [array.dtype for array in gemm.arrays] == ["bf16", "s8"]


def test_a_kernel_has_its_innermost_line_of_our_source(module):
    read = module.computations["body"]["read"]
    assert module.source(read) == "zebjax/search/tree.py:254"
    assert module.stack(read)[0].endswith("mctx/_src/search.py:70")
    assert module.source(read, "/flax/") == "mctx/_src/search.py:70"
    assert module.source(module.computations["body"]["write"]) == ""


def test_lines_are_also_read_from_the_metadata_of_older_versions():
    text = PROGRAM.replace("stack_frame_id=2", 'source_file="/a/zebjax/game.py" source_line=7')
    module = hlo.parse(text)
    assert module.source(module.computations["body"]["read"]) == "zebjax/game.py:7"


def test_a_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="expected the text of a compiled XLA program"):
        hlo.parse("HloModule nothing")


def test_a_product_of_matrices_takes_its_flop(module):
    entry = roofline.predict(module, H100)
    (gemm,) = (kernel for kernel in entry.kernels if kernel.instruction.name == "gemm")
    assert gemm.cost.flop == 2 * 4096 * 256 * 1024
    # Scratch memory, the second result, is not counted.
    assert gemm.cost.n_bytes == 2 * (4096 * 256 + 256 * 1024 + 4096 * 1024)
    bytes_s = gemm.cost.n_bytes / (H100.bytes_per_s * BANDWIDTH_SHARE)
    flop_s = gemm.cost.flop / (H100.flop_per_s * FLOP_SHARE)
    assert gemm.cost.seconds == pytest.approx(max(bytes_s, flop_s, LAUNCH_S))
    slow = roofline.predict(module, CARDS["3060"])
    assert slow.cost.seconds > entry.cost.seconds


def test_only_the_touched_part_of_an_array_counts(module):
    """A tree of 8,192 games has 50 MB an array; a node is written into it in place."""
    entry = roofline.predict(module, H100)
    body = next(part for part in entry.parts if part.name == "body")
    read, write = body.kernels
    assert read.cost.n_bytes == 2 * 4 * 512 + 4  # the row, its double, and the index
    assert write.cost.n_bytes == 2 * 4 * 512 + 4  # the row read and written, and the index
    assert read.cost.seconds == LAUNCH_S


def test_loops_multiply_and_unknown_ones_wait(module):
    asked = []

    def turns(stack, depth):
        asked.append((stack[-1], depth))
        return 5.0

    entry = roofline.predict(module, H100, turns)
    known, unknown = (part for part in entry.parts if part.label == "loop")
    assert (known.times, known.is_known) == (16, True)
    assert (unknown.times, unknown.is_known) == (5, False)
    assert asked == [("/home/x/zebjax/search/tree.py:254", 1)]
    # The product and `finish`; two a turn; half of the branch with a copy.
    assert entry.cost.kernels == 2 + 2 * 16 + 2 * 5 + 0.5
    # A conditional, and six looks at the condition of five turns.
    assert entry.cost.waits == entry.waits == 1 + 6
    no_waits = sum(kernel.cost.seconds for part, n in entry.walk() for kernel in part.kernels * 1)
    assert entry.cost.seconds > no_waits + 7 * HOST_WAIT_S


def test_a_long_sort_is_many_kernels():
    text = """HloModule s
ENTRY %main (x: s32[8192]) -> s32[8192] {
  %x = s32[8192]{0} parameter(0)
  ROOT %sorted = s32[8192]{0} sort(%x), dimensions={0}, to_apply=%less
}
"""
    assert roofline.predict(hlo.parse(text), H100).cost.kernels == 1 + 2 + 3
    short = roofline.predict(hlo.parse(text.replace("8192", "2048")), H100)
    assert short.cost.kernels == 1


def test_a_program_of_this_machine_is_read_too():
    """The parser reads what the installed XLA prints; a CPU's program has the same grammar."""

    def turn(i, x):
        return jnp.sin(x) @ x

    compiled = jax.jit(lambda x: jax.lax.fori_loop(0, 3, turn, x)).lower(jnp.ones((8, 8))).compile()
    module = hlo.parse(compiled.as_text())
    entry = roofline.predict(module, H100)
    (loop,) = (part for part in entry.parts if part.label == "loop")
    assert loop.is_known and loop.times == 3 and loop.cost.flop == 2 * 8**3
    assert module.source(loop.kernels[0].instruction, "/tests/").startswith(
        "tests/benchmarks/test_hlo.py:"
    )


def test_the_list_sums_what_repeats(module):
    entry = roofline.predict(module, H100)

    class Run:
        unit, units = "run", 2.0

    listed = show.largest(module, entry, 10, Run).splitlines()
    (line,) = (line for line in listed if "tree.py:254" in line)
    assert "10.0 kernels" in line and "dynamic_slice" in line  # (16 + 4) / 2
    assert len(show.largest(module, entry, 2, Run).splitlines()) == 3
    assert "loop 16x zebjax/search/tree.py:254" in show.tree(entry)
    assert "loop about 4x" in show.tree(entry)


COLLECTIVES = """HloModule c
%body (arg: (s32[], f32[16,4])) -> (s32[], f32[16,4]) {
  %arg = (s32[], f32[16,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %x = f32[16,4]{1,0} get-tuple-element(%arg), index=1
  %sum = f32[16,4]{1,0} all-reduce(%x), replica_groups={}, to_apply=%add
  ROOT %out = (s32[], f32[16,4]{1,0}) tuple(%i, %sum)
}

%condition (arg: (s32[], f32[16,4])) -> pred[] {
  %arg = (s32[], f32[16,4]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (n: s32[], x: f32[16,4], y: f32[16,4]) -> f32[128,4] {
  %n = s32[] parameter(0)
  %x = f32[16,4]{1,0} parameter(1)
  %y = f32[16,4]{1,0} parameter(2)
  %start = (s32[], f32[16,4]{1,0}) tuple(%n, %x)
  %loop = (s32[], f32[16,4]{1,0}) while(%start), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"10"}}
  %both = (f32[16,4]{1,0}, f32[16,4]{1,0}) all-reduce-start(%x, %y), to_apply=%add
  %summed = (f32[16,4]{1,0}, f32[16,4]{1,0}) all-reduce-done(%both)
  %begun = (f32[16,4]{1,0}, f32[128,4]{1,0}) all-gather-start(%x), dimensions={0}
  ROOT %all = f32[128,4]{1,0} all-gather-done(%begun)
}
"""


def test_collectives_are_counted_with_the_bytes_of_their_results():
    entry = roofline.predict(hlo.parse(COLLECTIVES), H100)
    # 256 bytes ten times in the loop, and two arrays at once.
    assert show.collectives(entry) == {
        "all-gather": {"number": 1.0, "mb": 0.002},
        "all-reduce": {"number": 11.0, "mb": 0.003},
    }
    (loop,) = entry.parts
    assert show.collectives(loop, 2.0) == {"all-reduce": {"number": 0.5, "mb": 0.0}}
    said = show.collectives_text("update", show.collectives(entry))
    assert "11.0 all-reduce (0.003 MB)" in said
    assert show.collectives_text("update", {}) == "  collectives a update: none"
    # The second halves are no kernels: a reduction in the loop, two first halves.
    assert entry.cost.kernels == 10 + 2


def test_a_kernel_of_pallas_costs_the_products_that_it_states():
    module = hlo.parse(
        r"""ENTRY %main (x: bf16[64,256]) -> bf16[64,256] {
  %x = bf16[64,256]{1,0} parameter(0)
  ROOT %call = bf16[64,256]{1,0} custom-call(%x), custom_call_target="__gpu$xla.gpu.triton", \
backend_config={ir = "\01", name = "f", serialized_metadata = "{\22flop\22: \2260129542144\22}"}
}
""".replace("\\\n", "")
    )
    card = CARDS["h100"]
    cost = roofline.predict(module, card).cost
    assert (cost.kernels, cost.flop, cost.n_bytes) == (1, 60129542144, 2 * 64 * 256 * 2)
    assert cost.seconds == pytest.approx(60129542144 / (card.flop_per_s * FLOP_SHARE))
