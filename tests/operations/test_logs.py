"""Logs are read to the last line while they are written, rotated and emptied."""

import os

import pytest

from zebjax.operations import logs


def write(path, first, last):
    with open(path, "a") as file:
        file.writelines(f"line {n}\n" for n in range(first, last))


def numbers(lines):
    return [int(line.split()[1]) for line in lines]


def test_the_tail_reaches_into_the_rotated_file(tmp_path):
    path = tmp_path / "a.log"
    assert logs.tail(path, 5) == []
    write(path, 0, 10)
    assert numbers(logs.tail(path, 3)) == [7, 8, 9] and logs.tail(path, 0) == []
    os.rename(path, tmp_path / "a.log.1")
    assert numbers(logs.tail(path, 3)) == [7, 8, 9]
    write(path, 10, 12)
    assert numbers(logs.tail(path, 4)) == [8, 9, 10, 11]
    assert numbers(logs.tail(path, 100)) == list(range(12))


def test_a_line_that_a_rotation_cut_is_whole(tmp_path):
    (tmp_path / "a.log.1").write_text("one\ntw")
    (tmp_path / "a.log").write_text("o\nthree\n")
    assert logs.tail(tmp_path / "a.log", 3) == ["one", "two", "three"]


def test_characters_that_move_the_cursor_and_bytes_that_are_no_text_are_harmless(tmp_path):
    (tmp_path / "a.log").write_bytes(b"a\x1b[2Jb \xff\tc\r\n")
    assert logs.tail(tmp_path / "a.log", 1) == ["a [2Jb \ufffd c"]


@pytest.fixture
def instantly(monkeypatch):
    monkeypatch.setattr(logs, "_POLL_S", 0.0)


def taken(stream):
    """What comes until the next look."""
    found = []
    while (each := next(stream)) is not None:
        found.append(each)
    return found


def test_new_lines_are_followed_through_rotations(tmp_path, instantly):
    path, other = tmp_path / "a.log", tmp_path / "b.log"
    write(path, 0, 10)
    stream = logs.follow({"a": path, "b": other}, 2)
    assert taken(stream) == [("a", "line 8"), ("a", "line 9")]
    assert taken(stream) == []
    write(path, 10, 12)
    write(other, 0, 1)  # a log that begins later
    assert taken(stream) == [("a", "line 10"), ("a", "line 11"), ("b", "line 0")]
    with open(path, "a") as file:
        file.write("line 1")
    assert taken(stream) == []  # half a line waits for its end
    os.rename(path, tmp_path / "a.log.1")
    path.write_text("2\nline 13\n")
    assert taken(stream) == [("a", "line 12"), ("a", "line 13")]
    write(path, 14, 15)
    assert taken(stream) == [("a", "line 14")]
    path.write_text("line 15\n")  # emptied
    assert taken(stream) == [("a", "line 15")]
    path.unlink()
    assert taken(stream) == []
