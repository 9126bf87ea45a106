"""A unit file of systemd for a local fleet."""

import os
from collections.abc import Sequence
from pathlib import Path

from zebjax.operations.local.configuration import Policy

_UNIT = """\
# zebjax, run {name}. Save this as ~/.config/systemd/user/{service}.service, then
#   systemctl --user daemon-reload
#   systemctl --user enable --now {service}
#   loginctl enable-linger        # it also runs while you are not logged in
# Credentials and other variables, one NAME=VALUE a line: ~/.config/zebjax/environment (mode 600).
# `zebjax fleet status|logs|restart|stop` work as without systemd.

[Unit]
Description=zebjax run {name}: learner and workers

[Service]
Type=exec
WorkingDirectory={folder}
{environment}EnvironmentFile=-%h/.config/zebjax/environment
ExecStart={command}
# What it does not stop itself is killed; a run that is complete ends with status 0.
Restart=on-failure
RestartSec=10
# SIGTERM for supervisord alone: it stops the workers first, then the learner.
KillMode=mixed
TimeoutStopSec={stop_s:.0f}

[Install]
WantedBy=default.target
"""


def unit(name: str, command: Sequence[str], policy: Policy = Policy()) -> str:  # noqa: B008
    """The unit file.

    Args:
        name: the run's name.
        command: starts the fleet in the foreground.
        policy: limits of the fleet.
    """
    # Only what is needed to find zebjax: a unit file is no place for secrets.
    path = os.environ.get("PYTHONPATH")
    absolute = os.pathsep.join(
        str(Path(part).absolute()) for part in (path or "").split(os.pathsep)
    )
    return _UNIT.format(
        name=name,
        service=f"zebjax-{name}",
        folder=_escaped(str(Path.cwd())),
        environment=f"Environment={_quoted(f'PYTHONPATH={absolute}')}\n" if path else "",
        command=" ".join(map(_quoted, command)),
        stop_s=policy.stop_s + 30,
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a command line, after systemd.service(5)."""
    escaped = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    needs = not word or any(character.isspace() or character in "\"'\\;" for character in word)
    return f'"{escaped}"' if needs else escaped
