"""`plan`: from an experiment and options to a fleet's files, and what it would cost."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zebjax.common import overrides
from zebjax.operations.rented import ranking, spec
from zebjax.operations.rented.model import ROLES, Memory, Offer
from zebjax.operations.rented.settings import Config, Rules
from zebjax.operations.rented.speeds import Known
from zebjax.training.config import Experiment

_LOCAL_FIELDS = ("name", "runs")
"""Fields of an experiment that a worker is told otherwise, or that are of this machine."""


def make_spec(arguments: argparse.Namespace, settings: Experiment) -> spec.Spec:
    """Return the fleet that the options of `plan` describe.

    Raises:
        ValueError: if a value is not allowed, or the store cannot be reached from elsewhere.
    """
    kind = spec.check_store(settings)
    if arguments.evalaux and not settings.eval_aux.enabled:
        raise ValueError(
            f"--evalaux {arguments.evalaux}: {settings.name} would drop these games; expected "
            "--eval-aux.enabled too, or --evalaux 0"
        )
    given = vars(arguments)
    options = tuple(
        f"{field.option}={given[field.path]}"
        for field in overrides.fields(Experiment)
        if field.path in given and field.path not in _LOCAL_FIELDS
    )
    secrets = tuple(spec.parse_secret(text) for text in arguments.secret)
    machines = spec.Machines(
        gpus=_words(arguments.gpu),
        backends=() if arguments.backend == "none" else _words(arguments.backend),
        spot=arguments.spot,
        cpus=arguments.cpus,
        memory_gb=arguments.memory_gb,
        disk_gb=arguments.disk_gb,
        ssh_hosts=tuple(arguments.ssh_host),
        ssh_key=arguments.ssh_key,
        image=arguments.image,
        package=_package(arguments.package),
    )
    return spec.Spec(
        arguments.fleet_name or spec.fleet_name(settings.name),
        _experiment(arguments.experiment),
        options,
        settings.namespace,
        settings.name,
        Rules(
            max_price=arguments.max_price,
            budget_usd=arguments.budget,
            deadline_s=60 * arguments.deadline_min,
            allow=_words(arguments.allow),
        ),
        machines,
        secrets or spec.default_secrets(kind),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _package(text: str) -> str:
    if not text:
        return ""
    path = Path(text)
    if path.suffix != ".whl" or not path.is_file():
        raise ValueError(f"--package {text}: expected the file of a wheel of zebjax")
    return str(path.absolute())


def _experiment(name: str) -> str:
    """The experiment as a worker finds it: by its name if it comes with zebjax."""
    path = Path(name)
    if path.suffix == ".py" and path.is_file() and path.parent != Path("experiments"):
        return str(path.absolute())
    return path.stem


# ---- what it would cost


def offers_table(
    config: Config, role: str, offers: tuple[Offer, ...], known: Mapping[str, Known]
) -> list[dict[str, Any]]:
    """The offers for a role in the guard's order, each with its speed and its cost."""
    ranked = ranking.ranked(config, Memory(), role, offers, 0.0)
    return [_row(offer, known.get(ranking.key(offer.gpu)), role) for offer in ranked]


def _row(offer: Offer, known: Known | None, role: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "offer": offer.id,
        "gpu": offer.gpu,
        "cpus": offer.cpus,
        "usd_per_hour": offer.usd_per_hour,
        "games_per_s": None,
        "usd_per_million_games": None,
        "source": "not known",
    }
    if role == "selfplay" and known is not None:
        per_million = offer.usd_per_hour / 3600 / known.games_per_s * 1e6
        row |= {
            "games_per_s": known.games_per_s,
            "usd_per_million_games": per_million,
            "source": known.source,
        }
    return row


def text(rows: list[dict[str, Any]], n: int) -> list[str]:
    """Lines about the offers; the first `n` are those that would be rented."""
    lines = []
    for number, row in enumerate(rows):
        speed = "speed not known"
        if row["games_per_s"] is not None:
            speed = (
                f"{row['games_per_s']:.1f} games/s, {row['usd_per_million_games']:.2f} USD per "
                f"million games ({row['source']})"
            )
        mark = "*" if number < n else " "
        lines.append(
            f" {mark} {row['offer']:32} {row['gpu']:12} {row['cpus']:3} cores "
            f"{row['usd_per_hour']:.3f} USD/h  {speed}"
        )
    return lines


def summary(targets: Mapping[str, int], tables: Mapping[str, list[dict[str, Any]]]) -> str:
    """One line: price an hour and the cost of a million games of what would be rented."""
    chosen = {role: tables.get(role, [])[: targets.get(role, 0)] for role in ROLES}
    usd = sum(row["usd_per_hour"] for found in chosen.values() for row in found)
    speeds = [row["games_per_s"] for row in chosen["selfplay"]]
    n = sum(map(len, chosen.values()))
    line = f"the best {n} of these offers: {usd:.3f} USD per hour"
    if speeds and None not in speeds:
        rate = sum(speeds)
        line += f", {rate:.1f} games/s, {usd / 3600 / rate * 1e6:.2f} USD per million games"
    return line
