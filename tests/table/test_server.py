"""`zebjax serve`: its answers, what it never tells, what it refuses, and that it survives."""

import asyncio
import importlib.util
import itertools
import json
import random
import urllib.parse

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from tests.support.tables import swapped
from zebjax import notation, serve
from zebjax.players.auction import Bidder
from zebjax.players.special_bids import SpecialBidder
from zebjax.table import bots, state
from zebjax.table.host import Host
from zebjax.table.web import app, guard
from zebjax.table.web.tables import IDLE_S, Tables

UNLIMITED = guard.Rates(1e9, 1e9)


@pytest.fixture(scope="module")
def loaded():
    return bots.load(["random", "heuristic"])


def client_of(host, tables=None, rates=UNLIMITED, hosts=("testserver",)):
    count = itertools.count(5)
    server = app.Server(host, lambda: next(count), tables)
    return TestClient(app.make(server, hosts, rates)), server


@pytest.fixture
def client(loaded):
    # With one event loop for all requests, as a server has.
    with client_of(Host(loaded, None, worlds=2))[0] as made:
        yield made


def start(client, seat=0):
    made = client.post("/api/tables", json={"players": [0, 1, 0], "seat": seat})
    assert made.status_code == 201
    return made.json()["table"], made.json()["views"][-1]


def act(client, name, view, action, **more):
    place = {each: view[each] for each in ("ply", "number", "undone")}
    fields = place | more
    return client.post(f"/api/tables/{name}/{action}", json=fields)


def play_on(client, name, view, until=28):
    """Play the first legal tile; every view on the way, and the last."""
    seen = [view]
    while seen[-1]["ply"] < until and seen[-1]["phase"] != "over":
        tile = next(held["tile"] for held in seen[-1]["hand"] if held["legal"])
        answer = act(client, name, seen[-1], "play", tile=tile)
        assert answer.status_code == 200
        seen += answer.json()["views"]
    return seen


def test_a_hand_is_played_reviewed_and_followed_by_another(client):
    name, view = start(client, seat=2)
    about = {"players": ["random", "heuristic"], "bids": False, "notice": "", "special": []}
    assert client.get("/api/about").json() == about
    assert view["players"] == ["heuristic", "random", "you", "random"]
    seen = play_on(client, name, view)
    plies = [view["ply"] for view in seen]
    assert plies == list(range(plies[0], 29))  # each play has a view of its own
    last = seen[-1]
    assert last["phase"] == "over" and sum(last["points"]) == 42
    found = act(client, name, last, "review").json()["review"]
    assert found["moves"] and all(move["deal_loss"] >= 0 for move in found["moves"])
    text = act(client, name, last, "text").json()["text"]
    assert list(notation.read(text).hands) == [tuple(hand) for hand in last["hands"]]
    after = act(client, name, last, "next").json()["views"]
    assert after[-1]["number"] == 2 and after[-1]["phase"] == "play"
    assert client.delete(f"/api/tables/{name}", headers=JSON).status_code == 200
    assert client.get(f"/api/tables/{name}").status_code == 404


JSON = {"content-type": "application/json"}


