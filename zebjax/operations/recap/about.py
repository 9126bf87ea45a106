"""The sections about the run itself: overview and lineage, configuration, how to run it again."""

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from zebjax.network.config import MARGINAL
from zebjax.operations.recap import series, text
from zebjax.operations.recap.changes import Change
from zebjax.operations.recap.document import Block, Code, Missing, Section, Table, Text
from zebjax.operations.recap.read import Facts
from zebjax.training import changes

_ALWAYS = (
    *("learner.lr", "learner.batch", "learner.updates_per_cycle", "replay.capacity_examples"),
    *("replay.min_buffer", "replay.max_example_age_s", "replay.max_reuse", "store.keep_examples"),
    *("selfplay.lanes", "selfplay.method", "eval_aux.enabled"),
)
"""Settings that are shown even if they have their defaults."""
_OF_SEARCH = ("selfplay.search.policy", "selfplay.search.sims")
"""Shown too if self-play searches."""
_MAX_STARTS, _MAX_CHANGES = 20, 60
_MIN_KNOWN = 0.9
"""Share of the cycles whose time must be known to tell the time of all."""
NO_SETTINGS = (
    "The settings are not known: experiment.json in the run's folder holds them. "
    "`zebjax recap RUN` reads that folder."
)
NO_STARTS = (
    "The commands and versions are not known: environment.json in the run's folder holds them."
)


def _get(tree: Mapping[str, Any] | None, *names: str) -> Any:
    """A leaf of nested dicts; None if it is not there."""
    found: Any = tree
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def state_of(facts: Facts) -> str:
    """How far the run is, in words."""
    first, cycles = facts.progress.get("first_cycle"), _get(facts.settings, "cycles")
    newest = facts.progress.get("cycle") or _get(facts.learner, "step")
    if newest is None and facts.rows:
        newest = facts.rows[-1]["cycle"]
    last = first + cycles if type(first) is int and type(cycles) is int else None
    last = _get(facts.learner, "last_step") if last is None else last
    if type(newest) not in (int, float):
        return "nothing is known of its progress"
    if last is None:
        return f"at cycle {newest:,}; its last cycle is not known"
    if newest >= last:
        return f"complete: cycle {newest:,} of {last:,}"
    alive = "in progress" if facts.is_learner_alive else "not complete"
    return f"{alive}: cycle {newest:,} of {last:,}"


def _belief_head(fields: Any) -> str:
    known = {True: "yes", False: "no"}.get(_get(fields, "belief_head"), text.NONE)
    corrects = _get(fields, "belief_prior") == MARGINAL
    return f"{known}, corrects exact counting" if corrects else known


def overview_section(facts: Facts) -> Section:
    """What the run is and where its first weights come from."""
    network = _get(facts.settings, "network")
    begun_s = text.seconds_of(facts.starts[0].get("started_at")) if facts.starts else None
    rows = [
        ("run", facts.name),
        ("state", state_of(facts)),
        ("began", text.moment(begun_s)),
        ("last sign", text.moment(facts.last_sign_s)),
        ("time in cycles", text.duration(trained_s(facts))),
        ("network", _network(network)),
        ("parameters", text.NONE if facts.n_params is None else f"{facts.n_params:,}"),
        ("tokenizer", text.clean(_get(network, "tokenizer") or text.NONE)),
        ("belief head", _belief_head(network)),
        ("games from", text.clean(_get(facts.settings, "teacher", "folder") or _search(facts))),
        ("device of the learner", _device(facts)),
        ("store", _store(facts)),
        ("W&B run", text.clean(_wandb(facts) or text.NONE)),
    ]
    table = Table(("property", "value"), [row for row in rows if row[1] != text.NONE], n_words=2)
    lineage = Table(("lineage", "value"), _lineage(facts), n_words=2)
    blocks: list[Block] = [table, lineage]
    if facts.settings is None:
        blocks.append(Missing(NO_SETTINGS))
    if facts.settings is not None and facts.n_params is None:
        blocks.append(
            Missing("The number of parameters is not known: no network is in checkpoints/.")
        )
    blocks += [Missing(text.clean(note)) for note in facts.notes]
    return Section("overview", "Overview and lineage", blocks)


