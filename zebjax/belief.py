"""The command `zebjax belief`: what a network knows about hidden tiles."""

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zebjax import network, players
from zebjax.common import cli, console
from zebjax.network import places
from zebjax.players import spec

if TYPE_CHECKING:  # imported when a game is played, so that `--help` does not import jax
    from rich.table import Table

    from zebjax.evaluation.belief import Comparison, Tiles
    from zebjax.game import GameState


_LEGEND = """\
network: the belief head, or for small[:PATH] the weighted hands. marginal: exact counting, which
ignores why a tile was played.
accuracy: tiles whose most probable holder is the true one; higher is better (a guess: 33.3 %).
cross-entropy (nats per tile; a guess: 1.0986), Brier (a guess: 0.6667), calibration error
(confidence against accuracy): lower is better.
gain: cross-entropy of the marginal less the network's, with its 95 % interval, deals as units.
Above 0 the network knows more than counting tells, below 0 less; below 0 with a higher accuracy
it is too sure."""


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "belief",
        "Does a network know better than counting who holds the hidden tiles? Scores its belief\n"
        "head by trick, on the tiles that are still hidden, at every decision of games in which\n"
        "it plays all four seats. Compares it with the exact marginal: the probabilities over all\n"
        "hands that are consistent with the play so far.\n\n"
        f"{_LEGEND}\n\n"
        "`zebjax train` shows the two accuracies as `hidden %` and `counted`. A network has to\n"
        "learn to count before it can gain from what the others play, so `hidden %` below\n"
        "`counted` is usual, for long in the late tricks, where counting leaves few worlds.",
        "runs/quickstart --deals 200 --plot belief.png",
        notes=spec.help_text(),
    )
    made.add_argument(
        "path",
        metavar="PATH",
        type=places.without_prefix,
        help="the network: `bundled`, a run, one of its checkpoints, a folder that `zebjax "
        "convert` made, or hf://USER/REPO; or small[:PATH], a small network, which has no belief "
        "head: consistent hands weighted by how likely it makes the others' plays",
    )
    made.add_argument(
        "--deals", type=cli.integer(2, 10**6), default=200, metavar="N", help="deals (default 200)"
    )
    made.add_argument(
        "--by", metavar="PLAYER", help="who plays the games, as listed below (default the network)"
    )
    made.add_argument(
        "--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)"
    )
    made.add_argument("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    made.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return made


def _table(title: str, results: "dict[str, Comparison | None]") -> "Table":
    import rich.box
    from rich.table import Table

    table = Table(
        box=rich.box.SIMPLE, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False
    )
    # On two lines where a heading is wider than its numbers, so that it fits 80 characters.
    for name in (
        "trick",
        "hidden\ntiles",
        "",
        "accuracy\n%",
        "cross-\nentropy",
        "Brier\nscore",
        "calibration\nerror",
        "gain,\nnats",
    ):
        justify: Literal["left", "right"] = "left" if name in ("trick", "") else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for trick, result in results.items():
        if result is None:
            continue
        half = "" if result.gain_ci95 is None else f"± {result.gain_ci95[1] - result.gain:.4f}"
        for name, scores in (("network", result.network), ("marginal", result.marginal)):
            is_first = name == "network"
            table.add_row(
                trick if is_first else "",
                f"{result.n_tiles:,}" if is_first else "",
                name,
                f"{100 * scores.accuracy:.1f}",
                f"{scores.cross_entropy:.4f}",
                f"{scores.brier:.4f}",
                f"{scores.calibration_error:.4f}",
                f"{result.gain:+.4f}" if is_first else half,
                end_section=not is_first,
            )
    return table


def _effective(results: "dict[str, Comparison | None]") -> str:
    """Return a line about weighted hands; empty for a belief head."""
    numbers = {
        trick: f"{result.effective:,.0f}"
        for trick, result in results.items()
        if result is not None and result.effective is not None
    }
    if not numbers:
        return ""
    every, tricks = numbers.pop("all"), " ".join(numbers.values())
    return (
        "Effective number of weighted hands, (sum of weights)^2 / sum of squares (Kish 1965),\n"
        f"median over hidden tiles: {every}; by trick {tricks}. Small where plays tell much.\n"
    )


def _judge(path: str, seed: int) -> "tuple[Callable[[GameState], Tiles], str]":
    """Return what judges positions, and the spec of the network as a player."""
    import jax
    import numpy as np

    from zebjax.common import jax_settings
    from zebjax.evaluation import belief
    from zebjax.players import inference
    from zebjax.small import storage
    from zebjax.small.network import scorer

    name, colon, rest = path.partition(":")
    if name == storage.BUNDLED_NAME and not places.exists(Path(path)):
        net = scorer(storage.load(rest if colon else name))

        def by_plays(states: "GameState") -> "Tiles":
            keys = jax.random.split(jax_settings.key(seed), len(states.ply))
            data = np.asarray(jax.random.key_data(keys))
            return belief.predict_by_plays(net, states, data, inference.Settings())

        return by_plays, path
    config, params = network.load(path)
    config = network.on_this_device(config)
    if not config.belief_head:
        raise ValueError(
            f"{path}: this network has no belief head; `zebjax convert --belief-head fresh` adds "
            "one"
        )
    return lambda states: belief.predict(config, params, states), f"zeb:{path}"


def _run(arguments: argparse.Namespace) -> int:
    import jax
    import numpy as np

    from zebjax.common import jax_settings
    from zebjax.evaluation.belief import (
        DEALS_AT_ONCE,
        by_trick,
        plot,
        positions_of,
    )

    judge, itself = _judge(arguments.path, arguments.seed)
    player = players.make(arguments.by or itself)
    key, start, parts = jax_settings.key(arguments.seed), time.perf_counter(), []
    n_batches = math.ceil(arguments.deals / DEALS_AT_ONCE)
    size = math.ceil(arguments.deals / n_batches)  # one size, so that nothing is compiled twice
    with cli.progress(f"belief of {arguments.path}") as show:
        for index in range(n_batches):
            parts.append(positions_of(player, key, index * size, size))
            show(0.9 * (index + 1) / n_batches, "playing")
        judged = judge(jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts))
        show(1.0, "judged")
    n_deals = n_batches * size
    results = by_trick(judged)
    title = f"belief of {arguments.path}, {n_deals:,} deals played by {player.spec}"
    if arguments.json:
        plain = {trick: result and dataclasses.asdict(result) for trick, result in results.items()}
        facts = {
            "path": arguments.path,
            "by": player.spec,
            "deals": n_deals,
            "seed": arguments.seed,
        }
        print(
            json.dumps(
                {**facts, "by_trick": plain, "seconds": round(time.perf_counter() - start, 3)}
            )
        )
    else:
        out = console.make()
        out.print(_table(title, results))
        if line := _effective(results):
            out.print(line)
        out.print(_LEGEND)
    if arguments.plot is not None:
        plot(title, judged, results, arguments.plot)
        print(f"wrote {arguments.plot}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("belief", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
