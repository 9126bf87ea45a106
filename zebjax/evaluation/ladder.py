"""Round robins: every player against every other, with a cache of pairs, and ratings.

All pairs play the same deals, so that players are compared on the same deals. A finished pair is
cached: a killed ladder loses only the pair in progress, and a new player plays only its own pairs.
"""

import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import __version__, tiles
from zebjax.common import files, jax_settings
from zebjax.evaluation import matches, ratings
from zebjax.evaluation.config import LADDER as LADDER
from zebjax.evaluation.config import LADDER_ANCHOR as LADDER_ANCHOR
from zebjax.evaluation.config import LADDER_DEALS, SLOW_SHARE, SLOW_WORLDS
from zebjax.evaluation.matches import MatchResult, OnProgress
from zebjax.players import Player

Note = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Rules:
    """Settings of a match. With the players and the number of deals they decide its result."""

    seed: int = 0
    batch: int = matches.DEALS_AT_ONCE
    until: float | None = None
    """See `matches.play_pairs`."""


class Played(NamedTuple):
    """A finished pair."""

    result: MatchResult
    margins: np.ndarray
    """int32 `[n_deals, 2]`, see `matches.play_pairs`."""
    seconds: float
    """Time it took to play."""
    cached: bool
    """True if it comes from the cache."""


class Standings(NamedTuple):
    """Results and ratings after every player has played every other."""

    players: tuple[str, ...]
    pairs: tuple[Played, ...]
    """Pairs i < j of players, in the order of `itertools.combinations`."""
    ratings: tuple[ratings.Rating, ...]
    """In the order of `players`."""
    n_games: tuple[int, ...]
    """Number of games of each player."""
    anchor: tuple[str, float] | None
    has_prior: bool
    """See `ratings.fit`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; players by rating, best first."""
        order = sorted(range(len(self.players)), key=lambda i: -self.ratings[i].elo)
        return {
            "ratings": [
                {"player": self.players[i], **self.ratings[i]._asdict(), "games": self.n_games[i]}
                for i in order
            ],
            "anchor": None
            if self.anchor is None
            else {"player": self.anchor[0], "elo": self.anchor[1]},
            "has_prior": self.has_prior,
            "matches": [
                {**pair.result.to_dict(), "seconds": pair.seconds, "cached": pair.cached}
                for pair in self.pairs
            ],
        }


# The cache


class Cache:
    """Finished pairs, one JSON file each, named by the sha256 of all that decides the result.

    Players without an identity are not cached.
    """

    def __init__(self, folder: Path | str | None, note: Note = print) -> None:
        """Open a cache.

        Args:
            folder: the cache's folder; None turns the cache off. It is created with the first
                result, so that a refused command leaves nothing.
            note: called with one sentence about each file that cannot be read or written.

        Raises:
            ValueError: if the folder cannot be created.
        """
        self.folder = None if folder is None else Path(folder)
        self._note = note
        if self.folder is not None:
            # It is made for the first pair: a call that is refused leaves nothing behind.
            try:
                files.require_folder(self.folder)
            except ValueError as error:
                raise ValueError(f"cache: folder {folder} cannot be created ({error})") from None

    def get(self, key: dict[str, Any]) -> tuple[np.ndarray, float] | None:
        """Return the margins `[n_deals, 2]` and seconds of a pair; None if absent or damaged."""
        path = self._path(key)
        if path is None or not path.exists():
            return None
        try:
            return _read(path, key)
        except ValueError as error:
            self._note(f"{error}; playing this pair again")
            return None

    def put(self, key: dict[str, Any], margins: np.ndarray, seconds: float) -> None:
        """Store a finished pair, atomically."""
        path = self._path(key)
        if path is None:
            return
        record = {
            "key": key,
            **_summary(key, margins),
            "seconds": seconds,
            "margins": margins.tolist(),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(path, record)
        except OSError as error:
            self._note(f"{path}: cannot be written ({error.strerror}); this result is not cached")

    def _path(self, key: dict[str, Any]) -> Path | None:
        if self.folder is None or not all(key["players"]):
            return None
        return (
            self.folder
            / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]}.json"
        )


def _key(a: Player, b: Player, n_deals: int, rules: Rules) -> dict[str, Any]:
    # Left out of the key if empty, so that pairs cached before this entry existed stay valid.
    settings = jax_settings.remaining()
    return {
        "players": [a.identity, b.identity],
        "deals": n_deals,
        "seed": rules.seed,
        "until": None if rules.until is None else {"half_width": rules.until, "batch": rules.batch},
        "version": [__version__, matches.VERSION],
        "backend": jax.default_backend(),  # backends round networks differently
        **({"settings": settings} if settings else {}),
    }


def _summary(key: dict[str, Any], margins: np.ndarray) -> dict[str, Any]:
    """Return the results, for people who open the file and to detect a damaged file."""
    a, b = key["players"]
    result = matches.summarise(a, b, margins)
    return {"win_rate": result.win_rate, "margin": result.margin}


def _read(path: Path, key: dict[str, Any]) -> tuple[np.ndarray, float]:
    record = files.read_json(path)
    damaged = ValueError(f"{path}: damaged")
    if (
        not isinstance(record, dict)
        or record.get("key") != key
        or not isinstance(record.get("seconds"), int | float)
    ):
        raise damaged
    try:
        margins = np.array(record.get("margins"))
    except ValueError:
        raise damaged from None
    n = key["deals"]
    whole = (
        margins.dtype.kind == "i"
        and margins.ndim == 2
        and margins.shape[1] == 2
        and len(margins) >= 2
    )
    if (
        not whole
        or (np.abs(margins) > tiles.TOTAL_POINTS).any()
        or (len(margins) != n if key["until"] is None else len(margins) > n)
    ):
        raise damaged
    if any(record.get(name) != value for name, value in _summary(key, margins).items()):
        raise damaged
    return margins.astype(np.int32), float(record["seconds"])