def trained_s(facts: Facts) -> float | None:
    """Seconds of all cycles together; None if too many rows lack them, or too many are missing."""
    walls = series.of(facts.rows, series.WALL)[1]
    if not len(walls):
        return None
    n_cycles = facts.rows[-1]["cycle"] - facts.rows[0]["cycle"]
    return float(walls.sum()) if len(walls) >= _MIN_KNOWN * n_cycles else None


def _network(network: Any) -> str:
    names = ("n_layers", "n_heads", "embed_dim", "ff_dim")
    values = [_get(network, name) for name in names]
    if None in values:
        return text.NONE
    layers, heads, width, inner = (text.clean(value, 20) for value in values)
    return f"transformer: {layers} layers, {heads} heads, width {width}, feed-forward {inner}"


def _search(facts: Facts) -> str:
    method = _get(facts.settings, "selfplay", "method")
    if method in ("outcomes", "rollouts"):
        return f"self-play without a search, method {method}"
    policy, sims = (_get(facts.settings, "selfplay", "search", n) for n in ("policy", "sims"))
    return text.NONE if policy is None else f"self-play, {policy} with {sims} simulations"


def _device(facts: Facts) -> str:
    devices = [text.clean(start.get("device", ""), 60) for start in facts.starts]
    return ", ".join(dict.fromkeys(device for device in devices if device)) or text.NONE


def _store(facts: Facts) -> str:
    if not facts.publications:
        return text.NONE
    newest = facts.publications[-1]
    return (
        f"{len(facts.publications)} publications read; the newest is generation "
        f"{text.clean(newest.get('generation'), 20)}, step {text.clean(newest.get('step'), 20)}"
    )


def _wandb(facts: Facts) -> Any:
    published = facts.publications[-1] if facts.publications else {}
    known = (
        _get(facts.learner, "wandb_url"),
        facts.wandb.get("url"),
        facts.progress.get("wandb_run_id"),
    )
    return next((one for one in (*known, published.get("wandb_run_id")) if one), None)


def _lineage(facts: Facts) -> list[tuple[str, ...]]:
    start, origin = _get(facts.settings, "start"), facts.provenance
    checkpoint = _get(start, "checkpoint")
    if facts.settings is None:
        begun = text.NONE
    else:
        begun = "random weights" if checkpoint is None else text.clean(checkpoint)
    step = facts.progress.get("first_cycle", _get(start, "step"))
    games = origin.get("total_games") or _get(start, "total_games")
    seeds = _get(facts.settings, "replay", "seed_folder")
    rows = [
        ("first weights", begun),
        ("their step", text.NONE if type(step) is not int else f"{step:,}"),
        ("their games", text.NONE if type(games) is not int else f"{games:,}"),
        ("file", text.clean(origin.get("source") or text.NONE)),
        ("its sha256", text.clean(origin.get("sha256") or text.NONE)),
        ("belief head at the start", text.clean(_get(start, "belief_head") or text.NONE)),
        ("their W&B run", text.clean(origin.get("wandb_run_id") or text.NONE)),
        ("games to begin with", text.clean(seeds or text.NONE)),
    ]
    if checkpoint is None:
        rows = [row for row in rows if row[0] != "belief head at the start"]
    return [row for row in rows if row[1] != text.NONE] or [("first weights", "not known")]


def configuration_section(facts: Facts) -> Section:
    """Settings at the beginning and at the end, and every change."""
    if facts.settings is None:
        return Section("configuration", "Configuration", [Missing(NO_SETTINGS)])
    final = changes.flat(facts.settings)
    usual = changes.defaults()
    initial = dict(final)
    for change in reversed(facts.changes):
        initial[change.field] = change.before
    changed_at: dict[str, list[str]] = {}
    for change in facts.changes:
        changed_at.setdefault(change.field, []).append(str(change.step))

    def row(name: str) -> tuple[str, ...]:
        both = (text.value(initial.get(name)), text.value(final.get(name)))
        return (name, *both, ", ".join(changed_at.get(name, [])) or text.NONE)

    searches = final.get("selfplay.method", "search") == "search"
    always = (*_ALWAYS, *_OF_SEARCH) if searches else _ALWAYS
    shown = [
        name
        for name in final
        if name in always or name in changed_at or final[name] != usual.get(name, final[name])
    ]
    columns = ("setting", "initial", "final", "changed at cycle")
    blocks: list[Block] = [
        Table(columns, [row(name) for name in shown], n_words=3),
        _changes(facts.changes),
        Table(columns[:3], [row(name)[:3] for name in final], "All settings", 3, is_folded=True),
    ]
    return Section("configuration", "Configuration", blocks)