def test_a_hand_with_a_bid_and_hostile_bids(loaded):
    host = Host(loaded, None, worlds=2, bidder=Bidder(1.0, worlds=1))
    with client_of(host)[0] as client:
        about = client.get("/api/about").json()
        assert about["bids"] and "play for points" in about["notice"]
        name, view = start(client, seat=1)
        assert view["phase"] == "bid" and view["turn"] == 1
        assert view["declaration"] is None and view["auction"]["needs"] is None
        lowest = int(next(call for call in view["auction"]["allowed"] if call != "pass"))
        for status, action, fields in (
            (400, "bid", {}),
            (400, "bid", {"bid": lowest}),
            (400, "bid", {"bid": "trump"}),
            (400, "bid", {"bid": "9" * 900}),
            (400, "bid", {"bid": str(lowest), "tile": 3}),
            (409, "bid", {"bid": "3 marks"}),
            (400, "declare", {"declaration": "6"}),
            (409, "declare", {"declaration": 6}),
            (409, "play", {"tile": view["hand"][0]["tile"]}),
            (409, "beliefs", {}),
            (409, "undo", {}),
            (409, "next", {}),
            (409, "review", {}),
        ):
            answer = act(client, name, view, action, **fields)
            assert answer.status_code == status, (action, fields)
            assert len(answer.json()["error"]) < 200
        hint = act(client, name, view, "hint").json()["hint"]
        assert len(hint["rows"]) == 9 and hint["bids"][hint["lowest"]] == lowest
        view = act(client, name, view, "bid", bid="2 marks").json()["views"][-1]
        assert view["phase"] == "declare" and view["turn"] == 1
        assert act(client, name, view, "bid", bid="3 marks").status_code == 409
        assert act(client, name, view, "declare", declaration=8).status_code == 409
        view = act(client, name, view, "declare", declaration=9).json()["views"][-1]
        assert (
            view["declaration_name"] == "follow me (no trump)"
            and view["leader"] == view["turn"] == 1
        )
        assert view["auction"]["needs"] == [1, 42]
        last = play_on(client, name, view, until=29)[-1]
        auction = last["auction"]
        team = auction["winner"]
        assert auction["result"] == ("made" if team == 1 else "set")
        assert auction["marks"][team] >= 2 and last["hands"] is not None
        assert act(client, name, last, "bid", bid="30").status_code == 409
        review = act(client, name, last, "review").json()["review"]
        assert review["result"] == auction["result"] and review["value"] == "make/set"
        text = act(client, name, last, "text").json()["text"]
        assert notation.read(text).bid == (1, 42, 2)
        after = act(client, name, last, "next").json()["views"]
        assert after[0]["phase"] == "bid" and after[0]["number"] == last["number"] + 1
        assert after[0]["auction"]["dealer"] == (auction["dealer"] + 1) % 4


def test_a_hand_of_sevens_by_requests_and_the_rules_of_the_table(loaded):
    options = ("plunge", "sevens")
    host = Host(loaded, None, worlds=2, bidder=SpecialBidder(1.0, worlds=1), options=options)
    with client_of(host)[0] as client:
        about = client.get("/api/about").json()
        assert [rule.partition(":")[0] for rule in about["special"]] == list(options)
        name, view = start(client, seat=1)
        hint = act(client, name, view, "hint").json()["hint"]
        assert hint["special"][-1]["name"] == "sevens"
        assert act(client, name, view, "bid", bid="splash 2 marks").status_code == 409
        assert act(client, name, view, "bid", bid="plunge 9 marks").status_code == 400
        view = act(client, name, view, "bid", bid="2 marks").json()["views"][-1]
        for status, declaration in ((400, 13), (409, 10)):
            answer = act(client, name, view, "declare", declaration=declaration)
            assert answer.status_code == status
        view = act(client, name, view, "declare", declaration=12).json()["views"][-1]
        assert view["declaration_name"] == view["auction"]["special"] == "sevens"
        if view["phase"] != "over":
            hint = act(client, name, view, "hint").json()["hint"]
            assert {row["points"] for row in hint["tiles"]} == {None}
            assert act(client, name, view, "beliefs").json()["beliefs"]["network"] is None
        last = play_on(client, name, view, until=29)[-1]
        auction = last["auction"]
        assert auction["marks"][auction["winner"]] >= 2 and last["tricks"][0]["seats"][0] == 1
        assert not act(client, name, last, "review").json()["review"]["has_points"]
        text = act(client, name, last, "text").json()["text"]
        assert notation.read(text).declaration == 12


def test_no_answer_before_the_end_has_a_hidden_tile_or_the_seed(loaded):
    server_tables = Tables()
    client, _ = client_of(Host(loaded, None, worlds=2), server_tables)
    for seat in range(4):
        name, first = start(client, seat)
        hands = server_tables.find(name).table.game.hands
        for view in play_on(client, name, first, until=20):
            shown = {held["tile"] for held in view["hand"]}
            played = {tile for trick in view["tricks"] for tile in trick["tiles"]}
            assert view["hands"] is None and view["seed"] is None
            assert shown == set(hands[seat]) and len(played) == view["ply"]
            # Every list of the answer is one of these; no other field has room for a hand.
            lists = {key for key, value in view.items() if isinstance(value, list)}
            assert lists == {"players", "hand", "tricks", "points", "counts", "won"}


def test_the_answers_are_the_same_whatever_the_hidden_hands_are(loaded):
    """Two servers, at which two opponents have swapped their hidden tiles."""
    views, hints, beliefs = [], [], []
    for swap in (False, True):
        tables = Tables()
        client, _ = client_of(Host(loaded, None, worlds=2), tables)
        name, view = start(client)
        view = play_on(client, name, view, until=14)[-1]
        sitting = tables.find(name)
        if swap:
            sitting.table = swapped(sitting.table)
        views.append(client.get(f"/api/tables/{name}").text)
        hints.append(act(client, name, view, "hint").text)
        beliefs.append(act(client, name, view, "beliefs").text)
    assert views[0] == views[1] and hints[0] == hints[1] and beliefs[0] == beliefs[1]
    assert "p_win" in hints[0] and "exact" in beliefs[0]


