"""Lines that a program must refuse: damaged good ones, and strange ones."""

import json
import random

VALUES = (None, True, -1, 2**70, 1e308, "", "6-7", "\x00", [], {}, [[]], "x" * 5000, float("nan"))
STRANGE = (
    b"{",
    b"null",
    b"[]",
    b"0",
    b'""',
    b"{}",
    b"\xff\xfe",
    b"\x00",
    b"NaN",
    b"1" * 5000,
    b"[" * 50_000,
    b'{"a":' * 10_000,
    b"x" * 200_000,
    b'{"id": {"a": 1}}',
    b'{"id": "\\ud800"}',
    '{"id": "é", "request": "hällo"}'.encode(),
    b"<script>alert(1)</script>",
    b"__import__('os').system('true')",
)


def lines(good, n, seed=0):
    """n lines without a line end in them, of which none is a right one; the same for a seed."""
    rng = random.Random(seed)
    made = [*STRANGE]
    while len(made) < n:
        line = rng.choice(good)
        data = json.loads(line)
        kind = rng.randrange(3)
        if kind == 0:
            data = None
            made.append(line[: rng.randrange(1, len(line))])
        elif kind == 1:  # a wrong value at one place
            place, key = _places(data, rng)
            if isinstance(place[key], list | dict) or key in NEEDED:
                place[key] = rng.choice(VALUES)
                if key == "plays" and place[key] == []:  # it may be another right position
                    place[key] = {}
            else:
                place[key] = {"wrong": rng.choice(VALUES)}
        elif rng.random() < 0.5:  # too short a hand
            data["position"]["hands"][rng.randrange(4)] = ["6-6"]
        else:
            data["\u202e" * rng.randrange(3) + "evil"] = rng.choice(VALUES)
        if data is not None:
            made.append(json.dumps(data).encode())
    rng.shuffle(made)
    return made


NEEDED = ("declaration", "leader", "version", "request")


def _places(data, rng):
    """A random object or list in some data, and a key of it."""
    here = data
    while True:
        key = rng.choice([*here] if isinstance(here, dict) else range(len(here)))
        inner = here[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            return here, key
        here = inner
