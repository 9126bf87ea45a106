"""The amount of work in a call is chosen so that the call takes about ten seconds."""

from tests.support.tiny import Quiet
from zebjax.training.call_sizer import CallSizer


def test_calls_that_end_early_do_not_grow_without_end():
    sizer = CallSizer("self-play", "", Quiet())
    for _ in range(100):
        sizer.timed(1e-9)
    assert 2**10 < sizer.n < 2**31


def test_calls_grow_to_ten_seconds_and_shrink_again():
    sizer = CallSizer("self-play", "", Quiet())
    for _ in range(20):
        sizer.timed(sizer.n * 0.5)
    assert sizer.n == 20
    sizer.timed(100.0)
    assert sizer.n == 2
