"""Honest policy iteration of the small network: play and label games, fit, repeat.

A round plays games by the network of the round before, labels every legal move by the outcome when
all go on by that network (`small_games`), and fits the network to the games of the last rounds
(`small_fit`). The first network knows nothing: it plays at random.

Every file is written when it is complete, and settings and numbers determine its contents, so the
same call resumes a stopped run.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from zebjax.common import charts, files
from zebjax.evaluation import matches
from zebjax.evaluation.intervals import Z95
from zebjax.small import storage
from zebjax.small.network import Widths
from zebjax.training import labelled_games, small_descent, small_fit, small_games, small_match
from zebjax.training.labelled_games import Games
from zebjax.training.small_config import Settings
from zebjax.training.small_descent import Fit, Params

GAMES_PER_FILE = 1000
MATCH_DEALS = 2000
"""Paired deals of each network's match against random play, the same for all."""
_MATCH_STREAM = 0x100C
"""Folded into the seed of these deals."""
_SETTINGS_FILE = "settings.json"


class Round(NamedTuple):
    """What a round reports."""

    number: int
    """From 1."""
    n_games: int
    """Games played in all rounds so far."""
    before: np.ndarray
    """Losses of the network that played, on the new games, as `small_fit.judge`."""
    after: np.ndarray
    """Losses of the fitted network in the last tenth of its updates."""
    win_rate: float
    """Of the fitted network against random play, over `MATCH_DEALS` paired deals."""
    win_rate_ci95: float
    """Half of the width of its 95 % interval."""


OnProgress = Callable[[float, str], None]
"""Called with the share of the run that is done, and what is being done."""