def _changes(made: list[Change]) -> Block:
    if not made:
        return Text(
            f"No change is recorded ({changes.FILE} in the run's folder, or the settings of the "
            "published weights)."
        )
    rows = [
        (
            *(text.clean(change.field, 80), text.value(change.before), text.value(change.after)),
            *(f"{change.step:,}", text.moment(change.time_s)),
        )
        for change in made[-_MAX_CHANGES:]
    ]
    more = f" (the last {_MAX_CHANGES} of {len(made)})" if len(made) > _MAX_CHANGES else ""
    columns = ("setting", "before", "after", "after cycle", "when")
    return Table(columns, rows, f"Every change{more}", n_words=3)


def command_of(words: Any) -> str | None:
    """The command line of a start as it would be typed; None if it is not one.

    >>> command_of(["/x/zebjax/__main__.py", "train", "quickstart", "--name", "a b"])
    "zebjax train quickstart --name 'a b'"
    >>> command_of(["/x/zebjax/train.py", "quickstart"])
    'zebjax train quickstart'
    """
    if not isinstance(words, list) or not words or not all(type(word) is str for word in words):
        return None
    program = PurePath(words[0])
    if program.parent.name == "zebjax" and program.suffix == ".py":
        before = ["zebjax"] if program.stem == "__main__" else ["zebjax", program.stem]
    else:
        before = [program.name or "zebjax"]
    return text.clean(shlex.join([*before, *words[1:]]), 2000)


def again_section(facts: Facts) -> Section:
    """Commands, commit and versions with which the run was made."""
    blocks: list[Block] = []
    if not facts.starts:
        blocks.append(Missing(NO_STARTS))
        if facts.settings is not None:
            blocks.append(Text("With the settings above in an experiment file:"))
            blocks.append(Code("zebjax train EXPERIMENT.py"))
        return Section("again", "How to run it again", blocks)
    newest = facts.starts[-1]
    commits = list(
        dict.fromkeys(text.clean(s["commit"], 60) for s in facts.starts if s.get("commit"))
    )
    versions = newest.get("versions") if isinstance(newest.get("versions"), dict) else {}
    pins = [
        f"{text.clean(name, 60)}=={text.clean(version, 60)}"
        for name, version in (versions or {}).items()
        if name != "zebjax"
    ]
    commands = [command_of(start.get("command")) for start in facts.starts]
    lines = []
    if commits:
        lines.append(f"git checkout {commits[-1].rstrip('+')}")
    if pins:
        lines.append(f"pip install {shlex.join(pins)}")
    lines += list(dict.fromkeys(command for command in commands if command))[-_MAX_STARTS:]
    blocks.append(Code("\n".join(lines)))
    if any(commit.endswith("+") for commit in commits):
        blocks.append(Text("“+” after a commit: files differed from it."))
    if not commits:
        blocks.append(Missing("The commit is not known: this start was recorded without one."))
    rows = [
        (
            text.moment(text.seconds_of(start.get("started_at"))),
            text.clean(start.get("device", text.NONE), 60),
            text.clean(start.get("python", text.NONE), 20),
            text.clean(_get(start, "versions", "zebjax") or text.NONE, 20),
            text.clean(start.get("commit") or text.NONE, 60),
            text.clean(start.get("cycle", text.NONE), 20),
        )
        for start in facts.starts[-_MAX_STARTS:]
    ]
    columns = ("started", "device", "Python", "zebjax", "commit", "after cycle")
    blocks.append(Table(columns, rows, f"Starts of the learner ({len(facts.starts)})", n_words=5))
    blocks.append(
        Text(
            "The same code, settings and seed make the same run if one process on a CPU plays and "
            "trains. With workers the games depend on timing."
        )
    )
    return Section("again", "How to run it again", blocks)
