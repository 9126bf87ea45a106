"""Predict speeds on a GPU that is not there, from the program that XLA compiles for it."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.common import cli, files

from . import report
from .gpu import cards, hlo, programs, roofline, show
from .gpu import compile as gpu_compile
from .gpu.cards import CARDS, Card

ABOUT = """Nothing is measured: all figures are predicted. XLA compiles for a described GPU; that
needs zebjax[cuda12] (6 GB), but no GPU and no driver. The optimised program tells the kernels of
each loop, their bytes and their matrix products. A kernel takes at least 3 us; it moves its bytes
at 60 % of the bandwidth and multiplies at 45 % of the peak. The host waits 11 us for a
`conditional` and for each turn of a loop of unknown length, whose turns are assumed. These
constants are fitted to 16 programs that were compiled on an H200, of which 15 are then predicted
within 10 %. A program compiled here, without tuning, differs: the rows of an H200 are 0 to 19 % too
fast (benchmarks/NOTES.md).

Known limits: cuBLAS and Triton are not tuned, caches and CUDA graphs are ignored, the branches of a
`conditional` are taken equally often. With --devices the collectives are listed by number and
bytes, but a link's time is not predicted: they count as memory traffic.

One program takes one to two minutes to compile."""
PROGRAMS = ("selfplay", "search", "network", "learner", "engine")
SETTINGS = tuple(programs.selfplay.SETTINGS)
LANES = {"original": 8192, "recommended": 16384}


def planned(args: argparse.Namespace) -> Iterator[programs.Program]:
    """The programs that the options ask for; made when requested."""
    compute = programs.Compute(args.compute_dtype, args.kernels)
    for name in args.programs:
        if name in ("selfplay", "search"):
            make = programs.self_play if name == "selfplay" else programs.one_search
            known = SETTINGS if name == "selfplay" else programs.selfplay.searched()
            for setting in (one for one in args.settings if one in known):
                yield make(setting, args.lanes or LANES.get(setting, 8192), compute)
        elif name == "network":
            yield programs.evaluation("large", args.positions, args.length, compute, args.devices)
        elif name == "learner":
            for batch in args.batches:
                yield programs.updates("large", batch, args.compute_dtype)
        else:
            yield programs.rules(2**17)


def row(
    program: programs.Program,
    entry: roofline.Part,
    card: Card,
    temporary: int,
    n_devices: int = 1,
) -> dict[str, Any]:
    """One row of results.

    Args:
        program: the program.
        entry: its prediction.
        card: the GPU.
        temporary: bytes of temporary memory.
        n_devices: number of GPUs that it was compiled for; its figures are those of each.
    """
    around = programs.unit(program, entry)
    cost = around.cost.times(1 / program.units)
    device = f"{n_devices} x {card.name}" if n_devices > 1 else card.name
    made: dict[str, Any] = {"device": device, "source": "predicted", **program.facts}
    made |= _figures(cost, program.unit)
    sent = {program.unit: show.collectives(around, program.units)}
    if (
        program.inner
        and program.unit != "update"
        and (loop := programs.inner_loop(program, around))
    ):
        made |= _figures(loop.cost, "simulation")
        sent["simulation"] = show.collectives(loop)
    if n_devices > 1:
        made["collectives"] = sent
    return made | {
        program.rate: round(program.per_unit / cost.seconds, 1),
        "temporary_mb": round(temporary / 2**20),
    }


def _figures(cost: roofline.Cost, unit: str) -> dict[str, float]:
    unit = unit.replace(" ", "_")
    return {
        f"kernels_per_{unit}": round(cost.kernels, 1),
        f"ms_per_{unit}": round(cost.seconds * 1e3, 4),
        f"gb_per_{unit}": round(cost.n_bytes / 1e9, 4),
        f"gflop_per_{unit}": round(cost.flop / 1e9, 2),
        f"host_waits_per_{unit}": round(cost.waits, 1),
    }


class Compiled(NamedTuple):
    """A program as it was compiled for one card."""

    module: hlo.Module
    temporary: int
    """Bytes of temporary memory."""
    seconds: float
    """Time of its compilation."""
    card: Card


def compiled(program: programs.Program, card: Card, n_devices: int, texts: Path | None) -> Compiled:
    """Compile one program; write its text into the folder `texts`, if there is one."""
    start = time.perf_counter()
    made = gpu_compile.compiled(card, n_devices, program.function, *program.arguments)
    seconds = time.perf_counter() - start
    text = made.as_text()
    if texts:
        values = [str(value) for value in program.facts.values()]
        values += [f"{n_devices}-x"] * (n_devices > 1)
        files.write_text(texts / f"{'-'.join([*values, card.name.replace(' ', '-')])}.txt", text)
    temporary = getattr(made.memory_analysis(), "temp_size_in_bytes", 0)
    return Compiled(hlo.parse(text), temporary, seconds, card)


def predicted(
    program: programs.Program, made: Compiled, card: Card, args: argparse.Namespace
) -> dict[str, Any]:
    """Predict a program on a card, print what was asked for, and return its row."""
    entry = roofline.predict(made.module, card, program.turns)
    found = row(program, entry, card, made.temporary, args.devices)
    found |= {"compiled_for": made.card.name, "compile_s": round(made.seconds, 1)}
    for name, sent in found.get("collectives", {}).items():
        print(show.collectives_text(name, sent))
    if args.tree:
        print(show.tree(entry))
    if args.list:
        print(show.largest(made.module, programs.unit(program, entry), args.list, program))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = report.parser_with_json(
        "gpu_program", f"{__doc__}\n\n{ABOUT}", "--programs learner --batches 64 --list 20"
    )
    add = parser.add_argument
    cards_help = f"of {', '.join(CARDS)} (default h100)"
    add("--gpus", nargs="+", choices=CARDS, default=["h100"], metavar="GPU", help=cards_help)
    add(
        "--compile-for",
        choices=CARDS,
        metavar="GPU",
        help="predict all cards from the program compiled for this one: the programs differ little "
        "(default: each from its own)",
    )
    add(
        "--programs",
        nargs="+",
        choices=PROGRAMS,
        default=list(PROGRAMS),
        metavar="NAME",
        help=f"of {', '.join(PROGRAMS)} (default all)",
    )
    add(
        "--settings",
        nargs="+",
        choices=SETTINGS,
        default=list(LANES),
        metavar="NAME",
        help="settings of self-play and search, as of the benchmark selfplay (default "
        "%(default)s); those without a search are programs of selfplay alone",
    )
    count = cli.integer(1, 2**20)
    add("--lanes", type=count, metavar="N", help=f"games at once (default {LANES})")
    add("--batches", type=count, nargs="+", default=[64, 4096], metavar="N", help="of the learner")
    add(
        "--positions",
        type=count,
        default=1024,
        metavar="N",
        help="of an evaluation (default %(default)s)",
    )
    add(
        "--length",
        type=cli.integer(1, 36),
        default=20,
        metavar="N",
        help="of each (default %(default)s)",
    )
    add(
        "--compute-dtype",
        choices=("float32", "bfloat16"),
        default="bfloat16",
        help="dtype of the matrix products (default %(default)s)",
    )
    add(
        "--kernels",
        choices=("auto", "xla"),
        default="auto",
        help="of the network in self-play, search and evaluations: with our own for attention on "
        "one GPU (auto, the default), or XLA's alone",
    )
    add(
        "--devices",
        type=cli.integer(1, 64),
        default=1,
        metavar="N",
        help="GPUs of one host that divide each batch; lanes and batch are for all together, other "
        "figures for one of them (default %(default)s)",
    )
    add("--list", type=count, metavar="N", help="list the N kernels with the most time in a unit")
    add("--tree", action="store_true", help="print the loops and branches of each program")
    add(
        "--compare",
        type=cli.file_to_read,
        metavar="FILE",
        help="print each row beside that of an earlier result; writes only with --out",
    )
    add("--text", type=cli.folder, metavar="DIR", help="write the compiled programs as text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        before = show.saved_rows(args.compare) if args.compare else []
        gpu_compile.prepare()
        if args.text:
            args.text.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    for program in planned(args):
        one = args.compile_for and compiled(
            program, CARDS[args.compile_for], args.devices, args.text
        )
        for name in args.gpus:
            card = CARDS[name]
            here = one or compiled(program, card, args.devices, args.text)
            made = predicted(program, here, card, args)
            report.show(made)
            if args.compare:
                print(show.compared(before, made))
            if not args.compare or args.out:
                label = f"{args.devices}x{name}" if args.devices > 1 else name
                _write(args.out or report.default_name("gpu-program", label), made, args.note)
    return 0


_ROOFLINE = {
    "launch_us": cards.LAUNCH_S * 1e6,
    "host_wait_us": cards.HOST_WAIT_S * 1e6,
    "bandwidth_share": cards.BANDWIDTH_SHARE,
    "flop_share": cards.FLOP_SHARE,
    "other_turns": programs.OTHER_TURNS,
    "overflow_turns": programs.OVERFLOW_TURNS,
}
"""Constants of the prediction, recorded in each result: none of them was measured."""


def _write(path: Path, made: dict[str, Any], note: str) -> None:
    """Put a row into a file of results, in place of an earlier one of the same program."""
    surroundings = report.surroundings(note)
    old = show.saved_rows(path) if path.exists() else []
    kept = [row for row in old if show.identity(row) != show.identity(made)]
    stamp = {name: surroundings[name] for name in ("date", "commit")}
    devices = {row["device"] for row in [*kept, made]}
    facts = {"device": " and ".join(sorted(devices)), "source": "predicted", "roofline": _ROOFLINE}
    facts |= {"versions": surroundings["versions"], "note": note}
    report.write(path, facts | {"rows": [*kept, made | stamp]})


if __name__ == "__main__":
    sys.exit(main())
