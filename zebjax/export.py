"""The command `zebjax export`: a network as a page, as an ONNX file, or on the Hub."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import cli, hub, parsing

if TYPE_CHECKING:
    from zebjax.network import Params, ZebConfig

_OUTPUTS = ("html", "onnx", "hub")


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "export",
        "Write a network in other forms, one or several at once:\n\n"
        "--html: a network and a table as one HTML file. It opens from disk in any browser, needs\n"
        "no server and asks for nothing elsewhere: weights in float16, forward pass and rules in\n"
        "plain JavaScript. The file can also be put on any static web server.\n\n"
        "--onnx: the network alone as one ONNX file in float32, for programs without JAX. Inputs\n"
        "are tokens (int8 [batch, 36, features]) and mask (bool [batch, 36]), as zebjax.observe\n"
        "makes them; outputs are policy_logits (float32 [batch, 7], by slot, unmasked), value\n"
        "(float32 [batch], -1 to 1 for the player to move) and, with a belief head, belief_logits\n"
        "(float32 [batch, 28, 3]), with a head for moves moves (float32 [batch, 7, 2]). The\n"
        "metadata of the file explains all of them.\n\n"
        "--hub: the network as a repository on the Hugging Face Hub: weights (safetensors),\n"
        "config, and a model card that says what it is, how it was made, how strong it is and how\n"
        "to use it. It plays from there as zeb:hf://USER/REPO. The token comes from HF_TOKEN or\n"
        "from `hf auth login`.",
        "bundled --html page.html",
        "bundled --onnx bundled.onnx",
        "runs/quickstart@8 --html page.html --onnx quickstart.onnx",
        "runs/quickstart --hub USER/REPO --public",
        usage="PATH [--html FILE.html] [--onnx FILE.onnx] [--hub USER/REPO]",
    )
    made.add_argument(
        "network",
        metavar="PATH",
        help="`bundled`, a run, a step of a run (runs/NAME@8), a network folder, or hf://USER/REPO",
    )
    made.add_argument(
        "--html",
        type=partial(cli.file_to_write, suffix=".html"),
        metavar="FILE.html",
        help="the page to write; an existing file is replaced",
    )
    made.add_argument(
        "--onnx",
        type=partial(cli.file_to_write, suffix=".onnx"),
        metavar="FILE.onnx",
        help="the ONNX file to write; an existing file is replaced; needs the extra onnx",
    )
    made.add_argument(
        "--hub",
        type=cli.checked(hub.repository),
        metavar="USER/REPO",
        help="the repository to write to, as one commit; it is created, private, if it is missing; "
        "needs the extra hub",
    )
    made.add_argument(
        "--public",
        action="store_true",
        help="with --hub: a repository that is created is public",
    )
    made.add_argument(
        "--ladder",
        type=cli.file_to_read,
        metavar="FILE.json",
        help="with --hub: what `zebjax arena --ladder zeb:PATH --json` printed, for the card "
        "(default: none, and the card says not rated; for `bundled` its ladder)",
    )
    return made


def _check(arguments: argparse.Namespace) -> None:
    """Raise ValueError for options that do not fit together or lack an extra."""
    from zebjax.table import options

    if all(getattr(arguments, name) is None for name in _OUTPUTS):
        wanted = parsing.either(f"--{name}" for name in _OUTPUTS)
        raise ValueError(f"expected {wanted}; see zebjax export --help")
    for name in ("public", "ladder"):
        if getattr(arguments, name) and arguments.hub is None:
            raise ValueError(f"--{name}: expected --hub with it")
    if arguments.onnx is not None:
        options.need_extra("onnx", "onnx")


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)

    from zebjax import network
    from zebjax.common import files
    from zebjax.network import card

    place = arguments.hub
    if place is not None:
        from zebjax.distributed import hub_network

        store = hub_network.open_repository(place.repo, arguments.public)
    # Found once: the newest step of a run in progress may change between two searches.
    found = network.find(arguments.network)
    config, params = network.load(found)
    # All contents are made before the first is written: a network that one form cannot hold leaves
    # nothing.
    contents = _contents(arguments, found, config, params)
    if place is not None:
        source = hub_network.Source(arguments.network, found, config, params)
        published = hub_network.contents(source, str(place), arguments.ladder)
    about = f"a network of {network.n_params(params):,} parameters"
    for file, data in contents.items():
        files.write_bytes(file, data)
        print(f"{file}: {len(data):,} bytes, {about}")
    if place is not None:
        hub_network.publish(store, published)
        print(f"{place}: {', '.join(published)}; {about}")
        print("next: " + "\n      ".join(card.matches(config, str(place))))
    return 0


def _contents(
    arguments: argparse.Namespace, found: Path, config: "ZebConfig", params: "Params"
) -> dict[Path, bytes]:
    """The files that are asked for."""
    made: dict[Path, bytes] = {}
    if arguments.html is not None:
        from zebjax.table import export

        made[arguments.html] = export.page(arguments.network, config, params).encode()
    if arguments.onnx is not None:
        from zebjax.network import onnx_file, storage

        training = storage.history(found)
        made[arguments.onnx] = onnx_file.to_bytes(config, params, arguments.network, training)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("export", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
