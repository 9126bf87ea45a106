"""The command `zebjax export`: a network as a page to play against, or for other programs."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from zebjax.common import cli

_OUTPUTS = ("html", "onnx")


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
        "(float32 [batch, 28, 3]). The metadata of the file explains all of them.",
        "bundled --html page.html",
        "bundled --onnx bundled.onnx",
        "runs/quickstart@8 --html page.html --onnx quickstart.onnx",
        usage="PATH [--html FILE.html] [--onnx FILE.onnx]",
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
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.table import options

    if all(getattr(arguments, name) is None for name in _OUTPUTS):
        wanted = " or ".join(f"--{name}" for name in _OUTPUTS)
        raise ValueError(f"expected {wanted}; see zebjax export --help")
    if arguments.onnx is not None:
        options.need_extra("onnx", "onnx")

    from zebjax import network
    from zebjax.common import files

    # Found once: the newest step of a run in progress may change between two searches.
    found = network.find(arguments.network)
    config, params = network.load(found)
    # All contents are made before the first is written: a network that one form cannot hold leaves
    # no file.
    contents: dict[Path, bytes] = {}
    if arguments.html is not None:
        from zebjax.table import export

        contents[arguments.html] = export.page(arguments.network, config, params).encode()
    if arguments.onnx is not None:
        from zebjax.network import onnx_file, storage

        training = storage.history(found)
        contents[arguments.onnx] = onnx_file.to_bytes(config, params, arguments.network, training)
    count = network.n_params(params)
    for file, data in contents.items():
        files.write_bytes(file, data)
        print(f"{file}: {len(data):,} bytes, a network of {count:,} parameters")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("export", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
