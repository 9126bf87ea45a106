"""The state of a run as lines of text and as a table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from zebjax.common.console import duration
from zebjax.operations.watching.facts import MAX_S, State
from zebjax.training.metrics import LOSSES, WIN_RATE

if TYPE_CHECKING:  # imported when the state is shown, so that `--help` is fast
    from rich.table import Table
    from rich.text import Text

_MAX_TEXT, _MAX_PHASE, _MAX_SHOWN = 40, 12, 1e13
_MAX_OPPONENTS = 8
_DOING = {
    "play": "playing",
    "train": "training",
    "judge": "evaluating",
    "compile": "compiling",
}


def plain(value: Any, max_chars: int = 400) -> str:
    """A value as text without characters that would move the cursor."""
    return "".join(filter(str.isprintable, str(value)))[:max_chars]


def number(value: Any, form: str) -> str:
    """A number in a format, an impossibly large one in few characters; else the value as it is."""
    if not isinstance(value, int | float):
        return plain(value, _MAX_TEXT)
    return format(value, form if abs(value) < _MAX_SHOWN else ".3g")


def age(seconds: Any) -> str:
    """Seconds as 4:05; `unknown` if they are too many."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < MAX_S / 10:
        return "unknown"
    return duration(seconds)


def doing(phase: Any, takes_games: bool = False) -> str:
    """A phase in words.

    Args:
        phase: of a heartbeat.
        takes_games: True for a learner, whose games are played by workers.
    """
    if takes_games and phase == "play":
        return "waiting"
    return _DOING.get(phase, plain(phase, _MAX_PHASE))


# ---- lines


def lines(state: State) -> list[str]:
    """Return everything but the processes and alarms, one line for each subject that is known."""
    found = (
        _learner_line(state["learner"]),
        _step_line(state["learner"]),
        _buffer_line(state["learner"], state["metrics"]),
        _metrics_line(state["metrics"]),
        _speed_line(state),
        f"W&B      {state['learner']['wandb_url']}" if state["learner"].get("wandb_url") else "",
        *warning_lines(state),
    )
    return [line for line in found if line]


def _learner_line(learner: Mapping[str, Any]) -> str:
    if not learner:
        return ""
    if learner.get("complete"):
        return "learner  complete"
    waits = "waits_for" in learner
    # Only a run in one process, from its folder, plays itself.
    phase, is_alone = learner.get("phase"), "complete" in learner
    now = "in an unknown phase" if phase is None else doing(phase, not is_alone)
    if learner.get("stopped"):
        return f"learner  stopped while {now}"
    if not learner.get("alive"):
        return f"learner  silent; the last report was: {now}"
    since = f" for {age(learner['phase_age_s'])}" if "phase_age_s" in learner else ""
    why = f": {learner['waits_for']}" if waits else ""
    if waits and "have" in learner and "needed" in learner:
        why += f" (have {number(learner['have'], ',')}, need {number(learner['needed'], ',')})"
    return f"learner  {now}{since}{why}"


def _step_line(learner: Mapping[str, Any]) -> str:
    if "step" not in learner:
        return ""
    parts = [number(learner["step"], ",")]
    if "last_step" in learner:
        parts[0] += f" of {number(learner['last_step'], ',')}"
    if "step_age_s" in learner:
        parts.append(f"reached {age(learner['step_age_s'])} ago")
    if "cycle_s" in learner:
        parts.append(f"a cycle takes {age(learner['cycle_s'])}")
    if "total_games" in learner:
        parts.append(f"{number(learner['total_games'], ',')} games")
    return f"step     {', '.join(parts)}"


