"""The lines of JSON of `zebjax analyse`: queries in, replies out, in the shape of KataGo's engine.

A query is an object with

    id            a text or an integer, which the reply repeats
    position      see `position_json`; or
    text          a position in the notation (one of the two)
    analyzeTurns  the plies to analyse, 0 is the deal; default the position's own end
    maxWorlds     worlds of E[Q]
    seed          of the worlds, 0..2**32 - 1; default 0
    includeBelief, includeLine   true or false; default true and false

and the reply to each ply is one object with

    id, turnNumber
    moveInfos     for each legal move, the best first: move, order, winrate (P(win); with a bid,
                  P(make) or P(set)), scoreMean (points of the mover's team at the end), prior (the
                  network's policy)
    rootInfo      currentPlayer, trickLeader, points (by team), value ("points won" or "make/set"),
                  worlds (solved), worldsTotal, and winrate and scoreMean of the best move
    belief        for each hidden tile: tile, and for the seats left, partner and right `marginal`
                  (exact counting) and `network` (belief head, or null)
    choices       the tile that each player of `--player` would play
    line          hands, plays and points of perfect play after the best move; in the deal if all
                  hands are given (isTrueDeal), else in one sampled world

A query that is wrong gets {"id": ..., "error": "one sentence"}.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from zebjax import notation, position_json, tiles
from zebjax.players import Player
from zebjax.position import Position
from zebjax.study import analysis
from zebjax.study.analysis import Analysis, Network

KEYS = (
    "id",
    "position",
    "text",
    "analyzeTurns",
    "maxWorlds",
    "seed",
    "includeBelief",
    "includeLine",
)
MAX_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of the command."""

    worlds: int = 100
    """Of a query without maxWorlds."""
    most_worlds: int = 1000
    """Maximum of maxWorlds: a query takes time in proportion."""
    network: Network | None = None
    players: Sequence[Player] = ()


@dataclasses.dataclass(frozen=True)
class Task:
    """One position of a query."""

    id: str | int | None
    position: Position
    worlds: int
    seed: int
    belief: bool
    line: bool


Reply = dict[str, Any]


def parse(line: bytes, settings: Settings) -> list[Task] | Reply:
    """Read a query.

    Returns:
        Its positions, or the reply that says what is wrong.
    """
    made: str | int | None = None
    try:
        data = position_json.parse(line)
        made = position_json.id_of(data)
        return _tasks(data, made, settings)
    except ValueError as error:
        return {"id": made, "error": str(error)}


def _tasks(data: dict[str, Any], made: str | int | None, settings: Settings) -> list[Task]:
    position_json.check_keys(data, KEYS)
    if ("position" in data) == ("text" in data):
        raise ValueError("position: expected either position or text")
    if "text" in data:
        if not isinstance(data["text"], str):
            position_json.refuse("text", "a position in the notation", data["text"])
        try:
            position = notation.read(data["text"])
        except ValueError as error:
            raise ValueError(f"text: {error}") from None
    else:
        try:
            position = position_json.read(data["position"])
        except ValueError as error:
            raise ValueError(f"position: {str(error).removeprefix('position: ')}") from None
    turns = data.get("analyzeTurns", [len(position.plays)])
    last = len(position.plays)
    if not isinstance(turns, list) or not 1 <= len(turns) <= tiles.N_TILES:
        position_json.refuse("analyzeTurns", "a list of 1 to 28 plies", turns)
    for turn in turns:
        if type(turn) is not int or not 0 <= turn <= last:
            position_json.refuse("analyzeTurns", f"plies 0..{last}", turn)
    worlds = position_json.integer(data, "maxWorlds", 1, settings.most_worlds, settings.worlds)
    seed = position_json.integer(data, "seed", 0, MAX_SEED, 0)
    flags = [data.get("includeBelief", True), data.get("includeLine", False)]
    for name, flag in zip(KEYS[-2:], flags, strict=True):
        if not isinstance(flag, bool):
            position_json.refuse(name, "true or false", flag)
    made_tasks = [Task(made, position.before(turn), worlds, seed, *flags) for turn in turns]
    for task in made_tasks:
        analysis.check(task.position)
    return made_tasks


def answer(lines: Iterable[bytes], settings: Settings) -> Iterator[str]:
    """Answer queries together, in their order.

    Yields:
        One line of JSON for each analysed position and for each wrong query.
    """
    parsed = [parse(line, settings) for line in lines if line.strip()]
    tasks = [task for part in parsed if isinstance(part, list) for task in part]
    replies: dict[int, Reply] = {}
    # E[Q] takes one number of worlds for a whole batch.
    for worlds, group in itertools.groupby(sorted(tasks, key=_worlds), key=_worlds):
        together = list(group)
        results = analysis.analyse(
            [task.position for task in together],
            [task.seed for task in together],
            worlds,
            settings.network,
            settings.players,
        )
        replies |= {
            id(task): reply(task, result) for task, result in zip(together, results, strict=True)
        }
    for part in parsed:
        for one in [replies[id(task)] for task in part] if isinstance(part, list) else [part]:
            yield json.dumps(one, separators=(",", ":"))


def _worlds(task: Task) -> int:
    return task.worlds


def reply(task: Task, result: Analysis) -> Reply:
    """The reply for one analysed position."""
    position, best = task.position, result.moves[0]
    made: Reply = {
        "id": task.id,
        "turnNumber": len(position.plays),
        "moveInfos": [
            {
                "move": tiles.TILE_NAMES[move.tile],
                "order": order,
                "winrate": _rounded(move.p_win),
                "scoreMean": _rounded(move.points),
                "prior": None if move.policy is None else _rounded(move.policy),
            }
            for order, move in enumerate(result.moves)
        ],
        "rootInfo": {
            "currentPlayer": position.mover,
            "trickLeader": position.trick_leader,
            "points": list(position.points),
            "value": "points won" if position.bid is None else "make/set",
            "worlds": result.n_worlds,
            "worldsTotal": result.all_worlds,
            "winrate": _rounded(best.p_win),
            "scoreMean": _rounded(best.points),
        },
    }
    if task.belief:
        made["belief"] = [
            {
                "tile": tiles.TILE_NAMES[holder.tile],
                "marginal": [_rounded(share) for share in holder.marginal],
                "network": holder.network and [_rounded(share) for share in holder.network],
            }
            for holder in result.holders
        ]
    if result.choices:
        made["choices"] = {spec: tiles.TILE_NAMES[tile] for spec, tile in result.choices.items()}
    if task.line:
        made["line"] = _line(task, best.tile)
    return made


def _line(task: Task, first: int) -> Reply:
    position = task.position
    world = analysis.a_world(position, task.seed, task.worlds)
    plays = analysis.line(world, first)
    end = dataclasses.replace(world, plays=(*world.plays, *plays))
    return {
        "isTrueDeal": all(position.hands),
        "hands": [position_json.names(hand) for hand in world.hands],
        "plays": position_json.names(plays),
        "points": list(end.points),
    }


def _rounded(value: float) -> float:
    return round(value, 6)
