"""The thread that talks to the store: what it says of a failure, and when it ends."""

import time

import pytest

from zebjax.distributed.store import Refused, Unreachable
from zebjax.distributed.store_thread import Background


class Failing:
    """Work that succeeds, fails once with `error`, and then succeeds."""

    def __init__(self, error):
        self.results = [None, error]

    def __call__(self):
        error = self.results.pop(0) if self.results else None
        if error is not None:
            raise error
        return False


def notes_of(work, n):
    thread, notes = Background(work, 0.01), []
    thread.start()
    until = time.monotonic() + 20
    while len(notes) < n and time.monotonic() < until:
        thread.check(notes.append)
        time.sleep(0.01)
    assert thread.stop()
    return notes


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("s3://b: timed out"), "the store does not answer, continuing without the"),
        (Refused("s3://b: no access"), "the store refuses a call, continuing without the"),
        (OSError(28, "No space left"), "files of this process for the store cannot be read or"),
    ],
)
def test_each_kind_of_failure_is_said_as_what_it_is(error, said):
    first, then = notes_of(Failing(error), 2)
    assert said in first and str(error) in first
    assert "the store works again after 0 s" in then


def test_a_store_that_refuses_from_the_beginning_ends_the_thread():
    def work():
        raise Refused("no access")

    with pytest.raises(Refused, match="no access"):
        notes_of(work, 1)
