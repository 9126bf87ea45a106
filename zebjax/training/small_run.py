"""Honest policy iteration of the small network: play and label games, fit, repeat.

A round plays games by the network of the round before, labels every legal move by the outcome when
all go on by that network (`small_games`), and fits the network to the games of the last rounds
(`small_fit`). The first network knows nothing and plays at random, or is one that was trained
before (`Settings.start`).

Every file is written when it is complete, and settings and numbers determine its contents, so the
same call resumes a stopped run.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy

from zebjax.common import files
from zebjax.evaluation import matches
from zebjax.evaluation.intervals import Z95
from zebjax.players import small
from zebjax.small import storage
from zebjax.small.network import Net, Widths
from zebjax.training import (
    labelled_games,
    small_descent,
    small_fit,
    small_folder,
    small_games,
    small_match,
)
from zebjax.training.labelled_games import Games
from zebjax.training.small_config import Settings, option_of
from zebjax.training.small_descent import Fit, Params
from zebjax.training.small_folder import Round

GAMES_PER_FILE = 1000
MATCH_DEALS = 2000
"""Paired deals of each network's match against random play, the same for all."""
START_DEALS = 8000
"""The same against the network of `Settings.start`: half of the 95 % interval is some 0.5 %."""
_MATCH_STREAM = 0x100C
"""Folded into the seed of these deals."""


OnProgress = Callable[[float, str], None]
"""Called with the share of the run that is done, and what is being done."""


