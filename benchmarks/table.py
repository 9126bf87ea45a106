"""Print a Markdown table of self-play speed and cost by device, with the original system's."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zebjax.common import cli
from zebjax.operations.rented.speeds import ORIGINAL, Row, read, read_predicted

from . import report

ABOUT = """Reads the results of the benchmarks `selfplay`, `all` and `gpu_program` (every *.json
in a folder) and the prices of devices; without a price the cost is `?`. Rows of `gpu_program` are
predicted: no device was measured, and the last column says so. Give devices the names in the
table's first column. The original's rows are the figures that its author published: 200 simulations
at each of 28 plies, 3.35 M parameters."""


def markdown(rows: list[Row]) -> str:
    """The table, the original's rows first."""
    lines = [
        "| device | setting | games/s | USD/hour | USD per game/s | USD per million games "
        "| measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for device, (speeds, prices) in ORIGINAL.items():
        speed, price = sum(speeds) / 2, sum(prices) / 2
        lines.append(
            _line(f"{device}, the original's code", "PUCT 200, large", speed, price, "2026-02")
        )
    lines += [
        _line(
            row.device,
            row.setting,
            row.games_per_s,
            row.usd_per_hour,
            _source(row),
        )
        for row in rows
    ]
    return "\n".join(lines)


def _source(row: Row) -> str:
    """When it was measured or predicted, and what several devices send to each other."""
    words = ["predicted"] * row.is_predicted + [row.date[:10]]
    return ", ".join(words + [row.collectives] * bool(row.collectives))


def _line(
    device: str, setting: str, games_per_s: float, usd_per_hour: float | None, date: str
) -> str:
    usd = "? | ? | ?"
    if usd_per_hour is not None and games_per_s > 0:
        per_million = usd_per_hour / 3600 / games_per_s * 1e6
        usd = f"{usd_per_hour:.3f} | {usd_per_hour / games_per_s:.4f} | {per_million:.2f}"
    return f"| {device} | {setting} | {games_per_s:.1f} | {usd} | {date} |"


def read_prices(path: Path | None, given: list[str]) -> dict[str, float]:
    """Read prices in USD per hour by device name.

    Args:
        path: a JSON file that maps device names to prices, or None.
        given: prices as NAME=USD; they override those of the file.

    Raises:
        ValueError: if a price is not a positive number.
    """
    prices: dict[str, Any] = {}
    if path is not None:
        try:
            prices = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error})") from None
        if not isinstance(prices, dict):
            raise ValueError(f"{path}: expected a JSON object of device names and USD per hour")
    prices |= dict(text.rpartition("=")[::2] for text in given)
    for device, price in prices.items():
        try:
            prices[device] = float(price)
        except (TypeError, ValueError):
            raise ValueError(
                f"price of {device or '?'}: expected NAME=USD per hour, got {price!r}"
            ) from None
        if not 0 < prices[device] < 1e6:
            raise ValueError(
                f"price of {device or '?'}: expected a positive number of USD per hour, got "
                f"{price!r}"
            )
    return prices


def unmatched(rows: list[Row], prices: dict[str, float]) -> str:
    """Return a message that names the prices without a result; "" if there are none."""
    devices = sorted({row.device for row in rows})
    names = [repr(name) for name in prices if name not in devices]
    if not names:
        return ""
    known = ", ".join(map(repr, devices)) or "none"
    return f"no result for the price of {', '.join(names)}; the devices with results are: {known}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = report.parser("table", f"{__doc__}\n\n{ABOUT}", '--price "AMD EPYC, 2 cores=0.10"')
    parser.add_argument(
        "--results",
        type=cli.folder,
        default=report.RESULTS,
        metavar="DIR",
        help="folder of results (default %(default)s)",
    )
    parser.add_argument(
        "--prices",
        type=cli.file_to_read,
        metavar="FILE",
        help="JSON object of device names and USD per hour",
    )
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="NAME=USD",
        help="price of one device in USD per hour; can be repeated",
    )
    args = parser.parse_args(argv)
    try:
        prices = read_prices(args.prices, args.price)
        rows = read(args.results, prices) + read_predicted(args.results, prices)
        # A file of prices may list devices that were not measured: warn. A typed price may not.
        if args.price and (problem := unmatched(rows, read_prices(None, args.price))):
            raise ValueError(f"--price: {problem}")
        if args.prices and (problem := unmatched(rows, read_prices(args.prices, []))):
            print(f"{parser.prog}: {args.prices}: {problem}", file=sys.stderr)
        shown = markdown(rows)
    except (ValueError, OSError) as error:
        parser.error(cli.said(error))
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(report.run("table", main))
