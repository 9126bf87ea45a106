"""Become one process of a local fleet: `python -I child.py NAME` in the fleet's folder.

`supervisord` starts this file. It imports nothing of zebjax, which may be found only from the
folder, and with the variables, that the fleet was started with.
"""

import json
import os
import sys

MARK = "ZEBJAX_FLEET"
"""Variable with the fleet's token: all processes of the fleet have it."""


def main() -> None:
    """Replace this process by the program of that name in `fleet.json`."""
    with open("fleet.json", "rb") as file:
        fleet = json.load(file)
    (program,) = (known for known in fleet["programs"] if known["name"] == sys.argv[1])
    os.chdir(fleet["cwd"])
    command = program["command"]
    os.execve(command[0], command, {**os.environ, **program["environment"]})


if __name__ == "__main__":
    main()