def test_undo_and_an_old_page(client):
    name, view = start(client)
    assert act(client, name, view, "undo").status_code == 409
    seen = play_on(client, name, view, until=6)
    assert act(client, name, view, "hint").json() == {
        "error": "this page is not up to date; load it again"
    }
    back = act(client, name, seen[-1], "undo").json()["views"][-1]
    assert back["ply"] < seen[-1]["ply"] and back["turn"] == 0 and back["undone"] == 1
    assert client.get(f"/api/tables/{name}").json()["views"] == [back]
    illegal = next(tile for tile in range(28) if not any(h["tile"] == tile for h in back["hand"]))
    answer = act(client, name, back, "play", tile=illegal)
    assert answer.status_code == 409 and "may not be played now" in answer.json()["error"]
    assert act(client, name, back, "next").status_code == 409
    assert act(client, name, back, "text").status_code == 409


def test_undo_takes_back_trump_and_then_the_bid_and_a_second_click_is_refused(loaded):
    host = Host(loaded, None, worlds=2, bidder=Bidder(1.0, worlds=1))
    with client_of(host)[0] as client:
        name, first = start(client, seat=1)
        assert not first["can_undo"] and act(client, name, first, "undo").status_code == 409
        bid = act(client, name, first, "bid", bid="2 marks").json()["views"][-1]
        played = act(client, name, bid, "declare", declaration=9).json()["views"][-1]
        assert played["phase"] == "play" and played["ply"] == 0 and played["can_undo"]
        back = act(client, name, played, "undo").json()["views"]
        assert back == [bid | {"undone": 1}]
        again = act(client, name, played, "undo")  # the same place, but for what was taken back
        assert (again.status_code, "not up to date" in again.text) == (409, True)
        before = act(client, name, back[0], "undo").json()["views"]
        assert before == [first | {"undone": 2}]
        passed = act(client, name, before[0], "bid", bid="pass").json()["views"][-1]
        assert passed["auction"]["calls"][len(first["auction"]["calls"])] == "pass"


def test_the_page_asks_for_nothing_outside_and_its_headers_forbid_it(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in app.FILES:
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        assert "//cdn" not in answer.text and "https://" not in answer.text
        assert f'"{path}"' in page.text or path == "/"


def hostile(rng, name):
    """A request that no page of ours makes: method, path, headers, content."""
    junk = ["", "{", "null", "[]", "[" * 900, "1e999", '"x"', "\x00", '{"ply":', "NaN"]
    values = [None, True, -1, 29, 10**30, 1.5, "0", [], {}, [0] * 50, "../../etc/passwd", "\ud800"]
    paths = ["/api/tables", f"/api/tables/{name}/play", f"/api/tables/{name}/hint"]
    kind = rng.randrange(8)
    if kind == 0:
        path = rng.choice(
            ["/..%2f..%2fetc/passwd", "/static/../app.py", "/api", "/x" * 500, "/%00"]
        )
        return "GET", path, {}, b""
    if kind == 1:
        return (
            rng.choice(["PUT", "PATCH", "DELETE", "POST"]),
            rng.choice(["/", *paths]),
            JSON,
            b"{}",
        )
    if kind == 2:
        return "POST", rng.choice(paths), JSON, rng.choice(junk).encode()
    if kind == 3:
        return "POST", rng.choice(paths), JSON, rng.randbytes(rng.randrange(1, 900))
    if kind == 4:
        return "POST", rng.choice(paths), JSON, b" " * rng.randrange(1025, 5000)
    if kind == 5:
        headers = rng.choice([{"host": "evil.example"}, {"origin": "http://evil.example"}, {}])
        return "POST", rng.choice(paths), headers | {"content-type": "text/plain"}, b"{}"
    if kind == 6:
        fields = {"players": rng.choice(values), "seat": rng.choice(values)}
        return "POST", "/api/tables", JSON, json.dumps(fields).encode()
    place = {"ply": rng.choice(values), "number": 1, "undone": rng.choice([0, *values])}
    fields = place | {rng.choice(["tile", "x"]): rng.choice(values)}
    action = rng.choice(["play", "bid", "declare", "hint", "undo", "eval", "%2e%2e"])
    return "POST", f"/api/tables/{name}/{action}", JSON, json.dumps(fields).encode()


async def ask(served, method, path, headers, content):
    """The status and the body of an answer; without a client's own work."""
    raw = {"host": "testserver", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": urllib.parse.unquote(path, errors="surrogateescape"),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
        "client": ("127.0.0.1", 1),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message):
        sent.append(message)

    await served(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent))


