"""The command `zebjax recap`: what a run did, as one page."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax.common import cli


def _page(text: str) -> Path:
    """An argparse type: the path of an HTML file to write."""
    return cli.file_to_write(text, ".html")


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "recap",
        "Write what a run did as one page: settings and their changes, milestones, phases,\n"
        "belief, strength, speed, cost, the fleet over time, warnings, and how to run it again.\n"
        "It is one HTML file without scripts or requests, and the same as Markdown. A run in\n"
        "progress is read as it is, and what is missing is named.",
        "runs/quickstart",
        "runs/lb-v-eq-3740/metrics.jsonl --out recap.html",
        "s3://my-bucket/zeb/lb-v-eq-3740",
    )
    made.add_argument(
        "run",
        metavar="RUN_OR_STORE",
        help="the folder of a run, its metrics.jsonl alone, or the URL of a store and the name of "
        "the run, as for `zebjax status`",
    )
    made.add_argument(
        "--out",
        type=_page,
        metavar="FILE.html",
        help="the page; the Markdown gets the same name with .md (default: recap.html beside the "
        "metrics; for a store NAME-recap.html in the current folder)",
    )
    made.add_argument(
        "--arena",
        type=cli.file_to_read,
        action="append",
        default=[],
        metavar="FILE",
        help="output of `zebjax arena --json`, besides the files in the folder arena of the run; "
        "can be repeated",
    )
    return made


def _default_out(where: str, name: str) -> Path:
    from zebjax.operations.recap.read import is_run

    path = Path(where)
    if path.is_file():
        return path.parent / "recap.html"
    if is_run(path):
        return path / "recap.html"
    return Path(f"{re.sub('[^A-Za-z0-9._-]', '-', name) or 'run'}-recap.html")


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.common import files
    from zebjax.operations.recap import html, markdown, page, read

    facts = read.read(arguments.run, arguments.arena)
    document = page.make(facts)
    out = arguments.out or _default_out(arguments.run, facts.name)
    written = {out: html.render(document), out.with_suffix(".md"): markdown.render(document)}
    for path, text in written.items():
        with files.writing(path):
            files.write_text(path, text)
        print(f"{path}: {len(text.encode()):,} bytes")
    for warning in document.warnings:
        print(f"warning: {warning}")
    for note in facts.notes:
        cli.complain("recap", note)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("recap", _run, parser().parse(argv), compiles=False)


if __name__ == "__main__":
    sys.exit(main())
