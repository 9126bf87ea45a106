"""Known speeds of self-play by GPU: measured by the benchmarks, published, or predicted."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.operations.rented.ranking import key
from zebjax.training.config import Experiment

# GPU -> (lowest, highest) games/s and USD per hour, as the original's author published them.
ORIGINAL = {
    "RTX 4070 Ti": ((4.1, 4.2), (0.074, 0.090)),
    "RTX 4070": ((3.2, 3.4), (0.079, 0.081)),
    "RTX 3080": ((3.0, 3.0), (0.079, 0.079)),
    "RTX 3080 Ti": ((2.7, 2.8), (0.084, 0.084)),
    "RTX 3070 Ti": ((2.6, 2.7), (0.084, 0.084)),
}
PREDICTED = {
    "original": {"RTX 4070 Ti": 34.0, "NVIDIA H100": 200.0},
    "recommended": {"NVIDIA H100": 3200.0},
}
"""Games/s by setting, from the roofline of the program compiled for these GPUs, for an installed
zebjax without the benchmarks' results."""
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
"""The benchmarks' results in a checkout; an installed zebjax has none."""


class Row(NamedTuple):
    """The speed of one device with one setting."""

    device: str
    setting: str
    games_per_s: float
    usd_per_hour: float | None
    date: str
    is_predicted: bool = False
    """True for a roofline of the compiled program; no device was measured."""
    collectives: str = ""
    """With several devices: what they send to each other in one simulation."""


class Known(NamedTuple):
    """A speed, and how it is known."""

    games_per_s: float
    source: str
    """`measured, DATE` or `predicted`."""


def read(folder: Path, prices: dict[str, float]) -> list[Row]:
    """Read the self-play rows of all results in a folder: for each device and setting the fastest
    row of the newest measurement.

    Args:
        folder: the folder of the benchmarks' JSON files.
        prices: USD per hour by device name.

    Raises:
        ValueError: if the folder does not exist, or a file in it is not a benchmark's result.
    """
    found = []
    for path, result in _results(folder):
        for row in rows(result):
            if "games_per_s" not in row:
                continue
            if "setting" not in row or not {"device", "cpu", "cores", "date"} <= set(result):
                raise ValueError(f"{path}: expected a result of the benchmark selfplay or all")
            device, date = device_name(result), result["date"]
            found.append(Row(device, row["setting"], row["games_per_s"], prices.get(device), date))
    return _best(found)


def read_predicted(folder: Path, prices: dict[str, float]) -> list[Row]:
    """Read the predicted self-play rows, those of the benchmark gpu_program, in a folder.

    Args:
        folder: the folder of the benchmarks' JSON files.
        prices: USD per hour by device name.

    Raises:
        ValueError: as `read`.
    """
    found = []
    for path, result in _results(folder):
        for row in rows(result):
            # Rows with `kernels` are of other kernels than the default.
            if "predicted_games_per_s" not in row or "kernels" in row:
                continue
            if not {"device", "setting", "date"} <= set(row):
                raise ValueError(f"{path}: expected a result of the benchmark gpu_program")
            device, speed = row["device"], row["predicted_games_per_s"]
            sent = _collectives(row)
            found.append(
                Row(device, row["setting"], speed, prices.get(device), row["date"], True, sent)
            )
    return _best(found)


def _collectives(row: dict[str, Any]) -> str:
    """The collectives of a simulation in a row of the benchmark gpu_program; "" without them."""
    by_unit = row.get("collectives")
    sent = by_unit.get("simulation") if isinstance(by_unit, dict) else None
    if not isinstance(sent, dict):
        return ""
    n, mb = (sum(of_kind[name] for of_kind in sent.values()) for name in ("number", "mb"))
    return f"{n:g} collectives, {mb:.2f} MB a simulation"


def _results(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """All benchmarks' results in a folder, by path."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected a folder of benchmark results")
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error}); expected a benchmark's result") from None
        if isinstance(result, dict):
            found.append((path, result))
    return found


def _best(found: list[Row]) -> list[Row]:
    """The fastest row of the newest date for each device and setting, in the order of the table."""
    best: dict[tuple[str, str], Row] = {}
    for new in found:
        known = best.get((new.device, new.setting))
        if known is None or (new.date, new.games_per_s) > (known.date, known.games_per_s):
            best[new.device, new.setting] = new
    return sorted(
        best.values(), key=lambda row: (row.device, row.setting != "original", row.setting)
    )


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a benchmark's result, also those of its parts."""
    parts = [result, *(p for p in result.get("parts", {}).values() if isinstance(p, dict))]
    return [row for part in parts for row in part.get("rows", [])]


def device_name(result: dict[str, Any]) -> str:
    """The device of a benchmark's result, as in the tables of the benchmarks."""
    name: str = result["device"]
    if name == "cpu":
        name = f"{result['cpu']}, {result['cores']} cores"
    return f"{result['devices']} x {name}" if result.get("devices", 1) > 1 else name


def predicted(setting: str, folder: Path = RESULTS) -> dict[str, float]:
    """Predicted games/s of zebjax by device: the results of the benchmark gpu_program, or without
    them `PREDICTED`. A card without a roofline gets that of the RTX 4070 Ti, scaled by the
    published speeds of the two cards; a setting without one that of the original setting, scaled
    as on the H100.

    Raises:
        ValueError: if a result cannot be read.
    """
    tables = {name: dict(speeds) for name, speeds in PREDICTED.items()}
    for row in read_predicted(folder, {}) if folder.is_dir() else ():
        if is_several(row.device):
            continue
        known = tables.setdefault(row.setting, {})
        for name in [name for name in known if key(name) == key(row.device)]:
            del known[name]
        known[usual_name(row.device)] = row.games_per_s
    base, here = tables["original"], tables[setting]
    factor = here["NVIDIA H100"] / base["NVIDIA H100"]
    best = sum(ORIGINAL["RTX 4070 Ti"][0])
    scaled = {
        name: base["RTX 4070 Ti"] * factor * sum(speeds) / best
        for name, (speeds, _) in ORIGINAL.items()
    }
    return scaled | here


def is_several(device: str) -> bool:
    """True for the name of several devices, as `8 x NVIDIA H100`."""
    return re.match(r"\d+ x ", device) is not None


def usual_name(device: str) -> str:
    """The name of a card in these tables, from the one that its driver reports."""
    return "NVIDIA H100" if "H100" in device else device.replace("NVIDIA GeForce ", "")


def setting_of(settings: Experiment) -> str:
    """The benchmark's setting that plays as this experiment does; "" if there is none."""
    search = settings.selfplay.search
    is_timed = settings.selfplay.method == "search" and search.worlds == "true"
    if settings.network.embed_dim != 256 or not is_timed:
        return ""
    kinds = {("puct", 200): "original", ("gumbel", 16): "recommended"}
    return kinds.get((search.policy, search.sims), "")


def known(setting: str, folder: Path = RESULTS) -> dict[str, Known]:
    """Known games/s of one worker by `ranking.key(GPU)`, measured ones before predicted ones.

    Raises:
        ValueError: if a result cannot be read.
    """
    if not setting:
        return {}
    found = {key(gpu): Known(speed, "predicted") for gpu, speed in predicted(setting).items()}
    if folder.is_dir():
        for row in read(folder, {}):
            if row.setting == setting:
                found[key(row.device)] = Known(row.games_per_s, f"measured, {row.date[:10]}")
    return found