def test_a_thousand_hostile_requests_are_refused_and_the_table_goes_on(loaded):
    client, _ = client_of(Host(loaded, None, worlds=2))
    with client:
        name, view = start(client)
        rng = random.Random(0)
        statuses = set()

        async def ask_all():
            for number in range(1000):
                request = hostile(rng, name)
                status, said = await ask(client.app, *request)
                assert 400 <= status < 500, (number, request)
                assert len(said["error"]) < 200
                statuses.add(status)

        client.portal.call(ask_all)
        assert statuses >= {400, 403, 404, 405, 413, 415, 421}
        assert play_on(client, name, view)[-1]["phase"] == "over"


def test_a_table_that_fails_is_closed_and_the_others_go_on(loaded):
    class Broken(dict):
        def __getitem__(self, spec):
            if spec == "heuristic" and self.armed:
                raise RuntimeError("out of memory")
            return super().__getitem__(spec)

        armed = False

    broken = Broken(loaded)
    client, server = client_of(Host(broken, None))
    (first, first_view), (second, second_view) = start(client), start(client)
    broken.armed = True
    while client.get(f"/api/tables/{first}").status_code == 200:
        tile = next(held["tile"] for held in first_view["hand"] if held["legal"])
        answer = act(client, first, first_view, "play", tile=tile)
        first_view = answer.json().get("views", [None])[-1]
    assert answer.status_code == 500 and "out of memory" not in answer.text
    broken.armed = False
    assert len(server.tables) == 1
    assert play_on(client, second, second_view)[-1]["phase"] == "over"


def test_tables_are_bounded_and_an_idle_one_gives_way(loaded):
    now = [0.0]
    client, server = client_of(Host(loaded, None), Tables(2, clock=lambda: now[0]))
    start(client), start(client)
    full = client.post("/api/tables", json={"players": [0, 0, 0], "seat": 0})
    assert full.status_code == 429 and full.json()["error"].startswith("all 2 tables are taken")
    now[0] = IDLE_S + 1
    start(client)
    assert len(server.tables) == 1


def test_requests_of_one_address_are_limited():
    now = [0.0]
    rates = guard.Rates(2.0, 3.0, clock=lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [True, True, True, False]
    assert rates.take("b")
    now[0] = 0.5
    assert [rates.take("a"), rates.take("a")] == [True, False]
    for number in range(2 * guard.MAX_ADDRESSES):
        rates.take(str(number))
    assert len(rates._buckets) == guard.MAX_ADDRESSES
    client, _ = client_of(Host({}, None), rates=guard.Rates(1e-9, 1.0))
    assert client.get("/").status_code == 200
    assert client.get("/").status_code == 429


def test_two_requests_at_once_at_one_table(loaded):
    """The second is refused, and nothing is played twice."""
    _, server = client_of(Host(loaded, None))
    name = server.tables.add(state.new(0, ("random",) * 3, 1))
    sitting = server.tables.find(name)

    async def both():
        async with sitting.lock:
            with pytest.raises(guard.Refused, match="wait for the answer"):
                await server.act(Asked(name))

    class Asked:
        def __init__(self, name):
            self.path_params = {"name": name, "action": "hint"}

        async def stream(self):
            yield b'{"ply": 0, "number": 1, "undone": 0}'

    asyncio.run(both())


def test_without_the_package_or_a_free_port_there_is_a_sentence(monkeypatch, capsys):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serve.main(["random", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"zebjax serve: 127.0.0.1:{port}: cannot be served (address")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    assert serve.main([]) == 2
    err = capsys.readouterr().err
    assert err == 'zebjax serve: it needs the extra "serve": pip install "zebjax[serve]"\n'


def test_seeds_are_counted_or_drawn():
    counted = serve.seeds(2**32 - 2)
    assert [counted(), counted(), counted()] == [2**32 - 2, 2**32 - 1, 0]
    drawn = serve.seeds(None)
    assert len({drawn() for _ in range(5)}) > 1
