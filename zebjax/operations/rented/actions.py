"""What `zebjax fleet status|logs|stop|restart` do with a rented fleet, see `fleets.Actions`."""

from zebjax.operations.fleets import Fleet
from zebjax.operations.rented import command_line, commands, holding_commands


def status(fleet: Fleet, as_json: bool) -> int:
    """Print the workers, their cost and what is in quarantine, as the guard knows them."""
    return commands.status(fleet.folder, as_json)


def logs(fleet: Fleet, names: list[str], n_lines: int, follow: bool) -> int:
    """Print the last lines of the workers' output.

    Raises:
        ValueError: if they should be followed: dstack's own command does that.
    """
    if follow:
        raise ValueError("-f: not for rented workers; `dstack attach WORKER` follows one")
    return commands.logs(fleet.folder, names, n_lines)


def stop(fleet: Fleet) -> int:
    """End all workers, as `zebjax fleet down`."""
    down = holding_commands.down_parser().parse_args([str(fleet.folder)])
    return command_line.checked(holding_commands.down)(down)


def restart(fleet: Fleet, names: list[str]) -> int:
    """Replace some workers, as `zebjax fleet cull`."""
    return commands.end(fleet.folder, names)
