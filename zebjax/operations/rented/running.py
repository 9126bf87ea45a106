"""`up` and `down`: run the guard until it is told to stop, or until nothing is left."""

import time
from collections.abc import Callable
from pathlib import Path

from zebjax.operations.rented import beats, spec
from zebjax.operations.rented.guard import Guard
from zebjax.operations.rented.provider import Provider, ProviderError
from zebjax.operations.rented.settings import Config
from zebjax.operations.rented.speeds import known

_SLEEP_S = 0.5
Say = Callable[[str], None]


def make_guard(folder: Path, provider: Provider, setting: str, say: Say) -> Guard:
    """The guard of a fleet's folder.

    Args:
        folder: the fleet's folder.
        provider: of its machines.
        setting: name of the speeds, see `speeds.setting_of`.
        say: told each event, and when a file of the folder cannot be read; its last contents are
            used then.

    Raises:
        ValueError: if a file cannot be read now, or the store cannot be opened.
    """
    speeds = {gpu: speed.games_per_s for gpu, speed in known(setting).items()}
    last = [spec.config(folder, speeds)]

    def config() -> Config:
        try:
            last[0] = spec.config(folder, speeds)
        except (ValueError, OSError) as error:
            say(f"the last settings stay in force: {error}")
        return last[0]

    found = spec.read(folder)
    return Guard(folder, config, provider, beats.reader(found.namespace, found.name), say)


def hold(guard: Guard, provider: Provider, stop_asked: Callable[[], bool], poll_s: float) -> bool:
    """Run the guard; the caller holds the folder's lock.

    Returns:
        True if the fleet went down and the provider lists nothing; False if a stop was asked for,
        and the fleet goes on without a guard.
    """
    while not stop_asked():
        guard.step()
        if guard.is_over() and is_empty(provider):
            provider.close()
            return True
        until = time.monotonic() + poll_s
        while time.monotonic() < until and not stop_asked():
            time.sleep(min(_SLEEP_S, poll_s))
    return False


def is_empty(provider: Provider) -> bool:
    """True if the provider answers and lists no machine of the fleet."""
    try:
        return not provider.list_machines()
    except ProviderError:
        return False


def wait_until_empty(provider: Provider, wait_s: float, stop_asked: Callable[[], bool]) -> bool:
    """Wait for another process's guard to end everything. True if nothing is left."""
    until = time.monotonic() + wait_s
    while not stop_asked() and time.monotonic() < until:
        if is_empty(provider):
            return True
        time.sleep(5.0)
    return False
