"""The command `zebjax convert`: convert checkpoints of the original PyTorch system to zebjax and
back, and its example batches to GameRecords.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax.common import cli, console

_DESCRIPTION = """\
Convert a checkpoint of the original PyTorch system into a network folder (config.json,
model.safetensors and a model card), from which zebjax plays and trains, or back. PyTorch is not
needed, and nothing in the file is executed.

CHECKPOINT is a .pt or .safetensors file, or one on the Hugging Face Hub:
hf://USER/REPO/FILE.pt[@REVISION], or hf://USER/REPO for its model.safetensors or model.pt. A plain
state_dict NAME.pt needs NAME-config.json beside it (config.json for model.pt). A training
checkpoint contains its network's configuration; its optimiser, random states and replay buffer are
skipped, and a prefix that all its tensors share, such as module., is removed.

With --examples, convert batches of self-play examples. The complete games of each batch are
replayed and written to OUT/<name>.safetensors. OUT may exist; training reads it with
--teacher.folder. If a file cannot be used, the reason is printed, the others are converted, and
the exit status is 2.
"""


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "convert",
        _DESCRIPTION,
        "zeb-557k-1m.pt out/zeb-557k",
        "zeb-557k-1m.pt out/zeb-557k-belief --belief-head fresh --seed 1",
        "--to-torch out/zeb-557k back.pt",
        "--examples examples_selfplay.pt out/games",
        usage="[--belief-head {keep,fresh}] [--seed N] CHECKPOINT.pt OUT\n"
        "--to-torch CHECKPOINT OUT.pt\n"
        "--examples EXAMPLES.pt [MORE.pt ...] OUT",
    )
    made.add_argument(
        "source",
        type=Path,
        metavar="CHECKPOINT",
        help="a .pt or .safetensors file, or hf://...; with --to-torch, a network folder or a run",
    )
    made.add_argument(
        "more", type=Path, nargs="*", default=[], metavar="MORE", help="more files, with --examples"
    )
    made.add_argument(
        "destination",
        type=Path,
        metavar="OUT",
        help="the folder or file to write; must not exist yet, except with --examples",
    )
    made.add_argument(
        "--belief-head",
        choices=("keep", "fresh"),
        help="keep: as in the file (the default); fresh: add a randomly initialised belief head "
        "to weights without one",
    )
    made.add_argument(
        "--seed",
        type=cli.integer(0, 2**32 - 1),
        metavar="N",
        help="seed of the fresh belief head (default 0)",
    )
    made.add_argument(
        "--to-torch",
        action="store_true",
        help="write a PyTorch state_dict from a checkpoint of zebjax",
    )
    made.add_argument(
        "--examples", action="store_true", help="convert batches of self-play examples, see above"
    )
    return made


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments and check them against each other."""
    made = parser()
    arguments = made.parse(argv)
    if arguments.examples:
        if arguments.to_torch or arguments.belief_head or arguments.seed is not None:
            made.error("--examples cannot be used with --to-torch, --belief-head or --seed")
        if arguments.destination.suffix == ".pt":
            made.error(f"expected OUT at the end, a folder, got {arguments.destination}")
    elif arguments.more:
        made.error(
            f"expected one CHECKPOINT and OUT, got {2 + len(arguments.more)} names; --examples "
            "takes several"
        )
    if arguments.to_torch and arguments.belief_head:
        made.error("--belief-head cannot be used with --to-torch")
    if arguments.seed is not None and arguments.belief_head != "fresh":
        made.error("--seed can only be used with --belief-head fresh")
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    if arguments.examples:
        return _examples([arguments.source, *arguments.more], arguments.destination)
    print(_to_torch(arguments) if arguments.to_torch else _from_torch(arguments))
    return 0


def _from_torch(arguments: argparse.Namespace) -> str:
    """Convert a checkpoint; return a line that describes it."""
    from zebjax import network
    from zebjax.torch_compat import weights as torch_weights

    provenance = torch_weights.convert(
        arguments.source,
        arguments.destination,
        belief_head=arguments.belief_head or "keep",
        seed=arguments.seed or 0,
    )
    config, params = network.load(arguments.destination)
    trained = [
        f"{count:,} {name}" if name == "games" else f"step {count:,}"
        for name, count in (("step", provenance.step), ("games", provenance.total_games))
        if count is not None
    ]
    facts = [
        f"{network.n_params(params):,} parameters",
        f"{config.n_layers} layers of {config.embed_dim}",
        f"belief head: {provenance.belief_head}",
        f"{provenance.layout} layout",
        *([f"prefix {provenance.prefix!r} removed"] if provenance.prefix else []),
        *trained,
    ]
    return f"{arguments.destination}: {', '.join(facts)}"


def _to_torch(arguments: argparse.Namespace) -> str:
    """Write a PyTorch checkpoint; return a line that names its files."""
    from zebjax.torch_compat import weights as torch_weights

    files = torch_weights.to_torch(arguments.source, arguments.destination)
    return f"wrote {', '.join(map(str, files))}"


def _examples(sources: list[Path], folder: Path) -> int:
    """Convert every batch that can be read; return the exit status, 2 if one was refused."""
    from zebjax.torch_compat import examples as torch_examples
    from zebjax.torch_compat.pickle import shown

    refused = 0
    for source in sources:
        try:
            path, metadata = torch_examples.convert(source, folder)
            games = console.counted(metadata.games, "game")
            facts = f"{games}, {metadata.source}, worker {shown(metadata.worker)}"
            print(f"{path}: {facts}, step {metadata.model_step:,}", flush=True)
        except (ValueError, OSError) as error:
            refused += 1
            cli.complain("convert", error)
    if refused and len(sources) > 1:
        cli.complain("convert", f"refused {refused:,} of {len(sources):,} files")
    return 2 if refused else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("convert", _run, _parse(argv), compiles=False)


if __name__ == "__main__":
    sys.exit(main())