# Playing


def play(
    a: Player,
    b: Player,
    n_deals: int,
    rules: Rules,
    cache: Cache,
    progress: OnProgress | None = None,
) -> Played:
    """Play one pair, or read it from the cache; the order of the players does not matter there.

    Args:
        a: the player whose margins are returned.
        b: its opponent.
        n_deals: number of deals; each is played twice.
        rules: seed, batch and stopping rule.
        cache: read before, and written after playing.
        progress: see `matches.OnProgress`.

    Raises:
        ValueError: as `matches.play_pairs`.
    """

    def play_pairs() -> np.ndarray:
        return matches.play_pairs(
            a, b, n_deals, jax_settings.key(rules.seed), rules.batch, progress, rules.until
        )

    margins, seconds, cached = remembered(a, b, n_deals, rules, cache, play_pairs)
    result = matches.summarise(a.spec, b.spec, margins, rules.until)
    return Played(result, margins, seconds, cached)


def remembered(
    a: Player,
    b: Player,
    n_deals: int,
    rules: Rules,
    cache: Cache,
    play_pairs: Callable[[], np.ndarray],
    game: dict[str, Any] | None = None,
) -> tuple[np.ndarray, float, bool]:
    """Return a pair from the cache, or play it and put it there.

    Args:
        a: the player whose margins are returned.
        b: its opponent.
        n_deals: number of deals.
        rules: settings of the match.
        cache: read before, and written after playing.
        play_pairs: plays, and returns int32 `[n_deals, 2]`, A's points minus B's. With the players
            swapped it must return the same with the other sign and the columns swapped.
        game: what else decides the result, plain data; None for games without a contract.

    Returns:
        The margins, the seconds that it took to play, and True if they come from the cache.
    """
    # Pairs are cached in one order: the same games with the players swapped give the same margins
    # with the other sign.
    swapped = b.identity < a.identity
    key = _key(*((b, a) if swapped else (a, b)), n_deals, rules) | (game or {})
    kept = cache.get(key)
    if kept is not None:
        margins, seconds = kept
        return (_swapped(margins) if swapped else margins), seconds, True
    start = time.perf_counter()
    margins = play_pairs()
    seconds = round(time.perf_counter() - start, 3)
    cache.put(key, _swapped(margins) if swapped else margins, seconds)
    return margins, seconds, False


def _swapped(margins: np.ndarray) -> np.ndarray:
    return -margins[:, ::-1]


def ladder_deals(a: str, b: str, deals: int = LADDER_DEALS) -> int:
    """Return the number of deals of a ladder pair: `deals`, or a quarter if a player is slow."""
    return max(2, deals // SLOW_SHARE) if _is_slow(a) or _is_slow(b) else deals


def _is_slow(spec: str) -> bool:
    """True if the spec is E[Q] with many worlds, or with the default number."""
    kind, _, options = spec.partition(":")
    worlds = [item.removeprefix("n=") for item in options.split(",") if item.startswith("n=")]
    return kind == "eq" and not any(text.isdigit() and int(text) < SLOW_WORLDS for text in worlds)


def round_robin(
    contenders: Sequence[Player],
    deals: Callable[[str, str], int],
    rules: Rules,
    cache: Cache,
    anchor: tuple[str, float] | None = None,
    play_pair: Callable[..., Played] = play,
) -> Standings:
    """Play every pair and rate the players.

    Args:
        contenders: two or more players with different specs.
        deals: called with two specs; returns their number of deals.
        rules: settings of all matches.
        cache: finished pairs.
        anchor: the spec of a contender and its fixed rating, see `ratings.on_elo_scale`.
        play_pair: called like `play`, without `progress`; a command can show progress there.

    Raises:
        ValueError: if there are too few players, one is listed twice, the anchor is not one of
            them, or a player chooses an illegal slot.
    """
    specs = tuple(player.spec for player in contenders)
    if len(specs) < 2:
        raise ValueError(f"players: expected 2 or more, got {len(specs)}")
    for spec in specs:
        if specs.count(spec) > 1:
            raise ValueError(f"player {spec!r} is listed twice")
    if anchor is not None and anchor[0] not in specs:
        raise ValueError(f"anchor: {anchor[0]!r} is none of the players {', '.join(specs)}")
    indices = list(itertools.combinations(range(len(specs)), 2))
    pairs = [
        play_pair(contenders[i], contenders[j], deals(specs[i], specs[j]), rules, cache)
        for i, j in indices
    ]
    meetings = [
        ratings.Meeting(i, j, matches.pair_scores(pair.margins))
        for (i, j), pair in zip(indices, pairs, strict=True)
    ]
    fitted = ratings.fit(len(specs), meetings)
    n_games = np.zeros(len(specs), int)
    for i, j, scores in meetings:
        n_games[[i, j]] += 2 * len(scores)
    rated = ratings.on_elo_scale(
        fitted, None if anchor is None else (specs.index(anchor[0]), anchor[1])
    )
    return Standings(
        specs, tuple(pairs), tuple(rated), tuple(n_games.tolist()), anchor, fitted.has_prior
    )
