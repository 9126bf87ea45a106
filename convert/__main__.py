"""`python -m convert`: torch checkpoints of the original to ours, and back; its example batches to
GameRecords.
"""

import argparse
import sys
from pathlib import Path

from zebjax import network
from zebjax.torch_compat import examples as torch_examples
from zebjax.torch_compat import weights as torch_weights
from zebjax.torch_compat.pickle import shown

_DESCRIPTION = """\
Convert a checkpoint of the original PyTorch system into a network folder (config.json,
model.safetensors and a model card) that zebjax plays and trains from, or back. Torch is not
needed, and nothing in the file is executed.

CHECKPOINT is a .pt or .safetensors file, or one on the Hugging Face Hub:
hf://USER/REPO/FILE.pt[@REVISION], or hf://USER/REPO for its model.safetensors or model.pt. A
plain state_dict NAME.pt needs NAME-config.json beside it (config.json for model.pt). A training
checkpoint says itself what network it is of: its optimiser, random states and replay buffer are
passed over, and a prefix that all its tensors share, such as module., is removed.

With --examples, convert batches of self-play examples instead, each into
OUT_DIR/<name>.safetensors with its whole games, every one replayed; OUT_DIR may exist and can be
given to training as --teacher.folder. A file that cannot be used is refused with the reason, the
others are converted, and the exit status is 2.
"""
_EXAMPLES = """\
examples:
  python -m convert zeb-557k-1m.pt out/zeb-557k
  python -m convert zeb-557k-1m.pt out/zeb-557k-belief --belief-head fresh --seed 1
  python -m convert --to-torch out/zeb-557k back.pt
  python -m convert --examples examples_selfplay.pt out/games
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 if it converted, 2 if it could not, with the reason in one sentence on
    stderr.
    """
    arguments = _parse(argv)
    if arguments.examples:
        return _examples([arguments.source, *arguments.more], arguments.destination)
    try:
        print(_to_torch(arguments) if arguments.to_torch else _from_torch(arguments))
    except (ValueError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m convert",
        usage="%(prog)s [--belief-head {keep,fresh}] [--seed N] CHECKPOINT.pt OUT_DIR\n"
        "       %(prog)s --to-torch CHECKPOINT OUT.pt\n"
        "       %(prog)s --examples EXAMPLES.pt [MORE.pt ...] OUT_DIR",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="CHECKPOINT",
        help="a .pt or .safetensors file, or hf://...; with --to-torch, a folder of ours",
    )
    parser.add_argument(
        "more", type=Path, nargs="*", default=[], metavar="MORE", help="more files, with --examples"
    )
    parser.add_argument(
        "destination",
        type=Path,
        metavar="OUT",
        help="what to write; must not exist yet, but with --examples",
    )
    parser.add_argument(
        "--belief-head",
        choices=("keep", "fresh"),
        help="keep: as the file has it (the default); fresh: add a randomly initialised one to "
        "weights without",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the fresh belief head (default 0)"
    )
    parser.add_argument(
        "--to-torch", action="store_true", help="write a torch state_dict from a checkpoint of ours"
    )
    parser.add_argument(
        "--examples", action="store_true", help="convert batches of self-play examples, see above"
    )
    arguments = parser.parse_args(argv)
    if arguments.examples:
        if arguments.to_torch or arguments.belief_head or arguments.seed is not None:
            parser.error("--examples goes with none of --to-torch, --belief-head and --seed")
        if arguments.destination.suffix == ".pt":
            parser.error(f"expected OUT_DIR at the end, a folder, got {arguments.destination}")
    elif arguments.more:
        parser.error(
            f"expected one CHECKPOINT and OUT, got {2 + len(arguments.more)} names; --examples "
            "takes several"
        )
    if arguments.to_torch and arguments.belief_head:
        parser.error("--belief-head does not go with --to-torch")
    if arguments.seed is not None and arguments.belief_head != "fresh":
        parser.error("--seed only goes with --belief-head fresh")
    return arguments


def _from_torch(arguments: argparse.Namespace) -> str:
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
    files = torch_weights.to_torch(arguments.source, arguments.destination)
    return f"wrote {', '.join(map(str, files))}"


def _examples(sources: list[Path], folder: Path) -> int:
    """Convert batch after batch, the good ones whatever the others are like; the exit status."""
    refused = 0
    for source in sources:
        try:
            path, metadata = torch_examples.convert(source, folder)
            facts = f"{metadata.games:,} games, {metadata.source}, worker {shown(metadata.worker)}"
            print(f"{path}: {facts}, step {metadata.model_step:,}", flush=True)
        except (ValueError, OSError) as error:
            refused += 1
            print(f"convert: {error}", file=sys.stderr, flush=True)
    if refused and len(sources) > 1:
        print(f"convert: refused {refused:,} of {len(sources):,} files", file=sys.stderr)
    return 2 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
