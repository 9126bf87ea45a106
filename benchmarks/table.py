"""Print a Markdown table of self-play speed and cost by device, with the original system's."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import report

ABOUT = """Reads the results of the benchmarks `selfplay` and `all` (every *.json in a folder) and
the prices of devices; without a price the cost is `?`. Give devices the names in the table's first
column. The original's rows are the figures that its author published: 200 simulations at each of
28 plies, 3.35 M parameters."""

# GPU -> (lowest, highest) games/s and USD per hour, as the original's author published them.
ORIGINAL = {
    "RTX 4070 Ti": ((4.1, 4.2), (0.074, 0.090)),
    "RTX 4070": ((3.2, 3.4), (0.079, 0.081)),
    "RTX 3080": ((3.0, 3.0), (0.079, 0.079)),
    "RTX 3080 Ti": ((2.7, 2.8), (0.084, 0.084)),
    "RTX 3070 Ti": ((2.6, 2.7), (0.084, 0.084)),
}


class Row(NamedTuple):
    """The speed of one device with one setting."""

    device: str
    setting: str
    games_per_s: float
    usd_per_hour: float | None
    date: str


def read(folder: Path, prices: dict[str, float]) -> list[Row]:
    """Read the self-play rows of all results in a folder: for each device and setting the fastest
    row of the newest measurement.

    Args:
        folder: the folder of the benchmarks' JSON files.
        prices: USD per hour by device name.

    Raises:
        ValueError: if the folder does not exist, or a file in it is not a benchmark's result.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected a folder of benchmark results")
    best: dict[tuple[str, str], Row] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error}); expected a benchmark's result") from None
        if not isinstance(result, dict):
            continue
        parts = [
            result,
            *(part for part in result.get("parts", {}).values() if isinstance(part, dict)),
        ]
        rows: list[dict[str, Any]] = [
            row for part in parts for row in part.get("rows", []) if "games_per_s" in row
        ]
        for row in rows:
            if not {"setting", "games_per_s"} <= set(row) or not {
                "device",
                "cpu",
                "cores",
                "date",
            } <= set(result):
                raise ValueError(f"{path}: expected a result of the benchmark selfplay or all")
            device = device_name(result)
            new = Row(
                device, row["setting"], row["games_per_s"], prices.get(device), result["date"]
            )
            known = best.get((new.device, new.setting))
            if known is None or (new.date, new.games_per_s) > (known.date, known.games_per_s):
                best[new.device, new.setting] = new
    return sorted(
        best.values(), key=lambda row: (row.device, row.setting != "original", row.setting)
    )


def device_name(result: dict[str, Any]) -> str:
    """The device of a benchmark's result, as in the first column of the table."""
    name: str = result["device"]
    if name == "cpu":
        name = f"{result['cpu']}, {result['cores']} cores"
    return f"{result['devices']} x {name}" if result.get("devices", 1) > 1 else name


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
        _line(row.device, row.setting, row.games_per_s, row.usd_per_hour, row.date[:10])
        for row in rows
    ]
    return "\n".join(lines)


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
        type=Path,
        default=report.RESULTS,
        metavar="DIR",
        help="folder of results (default %(default)s)",
    )
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="JSON object of device names and USD per hour"
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
        rows = read(args.results, read_prices(args.prices, args.price))
        # A file of prices may list devices that were not measured: warn. A typed price may not.
        if args.price and (problem := unmatched(rows, read_prices(None, args.price))):
            raise ValueError(f"--price: {problem}")
        if args.prices and (problem := unmatched(rows, read_prices(args.prices, []))):
            print(f"{parser.prog}: {args.prices}: {problem}", file=sys.stderr)
        shown = markdown(rows)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