def run(
    settings: Settings,
    out: Path,
    threads: int,
    on_progress: OnProgress,
    on_begin: Callable[[list[Round]], None],
    on_round: Callable[[Round], None],
) -> int:
    """Run or resume policy iteration in the folder `out`.

    Args:
        settings: of the run. A folder of other settings is refused, but for `rounds`.
        out: receives `round_NN.safetensors` (networks for `small:PATH`; `round_00` is a copy of
            `settings.start`), `rounds.jsonl` (a `Round` a line), `curve.png`, and what resuming
            needs.
        threads: number of threads; they do not change the result.
        on_progress: see `OnProgress`.
        on_begin: called before the first round with the rounds that are finished already.
        on_round: called after every round that is run now, when its files are written.

    Returns:
        The number of finished rounds; more than `settings.rounds` in a folder that has more.

    Raises:
        ValueError: if `out` belongs to other settings or holds other files, a file in it is damaged
            or missing, a fit diverged, or the network to start with is missing or of other widths.
    """
    small_folder.require_own(out)
    start = _start_of(settings, out)
    out.mkdir(parents=True, exist_ok=True)
    _check_settings(settings, out, start)
    if start is not None:  # written each time, so that a damaged copy is mended
        storage.save(small_folder.network_file(out, -1), start, {})
    done = small_folder.n_finished(out)
    if done:
        params = _load_params(small_folder.state_file(out, done - 1), settings)
    elif start is None or settings.anew:
        params = small_descent.init(widths_of(settings), settings.seed)
    else:
        params = small_descent.params_of(start)
    net = small_descent.net_of(params) if done or start is None else start
    rounds = small_folder.read_log(out, done)
    if any(each.round == done for each in rounds):
        _complete(settings, out, params, rounds)  # a killed process may not have done that
    on_begin(rounds)
    for number in range(done, settings.rounds):
        began = time.monotonic()

        def show(part: float, doing: str, number: int = number) -> None:
            on_progress((number + part) / settings.rounds, f"round {number + 1}: {doing}")

        old = [
            _games_of_round(settings, out, earlier, None, threads, show)
            for earlier in range(max(0, number + 1 - settings.window), number)
        ]
        new = _games_of_round(settings, out, number, net, threads, show)
        before = small_fit.judge(net, new, threads)
        show(0.8, "fitting")
        if settings.anew:
            params = small_descent.init(widths_of(settings), settings.seed + number)
        rate = settings.rate_of(number)
        how = Fit(settings.passes, settings.batch, rate=rate, decay=settings.decay)
        seed = (settings.seed, number)
        errors = small_fit.fit(params, labelled_games.join([*old, new]), how, seed, threads)
        if not np.isfinite(errors).all():
            raise ValueError(
                f"{out}: round {number + 1} diverged; start again in another folder with a lower "
                "--rate"
            )
        net, match = small_descent.net_of(params), (settings.seed, _MATCH_STREAM)
        vs_random = _rate_of(small_match.against_random(net, MATCH_DEALS, match, threads))
        vs_start = (
            (None, None)
            if start is None
            else _rate_of(small_match.against(net, start, START_DEALS, match, threads))
        )
        after = errors[-max(1, len(errors) // 10) :].mean(0)
        finished = Round(
            round=number + 1,
            games=sum(settings.games_of(n) for n in range(number + 1)),
            vs_random=vs_random[0],
            vs_random_ci95=vs_random[1],
            value_error_before=float(before[0]),
            value_error_after=float(after[0]),
            mean_error_before=float(before[2]),
            mean_error_after=float(after[2]),
            seconds=time.monotonic() - began,
            vs_start=vs_start[0],
            vs_start_ci95=vs_start[1],
        )
        rounds.append(finished)
        # Before the state, which says that the round is finished: no finished round lacks its line.
        small_folder.write_log(out, rounds)
        _save_params(small_folder.state_file(out, number), params)
        _complete(settings, out, params, rounds)
        on_round(finished)
    return max(done, settings.rounds)


def _rate_of(margins: np.ndarray) -> tuple[float, float]:
    """Return the win rate of paired deals and half of its 95 % interval."""
    win_rate, stderr, _ = matches.mean_and_stderr(matches.pair_scores(margins))
    return float(win_rate), float(Z95 * stderr)


def _start_of(settings: Settings, out: Path) -> Net | None:
    """Read the network that plays the first round; None: one that knows nothing."""
    if not settings.start:
        return None
    try:
        net = storage.load(settings.start)
    except ValueError as error:
        copy = small_folder.network_file(out, -1)
        known = f"; its copy is {copy}" if copy.exists() else ""
        raise ValueError(f"{option_of('start')}: {error}{known}") from None
    if not settings.anew and not net.move_second.size:
        raise ValueError(
            f"{option_of('start')}: {settings.start} has no layers of a move; expected a network "
            "that has, or fit new networks with --anew"
        )
    has = Widths(*net.second.shape, *net.move_second.shape)._asdict()
    for name, width in ({} if settings.anew else widths_of(settings)._asdict()).items():
        if has[name] != width:
            raise ValueError(
                f"{option_of(name)}: expected {has[name]}, as --start has, got {width}; "
                "or fit new networks with --anew"
            )
    return net


def _check_settings(settings: Settings, out: Path, start: Net | None) -> None:
    file, plain = out / small_folder.SETTINGS, dataclasses.asdict(settings)
    plain.pop("rounds")
    if start is not None:  # the same network by any name
        plain["start"] = small.digest(start)[:16]
    if not file.exists():
        files.write_json(file, plain)
        return
    found = files.read_json(file, 1 << 16)
    if isinstance(found, dict):  # fields that older folders do not have
        found = {name: getattr(Settings(), name) for name in ("batch", "start", "anew")} | found
    if not isinstance(found, dict) or set(found) != set(plain):
        raise ValueError(
            f"{file}: not the settings of `zebjax iterate` of this version; choose another folder"
        )
    for name, value in plain.items():
        if found[name] != value:
            raise ValueError(
                f"{out}: made with other settings ({option_of(name)} is {_shown(found[name])}, "
                f"now {_shown(value)}); choose another folder, or the same settings"
            )


def _shown(value: object) -> object:
    return "none" if value == "" else value


def _games_files(settings: Settings, out: Path, number: int) -> list[Path]:
    n = math.ceil(settings.games_of(number) / GAMES_PER_FILE)
    return [out / f"games_{number + 1:02}_{index:03}.safetensors" for index in range(n)]


def _games_of_round(
    settings: Settings, out: Path, number: int, net: Net | None, threads: int, show: OnProgress
) -> Games:
    """Read the games of a round; play those whose files are missing, by `net`.

    None stands for the network stored in `out`. Its weights are rounded to float16, so games of an
    earlier round that are played again can differ in a few moves.
    """
    parts, doing = [], "playing" if net else f"playing games of round {number + 1} again"
    left, places = settings.games_of(number), _games_files(settings, out, number)
    for index, file in enumerate(places):
        n = min(left, GAMES_PER_FILE)
        left -= n
        if not file.exists():
            show(0.8 * index / len(places), doing)
            net = net or _stored(settings, out, number)
            seed = (settings.seed, number, index)
            games = small_games.play(net, n, seed, settings.explore, threads)
            labelled_games.write(file, games)
        try:
            parts.append(labelled_games.read(file))
        except ValueError as error:
            raise ValueError(
                f"{error}; delete it, and the same command plays these games again"
            ) from None
    return labelled_games.join(parts)


def _stored(settings: Settings, out: Path, number: int) -> Net:
    """Return the network that played a round."""
    if not number and not settings.start:
        return small_descent.net_of(small_descent.init(widths_of(settings), settings.seed))
    try:
        return storage.load(small_folder.network_file(out, number - 1))
    except ValueError as error:
        raise ValueError(
            f"{error}; it must play games of round {number + 1} again, as their file is missing; "
            "put one of them back, or start again in another folder"
        ) from None


def widths_of(settings: Settings) -> Widths:
    """Return the widths of the networks of a run."""
    return Widths(*(getattr(settings, name) for name in Widths._fields))


def _load_params(file: Path, settings: Settings) -> Params:
    """Read the state after a round.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return _checked_params(file, settings)
    except ValueError as error:
        raise ValueError(f"{error}; {small_folder.LOST}") from None


def _checked_params(file: Path, settings: Settings) -> Params:
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


def _complete(settings: Settings, out: Path, params: Params, rounds: list[Round]) -> None:
    """Write the network of the last round and the curve; delete what later rounds do not need.

    The network comes after the state: one without a state tells that the state was deleted.
    """
    last = rounds[-1]
    file = small_folder.network_file(out, last.round - 1)
    if not file.exists():
        storage.save(file, small_descent.net_of(params), last.facts())
    _forget(settings, out, last.round - 1)
    small_folder.draw(out, rounds)


def _forget(settings: Settings, out: Path, number: int) -> None:
    """Delete what no later round needs."""
    for earlier in range(number):
        small_folder.state_file(out, earlier).unlink(missing_ok=True)
        if earlier <= number + 1 - settings.window:
            for file in _games_files(settings, out, earlier):
                file.unlink(missing_ok=True)
