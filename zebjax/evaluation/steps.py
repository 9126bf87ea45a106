"""Ratings of a run's checkpoints over its steps.

Each rated step plays every opponent, and the step rated before it, on the same deals; so k steps
and m opponents take k * m + k - 1 matches, not all pairs. Bradley-Terry ratings join them (see
`ratings.fit`), and neighbours tell small steps apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from zebjax.common import charts, checkpoint, files
from zebjax.evaluation import ladder, matches, ratings
from zebjax.evaluation.ladder import Played
from zebjax.players import Player


class Rated(NamedTuple):
    """A rated checkpoint of a run."""

    step: int
    player: str
    """The spec of its player."""
    total_games: int | None
    """Number of games that it was trained on, if known."""
    rating: ratings.Rating
    wins: tuple[Played, ...]
    """Its matches against the opponents, in their order."""


class Curve(NamedTuple):
    """The ratings of a run's checkpoints."""

    run: str
    steps: tuple[Rated, ...]
    opponents: tuple[tuple[str, ratings.Rating], ...]
    anchor: tuple[str, float]
    """The player with a fixed rating."""
    matches: tuple[Played, ...]
    """All matches, in the order of `pairs`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, `ratings` and `matches` as those of a matrix."""
        everyone = [*((one.player, one.rating) for one in self.steps), *self.opponents]
        return {
            "run": self.run,
            "anchor": {"player": self.anchor[0], "elo": self.anchor[1]},
            "steps": [
                {
                    "step": rated.step,
                    "total_games": rated.total_games,
                    "player": rated.player,
                    **rated.rating._asdict(),
                }
                for rated in self.steps
            ],
            "ratings": [{"player": spec, **rating._asdict()} for spec, rating in everyone],
            "matches": [played.result.to_dict() for played in self.matches],
        }


def chosen(run: Path, every: int) -> list[int]:
    """Return the steps of a run to rate: multiples of `every`, the first and the last.

    Raises:
        ValueError: if the run has fewer than two.
    """
    steps = checkpoint.steps(run / "checkpoints")
    found = [step for step in steps if step % every == 0 or step in (steps[0], steps[-1])]
    if len(found) < 2:
        raise ValueError(
            f"{run}: expected a run with two checkpoints or more, found {len(found)} in "
            "checkpoints/"
        )
    return found


def folder_of(run: Path, step: int) -> Path:
    """Return the folder of one step of a run."""
    return checkpoint.step_folder(run / "checkpoints", step)


def pairs(n_steps: int, n_opponents: int) -> list[tuple[int, int]]:
    """Return the matches: steps are players 0 .. n_steps - 1, opponents come after them.

    >>> pairs(2, 1)
    [(0, 2), (1, 2), (1, 0)]
    """
    found = []
    for step in range(n_steps):
        found += [(step, n_steps + opponent) for opponent in range(n_opponents)]
        found += [(step, step - 1)] if step else []
    return found


def rate(
    run: Path,
    steps: Sequence[int],
    contenders: Sequence[Player],
    played: Sequence[Played],
    anchor: tuple[str, float] | None,
) -> Curve:
    """Rate the steps from their matches.

    Args:
        run: the run's folder.
        steps: the rated steps.
        contenders: the players of the steps, then the opponents.
        played: the matches in the order of `pairs`.
        anchor: the spec of an opponent and its rating; None fixes the first step at 1500.
    """
    n, specs = len(steps), [player.spec for player in contenders]
    met = pairs(n, len(contenders) - n)
    meetings = [
        ratings.Meeting(a, b, matches.pair_scores(match.margins))
        for (a, b), match in zip(met, played, strict=True)
    ]
    name, elo = anchor or (f"step {steps[0]}", ratings.CENTRE)
    fixed = specs.index(name, n) if anchor else 0
    rated = ratings.on_elo_scale(ratings.fit(len(contenders), meetings), (fixed, elo))
    wins: list[list[Played]] = [[] for _ in steps]
    for (a, b), match in zip(met, played, strict=True):
        if b >= n:
            wins[a].append(match)
    return Curve(
        str(run),
        tuple(
            Rated(step, specs[i], _total_games(run, step), rated[i], tuple(wins[i]))
            for i, step in enumerate(steps)
        ),
        tuple(zip(specs[n:], rated[n:], strict=True)),
        (name, elo),
        tuple(played),
    )


def _total_games(run: Path, step: int) -> int | None:
    try:
        facts = files.read_json(folder_of(run, step) / "training.json")
    except ValueError:
        return None
    games = facts.get("total_games") if isinstance(facts, dict) else None
    return games if type(games) is int else None


def play(
    a: Player, b: Player, deals: int, rules: ladder.Rules, cache: ladder.Cache, **how: Any
) -> Played:
    """Play one match, or read it from the cache; see `ladder.play`."""
    return ladder.play(a, b, ladder.ladder_deals(a.spec, b.spec, deals), rules, cache, **how)


def table(curve: Curve) -> Table:
    """Make a table of the steps, oldest first."""
    made = Table(box=box.SIMPLE, title=f"{curve.run}, by step", title_justify="left")
    opponents = [f"% vs {spec}" for spec, _ in curve.opponents]
    for name in ("step", "games", "Elo", "95 % interval", *opponents):
        made.add_column(name, justify="right")
    for rated in curve.steps:
        low, high = rated.rating.ci95
        fixed = curve.anchor[0] == f"step {rated.step}"
        made.add_row(
            f"{rated.step:,}",
            "" if rated.total_games is None else f"{rated.total_games:,}",
            f"{rated.rating.elo:.0f}",
            "fixed" if fixed else f"[{low:.0f}, {high:.0f}]",
            *(
                f"{100 * match.result.win_rate:.1f} ± "
                f"{100 * matches.half_width(match.result.win_rate_interval):.1f}"
                for match in rated.wins
            ),
        )
    return made


def plot(path: Path, curve: Curve) -> None:
    """Draw the ratings over the steps with their 95 % intervals, and the opponents', as a PNG."""
    figure = charts.new_figure(8, 4.5)
    axes = figure.subplots()
    at = [rated.step for rated in curve.steps]
    elo = [rated.rating.elo for rated in curve.steps]
    sides = [
        [max(0.0, rated.rating.elo - rated.rating.ci95[0]) for rated in curve.steps],
        [max(0.0, rated.rating.ci95[1] - rated.rating.elo) for rated in curve.steps],
    ]
    axes.errorbar(at, elo, yerr=sides, marker="o", capsize=3)
    for spec, rating in curve.opponents:
        axes.axhline(rating.elo, color="grey", linewidth=0.8)
        axes.annotate(spec, (at[0], rating.elo), fontsize=8, color="grey", va="bottom")
    axes.set(
        title=f"{curve.run}: {curve.anchor[0]} = {curve.anchor[1]:g}",
        xlabel="step",
        ylabel="Elo, 95 % interval",
    )
    axes.grid(alpha=0.3)
    charts.save_figure(figure, path)
