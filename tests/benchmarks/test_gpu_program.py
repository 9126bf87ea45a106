"""Predictions from a compiled program count kernels, bytes and products as its text says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import gpu_program, plan, table
from benchmarks.gpu import compile as gpu_compile
from benchmarks.gpu import hlo, programs, roofline, show
from benchmarks.gpu.cards import BANDWIDTH_SHARE, CARDS, FLOP_SHARE, HOST_WAIT_S, LAUNCH_S
from zebjax import network
from zebjax.operations.rented import speeds

PROGRAM = """HloModule jit_f, is_scheduled=true

FileNames
1 "/venv/lib/python3.11/site-packages/mctx/_src/search.py"
2 "/home/x/zebjax/search/tree.py"

FunctionNames
1 "body"
2 "search"

FileLocations
1 {file_name_id=1 function_name_id=1 line=70 end_line=70 column=3 end_column=9}
2 {file_name_id=2 function_name_id=2 line=254 end_line=254 column=3 end_column=9}

StackFrames
1 {file_location_id=2 parent_frame_id=1}
2 {file_location_id=1 parent_frame_id=2}

%fused_slice (p0: f32[1000,512], p1: s32[]) -> f32[1,512] {
  %p0 = f32[1000,512]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = f32[1,512]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,512}
  ROOT %twice = f32[1,512]{1,0} add(%row, %row)
}

%fused_write (p0: f32[1000,512], p1: f32[1,512], p2: s32[]) -> f32[1000,512] {
  %p0 = f32[1000,512]{1,0} parameter(0)
  %p1 = f32[1,512]{1,0} parameter(1)
  %p2 = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %new = f32[1000,512]{1,0} dynamic-update-slice(%p0, %p1, %p2, %zero)
}