def run(
    settings: Settings,
    out: Path,
    threads: int,
    on_progress: OnProgress,
    on_round: Callable[[Round], None],
) -> int:
    """Run or resume policy iteration in the folder `out`.

    Args:
        settings: of the run. A folder of other settings is refused, but for `rounds`.
        out: receives `round_NN.safetensors` (networks for `small:PATH`) and what resuming needs.
        threads: number of threads; they do not change the result.
        on_progress: see `OnProgress`.
        on_round: called after every round that is run now.

    Returns:
        The number of finished rounds; more than `settings.rounds` in a folder that has more.

    Raises:
        ValueError: if `out` belongs to other settings, a file in it is damaged, or a fit diverged.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_settings(settings, out)
    done = _last_round(out)
    params = (
        _load_params(_params_file(out, done), settings)
        if done >= 0
        else small_descent.init(widths_of(settings), settings.seed)
    )
    for number in range(done + 1, settings.rounds):

        def show(part: float, doing: str, number: int = number) -> None:
            on_progress((number + part) / settings.rounds, f"round {number + 1}: {doing}")

        new = _games_of_round(settings, out, number, params, threads, show)
        before = small_fit.judge(small_descent.net_of(params), new, threads)
        old = [
            labelled_games.read(file)
            for earlier in range(max(0, number + 1 - settings.window), number)
            for file in _games_files(settings, out, earlier)
        ]
        show(0.8, "fitting")
        how = Fit(settings.passes, rate=settings.rate_of(number), decay=settings.decay)
        seed = (settings.seed, number)
        errors = small_fit.fit(params, labelled_games.join([*old, new]), how, seed, threads)
        if not np.isfinite(errors).all():
            raise ValueError(
                f"{out}: round {number + 1} diverged; start again in another folder with a lower "
                "--rate"
            )
        net = small_descent.net_of(params)
        margins = small_match.against_random(
            net, MATCH_DEALS, (settings.seed, _MATCH_STREAM), threads
        )
        win_rate, stderr, _ = matches.mean_and_stderr(matches.pair_scores(margins))
        total = sum(settings.games_of(n) for n in range(number + 1))
        facts = {
            "round": str(number + 1),
            "games": str(total),
            "vs_random": f"{win_rate:.4f}",
            "vs_random_ci95": f"{Z95 * stderr:.4f}",
        }
        storage.save(out / f"round_{number + 1:02}.safetensors", net, facts)
        _save_params(_params_file(out, number), params)
        _forget(settings, out, number)
        draw(out)
        after = errors[-max(1, len(errors) // 10) :].mean(0)
        on_round(Round(number + 1, total, before, after, win_rate, Z95 * stderr))
    return max(done + 1, settings.rounds)


def _check_settings(settings: Settings, out: Path) -> None:
    file, plain = out / _SETTINGS_FILE, dataclasses.asdict(settings)
    plain.pop("rounds")
    if not file.exists():
        files.write_json(file, plain)
        return
    found = files.read_json(file, 1 << 16)
    if not isinstance(found, dict) or set(found) != set(plain):
        raise ValueError(
            f"{file}: not the settings of `zebjax iterate` of this version; choose another folder"
        )
    for name, value in plain.items():
        if found[name] != value:
            raise ValueError(
                f"{out}: made with other settings ({name} is {found[name]}, now {value}); choose "
                "another folder, or the same settings"
            )


def _last_round(out: Path) -> int:
    """Return the number of the last finished round, from 0; -1 if there is none."""
    names = (file.stem.partition("_")[2] for file in out.glob("params_*.safetensors"))
    return max((int(name) for name in names if name.isdecimal()), default=0) - 1


def _params_file(out: Path, number: int) -> Path:
    return out / f"params_{number + 1:02}.safetensors"


def _games_files(settings: Settings, out: Path, number: int) -> list[Path]:
    n = math.ceil(settings.games_of(number) / GAMES_PER_FILE)
    return [out / f"games_{number + 1:02}_{index:03}.safetensors" for index in range(n)]


def _games_of_round(
    settings: Settings, out: Path, number: int, params: Params, threads: int, show: OnProgress
) -> Games:
    net, parts = small_descent.net_of(params), []
    left, places = settings.games_of(number), _games_files(settings, out, number)
    for index, file in enumerate(places):
        show(0.8 * index / len(places), "playing")
        n = min(left, GAMES_PER_FILE)
        left -= n
        if not file.exists():
            seed = (settings.seed, number, index)
            games = small_games.play(net, n, seed, settings.explore, threads)
            labelled_games.write(file, games)
        parts.append(labelled_games.read(file))
    return labelled_games.join(parts)


def widths_of(settings: Settings) -> Widths:
    """Return the widths of the networks of a run."""
    return Widths(*(getattr(settings, name) for name in Widths._fields))


def _load_params(file: Path, settings: Settings) -> Params:
    arrays = labelled_games.read_arrays(file)
    wanted = small_descent.init(widths_of(settings), 0)
    shapes = {name: field.shape for name, field in wanted._asdict().items()}
    labelled_games.check_arrays(file, arrays, shapes, np.float32)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{file}: array {name} is not finite")
    return Params(**arrays)


def _save_params(file: Path, params: Params) -> None:
    with files.writing(file):
        files.write_bytes(file, safetensors.numpy.save(params._asdict()))


def _forget(settings: Settings, out: Path, number: int) -> None:
    """Delete what no later round needs."""
    for earlier in range(number):
        _params_file(out, earlier).unlink(missing_ok=True)
        if earlier <= number + 1 - settings.window:
            for file in _games_files(settings, out, earlier):
                file.unlink(missing_ok=True)


def draw(out: Path) -> None:
    """Draw the win rates of the networks in a run's folder over their games, as `curve.png`."""
    points = []
    for file in sorted(out.glob("round_*.safetensors")):
        try:
            with safetensors.safe_open(file, "numpy") as opened:
                facts = opened.metadata() or {}
        except (safetensors.SafetensorError, OSError):  # an old network, damaged: only a point less
            continue
        if "vs_random" in facts:  # networks of earlier versions have none
            points.append([float(facts[name]) for name in ("games", "vs_random", "vs_random_ci95")])
    games, rates, halves = np.array(sorted(points)).T
    figure = charts.new_figure(6, 4)
    axes = figure.subplots()
    axes.errorbar(games, 100 * rates, 100 * halves, marker="o", capsize=3)
    axes.set(xlabel="games", ylabel="wins against random, %", title=f"policy iteration, {out.name}")
    axes.grid(alpha=0.3)
    charts.save_figure(figure, out / "curve.png")
