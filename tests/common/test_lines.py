"""Lines as they come: bounded, in order, as many together as there are."""

import io
import os

from zebjax.common import lines


def test_a_line_that_is_too_long_is_cut_and_the_next_is_whole():
    for size in (9, 10, 11, 12, 13, 25, 1000):
        stream = io.BytesIO(b"a\r\n" + b"x" * size + b"\nb\n\nlast")
        assert list(lines.bounded(stream, 10)) == [b"a", b"x" * min(size, 11), b"b", b"", b"last"]


def test_batches_hold_every_line_once():
    text = b"".join(b"%d\n" % number for number in range(100))
    found = list(lines.batches(10, 7, io.BytesIO(text)))
    assert [int(line) for batch in found for line in batch] == list(range(100))
    assert max(map(len, found)) <= 7


def test_one_line_is_answered_before_the_next_comes():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb") as sink:
        batches = lines.batches(10, 7, stream)
        for line in (b"first", b"second"):
            sink.write(line + b"\n")
            sink.flush()
            assert next(batches) == [line]