%body (arg: (s32[], f32[1000,512])) -> (s32[], f32[1000,512]) {
  %arg = (s32[], /*index=1*/f32[1000,512]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %table = f32[1000,512]{1,0} get-tuple-element(%arg), index=1
  %read = f32[1,512]{1,0} fusion(%table, %i), kind=kLoop, calls=%fused_slice, \
metadata={op_name="jit(f)/while/body/dynamic_slice" stack_frame_id=2}
  %write = f32[1000,512]{1,0} fusion(%table, %read, %i), kind=kLoop, calls=%fused_write
  ROOT %out = (s32[], f32[1000,512]{1,0}) tuple(%i, %write)
}

%condition (arg: (s32[], f32[1000,512])) -> pred[] {
  %arg = (s32[], f32[1000,512]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

%little (arg: bf16[4096,256]) -> bf16[4096,256] {
  ROOT %arg = bf16[4096,256]{1,0} parameter(0)
}

%much (arg: bf16[4096,256]) -> bf16[4096,256] {
  %arg = bf16[4096,256]{1,0} parameter(0)
  ROOT %copy = bf16[4096,256]{1,0} copy(%arg)
}

ENTRY %main (x: bf16[4096,256], w: bf16[256,1024], n: s32[], t: f32[1000,512]) -> pred[] {
  %x = bf16[4096,256]{1,0} parameter(0)
  %w = bf16[256,1024]{1,0} parameter(1)
  %n = s32[] parameter(2)
  %t = f32[1000,512]{1,0} parameter(3)
  %gemm = (bf16[4096,1024]{1,0}, s8[4194304]{0}) custom-call(%x, %w), \
custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{\
"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %start = (s32[], f32[1000,512]{1,0}) tuple(%n, %t)
  %known = (s32[], f32[1000,512]{1,0}) while(%start), condition=%condition, body=%body, \
metadata={op_name="jit(f)/while" stack_frame_id=2}, \
backend_config={"known_trip_count":{"n":"16"}}
  %unknown = (s32[], f32[1000,512]{1,0}) while(%known), condition=%condition, body=%body, \
metadata={op_name="jit(f)/while" stack_frame_id=2}
  %chosen = bf16[4096,256]{1,0} conditional(%n, %x, %x), branch_computations={%little, %much}
  ROOT %done = pred[] custom-call(%chosen), custom_call_target="finish"
}
"""
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
        "tests/benchmarks/test_gpu_program.py:"
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


def test_rows_are_compared_with_those_of_the_same_program(tmp_path):
    row = {"device": "x", "program": "learner", "batch": 64, "ms_per_update": 8.0, "gone": 1}
    path = tmp_path / "before.json"
    path.write_text(json.dumps({"rows": [row, row | {"batch": 128, "ms_per_update": 9.0}]}))
    before = show.saved_rows(path)
    now = {"device": "x", "program": "learner", "batch": 64, "ms_per_update": 2.0, "new": 3}
    assert show.compared(before, now).splitlines() == [
        "  ms_per_update: 8.0 -> 2.0, times 0.250",
        "  new: 3, none before",
    ]
    assert "no earlier row" in show.compared(before, now | {"batch": 7})
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected a result of the benchmark gpu_program"):
        show.saved_rows(path)


def test_cards_are_described_in_xlas_words():
    text = gpu_compile.target_config(CARDS["3080"])
    assert "major: 8 minor: 6" in text and "core_count: 68" in text
    assert text.count("{") == text.count("}")


def test_without_the_plugin_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(gpu_compile.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        gpu_program.main(["--programs", "engine"])
    problem = capsys.readouterr().err
    assert ended.value.code == 2 and "install zebjax[cuda12]" in problem
    assert problem.count("\n") == 1


def predictions(folder, device, **row):
    row = {"device": device, "source": "predicted", "date": "2026-11-26T00:00:00"} | row
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(
        json.dumps({"device": device, "source": "predicted", "rows": [row]})
    )


def test_the_table_says_which_rows_are_predicted(tmp_path, capsys):
    name = "NVIDIA GeForce RTX 3060"
    predictions(tmp_path, name, setting="original", predicted_games_per_s=12.0)
    predictions(tmp_path, name, setting="large", batch=64, predicted_updates_per_s=300.0)
    assert table.main(["--results", str(tmp_path), "--price", f"{name}=0.06"]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = "| 12.0 | 0.060 | 0.0050 | 1.39 | predicted, 2026-11-26 |"
    assert lines[-1] == f"| {name} | original {expected}"
    # A reader of measured speeds does not see them.
    assert speeds.read(tmp_path, {}) == []


def test_plans_take_predictions_from_the_results(tmp_path):
    assert speeds.predicted("original", tmp_path) == speeds.predicted("original", tmp_path / "no")
    predictions(tmp_path, CARDS["4070ti"].name, setting="original", predicted_games_per_s=68.0)
    predictions(tmp_path, CARDS["h100"].name, setting="original", predicted_games_per_s=400.0)
    predictions(tmp_path, CARDS["h100"].name, setting="recommended", predicted_games_per_s=4e3)
    predictions(
        tmp_path, CARDS["h100"].name, setting="large", batch=64, predicted_updates_per_s=900.0
    )
    found = speeds.predicted("original", tmp_path)
    assert found["RTX 4070 Ti"] == 68.0 and found["NVIDIA H100"] == 400.0
    # No roofline of this card: scaled by the published speeds.
    assert found["RTX 3080"] == pytest.approx(68 * 3.0 / 4.15)
    assert speeds.predicted("recommended", tmp_path)["RTX 4070 Ti"] == pytest.approx(680)
    assert plan.learners(tmp_path)["NVIDIA H100"] == (900.0, "predicted")


@pytest.mark.slow  # and needs 6 GB of NVIDIA's libraries
@pytest.mark.skipif(bool(gpu_compile.problem()), reason=f"compiles: {gpu_compile.problem()}")
def test_the_engine_is_compiled_for_a_gpu_that_is_not_there(tmp_path):
    out = tmp_path / "engine.json"
    asked = ["--gpus", "3060", "--programs", "engine", "--out", str(out), "--list", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_program", *asked],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        # The variables of this test run keep JAX on the CPU.
        env={name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"},
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["device"] == CARDS["3060"].name and row["source"] == "predicted"
    assert 1e7 < row["predicted_plies_per_s"] < 1e10 and row["temporary_mb"] > 0
    assert "zebjax/game.py:" in done.stdout


class Program:
    """Stands for a compiled program where there is no plugin to compile with."""

    def as_text(self):
        return PROGRAM

    def memory_analysis(self):
        return self

    temp_size_in_bytes = 3 << 20


def test_one_compiled_program_predicts_several_cards(tmp_path, monkeypatch, capsys):
    compiled_for = []

    def compiled(card, n_devices, function, *arguments):
        compiled_for.append(card.name)
        return Program()

    monkeypatch.setattr(gpu_compile, "prepare", lambda: None)
    monkeypatch.setattr(gpu_compile, "compiled", compiled)
    asked = ["--programs", "engine", "--gpus", "h100", "3060", "--compile-for", "h100"]
    monkeypatch.setattr(gpu_program.report, "RESULTS", tmp_path)
    assert gpu_program.main([*asked, "--list", "3", "--text", str(tmp_path / "texts")]) == 0
    assert compiled_for == [H100.name]
    (fast,), (slow,) = (
        show.saved_rows(next(tmp_path.glob(f"gpu-program-{name}-*.json")))
        for name in ("h100", "3060")
    )
    assert slow["device"] == CARDS["3060"].name and slow["compiled_for"] == H100.name
    assert slow["ms_per_run"] > fast["ms_per_run"] and slow["temporary_mb"] == 3
    assert len(list((tmp_path / "texts").iterdir())) == 1
    capsys.readouterr()
    # Comparing writes nothing; writing replaces the row of the same program.
    (saved,) = tmp_path.glob("gpu-program-h100-*.json")
    before = saved.read_text()
    assert gpu_program.main(["--programs", "engine", "--compare", str(saved)]) == 0
    assert "  as before" in capsys.readouterr().out and saved.read_text() == before
    assert gpu_program.main(["--programs", "engine", "--out", str(saved)]) == 0
    assert len(show.saved_rows(saved)) == 1 and compiled_for == [H100.name] * 3


def test_loops_of_unknown_length_have_turns_that_the_code_explains():
    """What does not fit into its part of a batch is rare; forced moves come a few in a row."""
    turns = programs._turns(True)
    overflow = ("/venv/zebjax/network/bucketing.py:218", "/venv/zebjax/search/tree.py:98")
    forced = ("/venv/zebjax/search/tree.py:339", "/venv/zebjax/training/selfplay.py:103")
    assert turns(overflow, 3) == 0 and turns(forced, 3) == 3
    assert turns(forced, 1) == 1  # the loop over moves: the cost of one is asked


def test_an_evaluation_starts_from_prepared_weights(monkeypatch):
    tiny = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    monkeypatch.setitem(network.PRESETS, "tiny", tiny)
    made = programs.evaluation("tiny", 8, 20, programs.Compute("bfloat16"))
    _, weights, seen = made.arguments
    assert weights.table.dtype == "bfloat16" and weights.belief_out is None
    assert seen.mask.shape == (8, 20)


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


@pytest.mark.parametrize("name", ["medium-outcomes", "medium-rollouts"])
def test_self_play_without_a_search_is_a_program(name):
    words = ["--programs", "selfplay", "search", "--settings", name, "--lanes", "16"]
    (program,) = gpu_program.planned(gpu_program._parser().parse_args(words))
    assert program.facts["setting"] == name and program.inner is None
    # Traced and not compiled: that needs the plugin.
    after = program.function.trace(*program.arguments).out_info
    assert after.finished.moves.shape[1:] == (28, 7, 2)


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


def test_rows_of_several_devices_are_in_the_table_and_not_taken_for_one(tmp_path, capsys):
    sent = {"simulation": {"all-reduce": {"number": 2.0, "mb": 0.25}}}
    one, eight = CARDS["h100"].name, f"8 x {CARDS['h100'].name}"
    predictions(tmp_path, one, setting="original", predicted_games_per_s=400.0)
    predictions(
        tmp_path, eight, setting="original", predicted_games_per_s=2e3, collectives=sent, devices=8
    )
    predictions(tmp_path, eight, setting="large", batch=64, predicted_updates_per_s=9e3)
    # Kernels that are not the default are not what a user gets.
    predictions(tmp_path, one, setting="original", predicted_games_per_s=900.0, kernels="xla")
    assert table.main(["--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith(f"| {eight} | original | 2000.0 |")
    assert said.endswith("| predicted, 2026-11-26, 2 collectives, 0.25 MB a simulation |")
    assert speeds.predicted("original", tmp_path)["NVIDIA H100"] == 400.0
    assert plan.learners(tmp_path)["NVIDIA H100"] == plan.LEARNERS["NVIDIA H100"]


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
