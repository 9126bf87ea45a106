"""The subcommand `zebjax fleet plan`."""

import argparse
from pathlib import Path
from typing import Any

from zebjax import experiment
from zebjax.common import cli, console, parsing
from zebjax.operations.rented import planning, spec
from zebjax.operations.rented.model import ROLES


def plan_parser() -> experiment.Parser:
    """The parser of `zebjax fleet plan`."""
    made = experiment.Parser(
        "fleet plan",
        "Write the files of a fleet of rented machines into runs/NAME/fleet, have dstack's parser\n"
        "check them, and print offers and prices. Rents nothing. Run it again to change a fleet.",
        "lb_v_eq_3740 --store.url s3://my-bucket/zeb --selfplay 2 --evalaux 1 --max-price 0.10 "
        "--gpu RTX4070Ti,RTX3070Ti --package zebjax-0.2.0-py3-none-any.whl",
        usage="EXPERIMENT [--selfplay N] [--evalaux N] ... [--FIELD VALUE ...]",
    )
    group = made.add_argument_group("fleet")
    add = group.add_argument
    positive = cli.checked(parsing.number(1e-6, 1e6))
    for role in ROLES:
        add(
            f"--{role}",
            type=cli.integer(0, 100),
            default=0,
            metavar="N",
            help="workers (default 0)",
        )
    add(
        "--max-price",
        type=positive,
        default=0.10,
        metavar="USD",
        help="per worker and hour (default 0.10)",
    )
    add(
        "--budget", type=positive, default=5.0, metavar="USD", help="then all goes down (default 5)"
    )
    add("--gpu", default="", metavar="NAME,...", help="kinds, such as RTX4070Ti (default: any)")
    add(
        "--backend",
        default="vastai",
        metavar="NAME,...",
        help="of dstack, also runpod; none: only --ssh-host (default vastai)",
    )
    add("--allow", default="", metavar="ID,...", help="the only offers that may be rented")
    add("--spot", action="store_true", help="also machines that another renter may take over")
    add(
        "--deadline-min",
        type=positive,
        default=10.0,
        metavar="MIN",
        help="to a heartbeat (default 10)",
    )
    add("--cpus", type=cli.integer(1, 1024), default=4, metavar="N", help="at least (default 4)")
    add(
        "--memory-gb",
        type=cli.integer(1, 4096),
        default=8,
        metavar="N",
        help="at least (default 8)",
    )
    add(
        "--disk-gb",
        type=cli.integer(1, 4096),
        default=20,
        metavar="N",
        help="at least (default 20)",
    )
    add("--image", default="", metavar="IMAGE", help="a Docker image with zebjax")
    add("--package", default="", metavar="WHEEL", help="or a wheel of zebjax to install there")
    add("--ssh-host", action="append", default=[], metavar="USER@HOST", help="a machine of yours")
    add("--ssh-key", default="", metavar="FILE", help="private key for these")
    add(
        "--secret",
        action="append",
        default=[],
        metavar="VARIABLE[=SECRET]",
        help="an environment variable of the workers, and the name of the secret of dstack that "
        "holds its value (default: those of the store, zebjax_worker_VARIABLE)",
    )
    add(
        "--fleet-name",
        default="",
        metavar="NAME",
        help="prefix at the provider (default: the run's name)",
    )
    return made.with_fields()


def plan(arguments: argparse.Namespace) -> int:
    """Write and check the files of a fleet, and print offers and prices."""
    from zebjax.operations.rented import dstack_files

    settings = experiment.Parser.experiment(arguments)
    made, folder = planning.make_spec(arguments, settings), settings.folder / "fleet"
    targets = {role: getattr(arguments, role) for role in ROLES}
    if not any(targets.values()):
        raise ValueError("expected --selfplay N or --evalaux N, of at least 1")
    written = dstack_files.write(folder, made)
    spec.write(folder, made)
    with spec.changing(folder) as wanted:
        wanted["targets"] = targets
    for path in (folder / spec.SPEC, *written):
        print(path)
    print(f"secrets of dstack: {', '.join(secret for _, secret in made.secrets)}")
    _print_offers(made, folder, settings)
    return 0


def _print_offers(made: spec.Spec, folder: Path, settings: Any) -> None:
    from zebjax.operations.rented.dstack_provider import DstackProvider
    from zebjax.operations.rented.provider import ProviderError
    from zebjax.operations.rented.speeds import known, setting_of

    speeds = known(setting_of(settings))
    config = spec.config(folder, {gpu: speed.games_per_s for gpu, speed in speeds.items()})
    try:
        provider = DstackProvider(made)
        tables = {
            role: planning.offers_table(config, role, provider.list_offers(role), speeds)
            for role, n in config.wanted.targets.items()
            if n
        }
    except (ValueError, ProviderError) as error:
        print(f"offers are not known: {error}")
        return
    for role, rows in tables.items():
        offers = console.counted(len(rows), "offer")
        print(f"{role}, {offers} up to {made.rules.max_price:g} USD per hour:")
        print("\n".join(planning.text(rows[:12], config.wanted.targets[role])))
    print(planning.summary(config.wanted.targets, tables))