def _buffer_line(learner: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    have, capacity = learner.get("buffer"), learner.get("capacity")
    if have is None:
        return ""
    line = f"buffer   {number(have, ',')}"
    if capacity:
        line += f" of {number(capacity, ',')}"
    line += " examples" + (f" ({number(100 * have / capacity, '.0f')} %)" if capacity else "")
    for name, form, what in (
        ("stats/buffer_age_cycles", ",.1f", "cycles old on average"),
        ("stats/buffer_turnover_cycles", ",.0f", "cycles to replace it"),
        ("stats/rows_trained_per_row", ",.1f", "rows trained per row"),
    ):
        if name in metrics:
            line += f", {number(metrics[name], form)} {what}"
    return line


def _metrics_line(metrics: Mapping[str, Any]) -> str:
    losses = [
        f"{name} {number(metrics[f'train/{metric}'], '.3f')}"
        for name, metric in LOSSES.items()
        if f"train/{metric}" in metrics
    ]
    parts = [f"losses {', '.join(losses)}"] if losses else []
    if losses and "held_out/value_loss" in metrics:
        parts[0] += f", held-out value {number(metrics['held_out/value_loss'], '.3f')}"
    if "stats/eval_aux_updates" in metrics:
        own, aux = (metrics.get(f"stats/{name}_updates", "?") for name in ("selfplay", "eval_aux"))
        weight = number(metrics.get("stats/eval_aux_policy_w", "?"), "g")
        parts.append(
            f"mix {number(own, 'g')}/{number(aux, 'g')} self/eval, eval_aux_policy_w={weight}"
        )
    evaluated = [match for name in metrics if (match := WIN_RATE.fullmatch(name))]
    for match in evaluated[:_MAX_OPPONENTS]:
        half = metrics.get(f"{match[0]}_ci95")
        interval = "" if half is None else f" ± {number(100 * half, '.1f')}"
        rate = number(100 * metrics[match[0]], ".1f")
        parts.append(f"{rate}{interval} % against {plain(match[1], _MAX_TEXT)}")
    return f"network  {'; '.join(parts)}" if parts else ""


def _speed_line(state: State) -> str:
    speeds = state["games_per_s"]
    roles = [
        f"{plain(role, _MAX_TEXT)} {number(speed, '.2f')}"
        for role, speed in speeds.items()
        if role != "all"
    ]
    line = f"games/s  {number(speeds['all'], '.2f')}"
    if roles:
        line += f" in all: {', '.join(roles)}"
    price = state["usd_per_hour"]
    return line + ("" if price is None else f"; {number(price, '.3f')} USD/h")


def warning_lines(state: State) -> list[str]:
    """Return the warnings about the metrics, and the last warning of each role."""
    of_roles = [
        f"{plain(each['role'], _MAX_TEXT)} {plain(each['name'], _MAX_TEXT)}, "
        f"{age(each['age_s'])} ago: {plain(each['text'])}"
        for each in state["last_warnings"]
    ]
    of_metrics = [f"{plain(name)}: {plain(text)}" for name, text in state["warnings"].items()]
    return [f"warning  {text}" for text in (*of_metrics, *of_roles)]


def verdict(state: State) -> str:
    """Return the alarms with their sentences; without any, the names of the warnings about the
    metrics, or `all well`.
    """
    quarantined = f"; files quarantined: {state['quarantined']}" if state["quarantined"] else ""
    texts = state["alarm_texts"]
    alarms = [f"{name} ({texts[name]})" if name in texts else name for name in state["alarms"]]
    if alarms:
        return f"ALARM: {'; '.join(alarms)}{quarantined}"
    warned = ", ".join(map(plain, state["warnings"]))
    return (f"no alarm; warning: {warned}" if warned else "all well") + quarantined


def title(state: State) -> str:
    """Return what the processes work with: the newest weights, or the run's name."""
    newest = state["weights"]
    if newest is None:
        is_store = any(process.get("role") != "all" for process in state["processes"])
        return "no weights published" if is_store or not state["processes"] else state["run"]
    return (
        f"weights of step {newest['step']}, generation {newest['generation']}, "
        f"{newest['total_games']:,} games"
    )


# ---- the table

_COLUMNS = (
    *("role", "name", "last seen", "phase", "step", "lag", "games", "games/s", "batches"),
    "waiting",
)
_RARE = {"dropped": "dropped_games", "USD/h": "price_usd_per_hour", "device": "device"}
"""Columns that are shown only if a process has such a value: the table is wide."""
_LEFT = ("role", "name", "phase", "device", "host")


def columns(state: State) -> tuple[str, ...]:
    """Return the names of the table's columns."""
    processes = state["processes"]
    rare = (name for name, key in _RARE.items() if any(each.get(key) for each in processes))
    return (*_COLUMNS, *rare, "host")


def cells(process: Mapping[str, Any]) -> dict[str, str]:
    """Return column name -> text. The values come from other machines, of any type."""
    seen = age(process["last_seen_s"])
    if not process["alive"]:
        seen += ", stopped" if process.get("state") == "stopped" else ", silent"
    found = {
        "role": process.get("role", "?"),
        "name": process.get("name", "?"),
        "last seen": seen,
        "phase": doing(process.get("phase", ""), process.get("role") == "learner"),
        "step": number(process.get("step", ""), ""),
        "lag": number(process.get("lag", ""), ""),
        "games": number(process.get("games", process.get("total_games", "")), ","),
        "games/s": number(process.get("games_per_s", ""), ".2f"),
        "batches": number(process.get("batches", ""), ","),
        "waiting": number(process.get("spooled_files", ""), ""),
        "dropped": number(process.get("dropped_games", ""), ","),
        "USD/h": number(process.get("price_usd_per_hour", ""), ".3f"),
        "device": process.get("device", ""),
        "host": process.get("host", ""),
    }
    return {name: plain(value, _MAX_TEXT) for name, value in found.items()}


def table(state: State) -> "Table":
    """Return the processes as a table, with the alarms below it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(title(state)),
        caption=Text(verdict(state)),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    names = columns(state)
    for name in names:
        justify: Literal["left", "right"] = "left" if name in _LEFT else "right"
        # Only these may wrap, so in a narrow terminal they are shortened first.
        made.add_column(name, justify=justify, no_wrap=name not in ("device", "host"))
    for process in state["processes"]:
        texts = cells(process)
        made.add_row(*(Text(texts[name]) for name in names))
    return made


def text(state: State) -> "Text":
    """Return `lines` for a console."""
    from rich.text import Text

    return Text("\n".join(lines(state)))
