"""Results of `zebjax arena --json` for the recap: ratings and matches."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import zebjax
from zebjax.common import files
from zebjax.evaluation import ratings
from zebjax.evaluation.config import LADDER_ANCHOR
from zebjax.operations.recap.text import clean, number

FOLDER = "arena"
"""Folder of a run for the JSON of `zebjax arena --json`, one file each."""
_MAX_BYTES = 1 << 24
_STEP = re.compile(r"step_(\d{1,9})")
"""The part of a player's spec that names a checkpoint of a run."""


class Match(NamedTuple):
    """A finished match."""

    a: str
    b: str
    n_deals: int
    win_rate: float
    """A's, a tie counts half."""
    interval: tuple[float, float] | None
    """95 % interval of the win rate."""
    margin: float | None
    """A's points per game minus B's."""


class Rated(NamedTuple):
    """A player's rating."""

    player: str
    elo: float
    interval: tuple[float, float] | None
    """95 % interval; None if it is not known."""
    games: int | None


class Ratings(NamedTuple):
    """Ratings of several players, best first."""

    players: tuple[Rated, ...]
    anchor: str
    """Says which rating is fixed."""


class Results(NamedTuple):
    """Everything that the arena's files say."""

    ratings: Ratings | None
    matches: tuple[Match, ...]


def read(path: Path) -> dict[str, Any]:
    """Read a file of `zebjax arena --json`.

    Raises:
        ValueError: if it is not one; the message names it.
    """
    found = files.read_json(path, _MAX_BYTES)
    if isinstance(found, dict) and (_matches(found) or _rated(found)):
        return found
    raise ValueError(f"{path}: expected the output of `zebjax arena ... --json`")


def _interval(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = map(number, value)
    return None if low is None or high is None else (low, high)


def _matches(found: dict[str, Any]) -> list[Match]:
    listed = found.get("matches") if isinstance(found.get("matches"), list) else [found]
    matches = []
    for one in listed or []:
        rate = number(one.get("win_rate")) if isinstance(one, dict) else None
        n_deals = number(one.get("n_deals")) if rate is not None else None
        if rate is None or n_deals is None or not 0 <= rate <= 1 or not 1 <= n_deals < 1e9:
            continue
        if type(one.get("a")) is str and type(one.get("b")) is str:
            interval = _interval(one.get("win_rate_cs95")) or _interval(one.get("win_rate_ci95"))
            margin = number(one.get("margin"))
            pair = clean(one["a"]), clean(one["b"])
            matches.append(Match(*pair, int(n_deals), rate, interval, margin))
    return matches


def _rated(found: dict[str, Any]) -> list[Rated]:
    rated = []
    for one in found["ratings"] if isinstance(found.get("ratings"), list) else []:
        elo = number(one.get("elo")) if isinstance(one, dict) else None
        if elo is not None and type(one.get("player")) is str:
            games = number(one.get("games"))
            interval = _interval(one.get("ci95"))
            n_games = None if games is None else int(games)
            rated.append(Rated(clean(one["player"]), elo, interval, n_games))
    return rated


def combine(found: Sequence[dict[str, Any]]) -> Results:
    """Combine the contents of several files.

    Args:
        found: from `read`, the newest last.

    Returns:
        The matches, of each pair the newest; and the ratings of the newest file that has some, else
        ratings fitted to the matches (`ratings.fit`). E[Q] with 100 worlds is fixed at 1600 if it
        is among the players.
    """
    newest: dict[tuple[str, str], Match] = {}
    for one in found:
        for match in _matches(one):
            newest.pop((match.b, match.a), None)
            newest[match.a, match.b] = match
    matches = tuple(newest.values())
    listed = next((rated for one in reversed(found) if (rated := _rated(one))), [])
    return Results(_anchored(listed or _fitted(matches)), matches)


def _fitted(matches: Sequence[Match]) -> list[Rated]:
    """Rate the players that the matches connect to the anchor (else to the first player).

    A match's mean stands for each of its deals, which gives the same maximum of the likelihood. The
    spread of the deals is lost, so there are no intervals.
    """
    names = sorted({name for match in matches for name in (match.a, match.b)})
    if not names:
        return []
    connected = {LADDER_ANCHOR[0] if LADDER_ANCHOR[0] in names else matches[0].a}
    while more := {
        name
        for match in matches
        for name in (match.a, match.b)
        if {match.a, match.b} & connected and name not in connected
    }:
        connected |= more
    place = {name: i for i, name in enumerate(sorted(connected))}
    meetings = [
        ratings.Meeting(place[m.a], place[m.b], np.full(min(m.n_deals, 10_000), m.win_rate))
        for m in matches
        if m.a in place and m.a != m.b
    ]
    if len(place) < 2 or not meetings:
        return []
    rated = ratings.on_elo_scale(ratings.fit(len(place), meetings))
    games = {name: sum(2 * m.n_deals for m in matches if name in (m.a, m.b)) for name in place}
    return [Rated(name, rated[i].elo, None, games[name]) for name, i in place.items()]


def _anchored(rated: Sequence[Rated]) -> Ratings | None:
    if not rated:
        return None
    anchor, elo = LADDER_ANCHOR
    at = {one.player: one.elo for one in rated}
    said = f"{anchor} is fixed at {elo:g}"
    if anchor not in at:
        said = f"{anchor} is not among the players, so only differences have a meaning"
    elif abs(at[anchor] - elo) > 0.01:  # the intervals were those of differences to another anchor
        rated = [one._replace(elo=one.elo + elo - at[anchor], interval=None) for one in rated]
    return Ratings(tuple(sorted(rated, key=lambda one: -one.elo)), said)


def step_of(player: str) -> int | None:
    """The step of the checkpoint that a player's spec names; None if it names none."""
    match = _STEP.search(player)
    return int(match[1]) if match else None


def belief_heads(
    matches: Sequence[Match], config_of: Callable[[str], dict[str, Any] | None]
) -> dict[str, bool]:
    """Say for each network in the matches if it has a belief head, where that can be found out.

    Args:
        matches: the matches.
        config_of: returns the network's config for the path in a player's spec; None if unknown.
    """
    heads = {}
    for player in {name for match in matches for name in (match.a, match.b)}:
        kind, _, options = player.partition(":")
        config = config_of(options.split(",")[0]) if kind == "zeb" else None
        if config is not None and type(config.get("belief_head")) is bool:
            heads[player] = config["belief_head"]
    return heads


def config_of(path: str) -> dict[str, Any] | None:
    """The config of a network, from the files of a network folder or a run; None if unknown."""
    folder = Path(zebjax.__file__).parent / "bundled" if path == "bundled" else Path(path)
    for file in (folder / "config.json", *sorted(folder.glob("checkpoints/*/config.json"))[-1:]):
        try:
            config = files.read_json(file, 1 << 20)
        except ValueError:
            continue
        return config if isinstance(config, dict) else None
    return None
