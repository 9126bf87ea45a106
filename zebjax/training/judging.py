"""Evaluation of a run's network: paired deals against each opponent, and its beliefs."""

from collections.abc import Callable

import jax
import numpy as np

from zebjax import network, players
from zebjax.common import checkpoint, jax_settings
from zebjax.evaluation import belief, contracts, matches
from zebjax.evaluation.intervals import Z95
from zebjax.players import Player
from zebjax.training import opponents
from zebjax.training.config import EvaluationConfig
from zebjax.training.metrics import Row
from zebjax.training.session import Session

TERMS = contracts.Terms(declare="pips")
"""The contract in the evaluation of a network of make/set: 30, the declaration by pips, which takes
no time."""
_AT_ONCE = 500


def _of_contracts(zeb: Player, opponent: Player, key: jax.Array, n_deals: int, name: str) -> Row:
    """Play deals with a contract; see `contracts.Result`."""
    sizes = [min(_AT_ONCE, n_deals - first) for first in range(0, n_deals, _AT_ONCE)]
    margins = np.concatenate(
        [
            contracts.play_deals(zeb, opponent, key, index * _AT_ONCE, size, TERMS)
            for index, size in enumerate(sizes)
        ]
    )
    result = contracts.summarise(zeb.spec, opponent.spec, margins, TERMS)
    prefix = f"eval/vs_{name}_make_set"
    return {
        f"{prefix}_win_rate": result.win_rate,
        f"{prefix}_win_rate_ci95": Z95 * result.win_rate_stderr,
        f"{prefix}_deals": result.n_deals,
    }


class Judge:
    """The opponents of a run's evaluation, each loaded once."""

    def __init__(self, config: EvaluationConfig) -> None:
        """Load all opponents but the run's own first step.

        Raises:
            ValueError: if one cannot be loaded; the message names it.
        """
        self._words = opponents.words(config.opponents)
        self._players: dict[str, Player] = {}
        for word in self._words:
            if word != opponents.FIRST:
                try:
                    self._players[word] = players.make(opponents.full_spec(word))
                except ValueError as error:
                    raise ValueError(f"evaluation.opponents: {error}") from None

    def evaluate(self, session: Session, between: Callable[[], None]) -> Row:
        """Play all opponents on the same deals, and measure the beliefs of a belief head.

        Args:
            session: the run.
            between: called after each ply; it may raise to stop.

        Returns:
            `eval/vs_NAME_win_rate`, `_win_rate_ci95` (half of its 95 % interval), `_margin` and
            `_deals` for each opponent, see `opponents.name`; and `eval/belief_...`. For a network
            of make/set instead `eval/vs_NAME_make_set_win_rate`, its interval and `_deals`.
        """
        settings, config = session.settings, session.settings.evaluation
        params = session.state.learner.published
        zeb = players.zeb(settings.network, params, config.temperature)
        # The same deals in every evaluation, so that the curve shows changes of the network only.
        key = jax.random.fold_in(jax_settings.key(settings.seed), 3)
        row: Row = {}
        for word in self._words:
            opponent = self._opponent(session, word)
            if opponent is None:
                continue

            def on_progress(
                share: float, _: matches.MatchResult | None, name: str = opponents.name(word)
            ) -> None:
                done = round(share * config.deals)
                session.report.working(f"deals against {name}", done, config.deals)
                between()

            if settings.network.plays_contracts:
                row |= _of_contracts(zeb, opponent, key, config.deals, opponents.name(word))
                between()
                continue
            result = matches.play_match(zeb, opponent, config.deals, key, progress=on_progress)
            prefix = f"eval/vs_{opponents.name(word)}"
            row |= {
                f"{prefix}_win_rate": result.win_rate,
                f"{prefix}_win_rate_ci95": Z95 * result.win_rate_stderr,
                f"{prefix}_margin": result.margin,
                f"{prefix}_deals": result.n_deals,
            }
        # Beliefs are judged in games without a contract, which a network of make/set does not play.
        if settings.network.belief_head and not settings.network.plays_contracts:
            scores = belief.metrics(zeb, settings.network, params, key, config.deals)
            row |= {f"eval/{name}": score for name, score in scores.items()}
        return row

    def _opponent(self, session: Session, word: str) -> Player | None:
        """Return an opponent; None for the first step while the run is at it, or if it is gone."""
        if word in self._players:
            return self._players[word]
        step = session.progress.first_cycle
        folder = checkpoint.step_folder(session.folder / "checkpoints", step)
        if session.progress.cycle == step:
            return None
        try:
            # The dtype of this process: the run may have begun on another device.
            config, params = session.settings.network, network.load(folder)[1]
        except ValueError as error:
            session.report.note(f"  evaluation.opponents: {word}: {error}")
            return None
        temperature = session.settings.evaluation.temperature
        self._players[word] = players.zeb(config, params, temperature)
        return self._players[word]
