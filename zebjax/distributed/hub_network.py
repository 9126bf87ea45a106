"""A network as a repository on the Hugging Face Hub: its files, its model card, and the upload."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zebjax import network
from zebjax.common import files, hub
from zebjax.distributed.hub_store import HubStore
from zebjax.network import card, storage
from zebjax.training import changes, environment

RETRY_S = 5.0
"""Seconds in which a failed call is repeated: a person waits."""
LADDER = Path(__file__).parents[2] / "benchmarks" / "results" / "ladder.json"
"""The standings of the bundled network, in a checkout."""
_SETTINGS = (
    *("seed", "start.checkpoint", "selfplay.games_per_cycle", "selfplay.method", "learner.lr"),
    *("learner.batch", "learner.updates_per_cycle", "replay.capacity_examples"),
)
"""Settings of a run that its card lists. None names a folder or a store: cards are public."""
_OF_SEARCH = ("selfplay.search.policy", "selfplay.search.sims", "selfplay.search.worlds")
"""Listed too if self-play searched."""
_NOT_RATED = "Not rated. To rate it: `zebjax arena --ladder zeb:{place} --json`."


class Source(NamedTuple):
    """A network to publish."""

    path: str
    """As the user gave it."""
    found: Path
    """Its place on this machine, from `network.find`."""
    config: network.ZebConfig
    params: network.Params


def open_repository(repo: str, public: bool) -> HubStore:
    """Return the store of a repository that a network is to be published in; nothing is sent.

    Args:
        repo: `USER/REPO`.
        public: make the repository public, if it is created. One that exists stays as it is.

    Raises:
        StoreError: if there is no token, or the name, the extra `hub` or HF_HUB_OFFLINE rules it
            out.
    """
    store = HubStore(f"{hub.SCHEME}{repo}", RETRY_S, private=not public)
    store.check_writable()
    return store


def contents(source: Source, place: str, ladder: Path | None = None) -> dict[str, bytes]:
    """Return the files of a network's repository by name: a network folder with a fuller card.

    Args:
        source: the network.
        place: hf://USER/REPO, for the card.
        ladder: standings that `zebjax arena --ladder --json` printed. None: those that come with
            zebjax for the bundled network, none for others.

    Raises:
        ValueError: if a file that describes the network or its strength is damaged, or the
            standings do not have it.
    """
    is_bundled = source.found == storage.BUNDLED
    history = storage.history(source.found)
    run = run_facts(source.found)
    if ladder is None and is_bundled and LADDER.is_file():
        ladder = LADDER
    strength = _NOT_RATED.format(place=place)
    if ladder is not None:
        strength = strength_of(f"zeb:{source.path}", files.read_json(ladder), ladder)
    elif is_bundled:
        strength = ""  # it is in its own words
    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder), source.config, source.params, history or None)
        made = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    for name in (storage.WEIGHTS_FILE, storage.PROVENANCE_FILE):
        # The bytes of a file of weights differ each time that it is made: the order of its
        # metadata. The one that is there keeps its checksum.
        if (source.found / name).is_file():
            made[name] = (source.found / name).read_bytes()
    text = card.model_card(
        source.config,
        network.n_params(source.params),
        history | run,
        place,
        _own_words(source.found) if is_bundled else "",
        strength,
    )
    return made | {storage.CARD_FILE: text.encode()}


def _own_words(folder: Path) -> str:
    """The text of the bundled network's card between its title and the next heading."""
    text = (folder / storage.CARD_FILE).read_text()
    return text.split("\n# ", 1)[1].split("\n", 1)[1].split("\n## ", 1)[0].strip()


def run_facts(found: Path) -> dict[str, Any]:
    """Return what the run's folder says of how a step of it was made; empty if it is no such step.

    Args:
        found: the step's folder, RUN/checkpoints/step_....

    Raises:
        ValueError: if a file of the run is not JSON.
    """
    run = found.parent.parent
    if found.parent.name != "checkpoints" or not (run / "experiment.json").is_file():
        return {}
    settings = files.read_json(run / "experiment.json")
    settings = changes.flat(settings) if isinstance(settings, dict) else {}
    starts = files.read_json(run / environment.FILE) if (run / environment.FILE).is_file() else []
    newest = starts[-1] if isinstance(starts, list) and starts else {}
    newest = newest if isinstance(newest, dict) else {}
    versions = newest.get("versions")
    searched = settings.get("selfplay.method", "search") == "search"
    facts = {
        "zebjax": versions.get("zebjax") if isinstance(versions, dict) else None,
        **{name: newest.get(name) for name in ("commit", "device", "devices", "started_at")},
        **{name: settings.get(name) for name in _SETTINGS},
        **({name: settings.get(name) for name in _OF_SEARCH} if searched else {}),
    }
    start = facts["start.checkpoint"]
    if isinstance(start, str) and not hub.is_hub(start):
        facts["start.checkpoint"] = Path(start).name
    return {name: value for name, value in facts.items() if value is not None}


def strength_of(player: str, standings: Any, file: Path) -> str:
    """Return a player's rating and its matches as Markdown.

    Args:
        player: its spec; the first player of the standings with this spec, or with options after
            it, is taken.
        standings: what `zebjax arena --ladder --json` printed, read from JSON.
        file: of the standings, for messages.

    Raises:
        ValueError: if the standings have another form, or not this player.
    """
    try:
        text = _strength(player, standings)
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"{file}: expected what `zebjax arena --ladder --json` prints") from None
    if text is None:
        raise ValueError(f"{file}: expected standings with {player}, it is not rated there")
    return text


def _strength(player: str, standings: Any) -> str | None:
    """Return the text of `strength_of`; None if the player is not there."""
    specs = [row["player"] for row in standings["ratings"]]
    spec = next((spec for spec in specs if spec.partition(",")[0] == player), None)
    if spec is None:
        return None
    rating, anchor = standings["ratings"][specs.index(spec)], standings["anchor"]
    low, high = rating["ci95"]
    scale = f", where `{anchor['player']}` has {anchor['elo']:,.0f}" if anchor else ""
    elo = f"Elo {rating['elo']:,.0f} [{low:,.0f}, {high:,.0f}]"
    found = [match for match in standings["matches"] if spec in (match["a"], match["b"])]
    rows = [_met(spec, match) for match in found]
    return (
        f"`{spec}` has {elo} over {rating['games']:,} games{scale}. "
        "Every deal is played twice, teams swapped; intervals are 95 %.\n\n"
    ) + card.table(("against", "wins, %", "interval", "deals"), rows)


def _met(spec: str, match: Mapping[str, Any]) -> tuple[Any, ...]:
    """One row of the table of matches, from the view of `spec`."""
    share, (low, high), other = match["win_rate"], match["win_rate_ci95"], match["b"]
    if spec == match["b"]:
        share, low, high, other = 1 - share, 1 - high, 1 - low, match["a"]
    return other, f"{100 * share:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", match["n_deals"]


def publish(store: HubStore, made: Mapping[str, bytes]) -> None:
    """Upload the files of a network's repository as one commit; it is created if it is missing.

    Raises:
        StoreError: if the Hub refuses them or cannot be reached.
    """
    store.put({}, made)
