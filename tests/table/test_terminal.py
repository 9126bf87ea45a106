"""`zebjax play`, driven by keys in a terminal of 80 x 24 that does not exist."""

import asyncio
import dataclasses
import importlib.util

import numpy as np
import pytest

pytest.importorskip("textual")

from textual.widgets import Button, Static

from zebjax import bidding, play, suits, tiles
from zebjax.bidding import Bidding
from zebjax.common.bids import OPTIONS
from zebjax.players import Player
from zebjax.players.auction import Bidder
from zebjax.players.special_bids import SpecialBidder
from zebjax.table import bots, state, views
from zebjax.table.host import Host
from zebjax.table.terminal import PlayApp

ALL_DOUBLES = tuple(tile for tile in range(28) if tiles.IS_DOUBLE[tile])


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    loaded = bots.load(["random", "heuristic"])
    return Host(loaded, None, worlds=2, games=tmp_path_factory.mktemp("games"))


def drive(host, steps, seat=1):
    """Run `steps(app, pilot)` in the program."""

    async def run():
        others = ("random", "heuristic", "random")
        table = state.new(seat, others, 11, host.bidder is not None, host.options)
        app = PlayApp(host, table, lambda number: 10 + number, pace_s=0)
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(app, pilot)
            await steps(app, pilot)
        return app

    return asyncio.run(run())


async def settle(app, pilot):
    await app.workers.wait_for_complete()
    await pilot.pause()


def screen(app):
    """What the terminal shows, as lines."""
    return [
        "".join(part.text for part in strip) for strip in app.screen._compositor.render_strips()
    ]


def shown(app, name):
    return str(app.query_one(name, Static).render())


def legal_keys(app):
    return [str(n + 1) for n in range(7) if not app.query_one(f"#slot-{n}", Button).disabled]


async def play_on(app, pilot):
    """Play the first legal tile until the hand is over."""
    while not app.table.is_over:
        await pilot.press(legal_keys(app)[0])
        await settle(app, pilot)


def test_a_hand_is_played_by_keys_saved_and_reviewed_and_the_next_is_dealt(host):
    async def steps(app, pilot):
        lines = screen(app)
        assert len(lines) == 24 and all(len(line) == 80 for line in lines)
        text = "\n".join(lines)
        assert "partner: heuristic" in text and "points: us 0, they 0" in text and "quit" in text
        own = app.table.game.hands[1]
        others = {tile for seat in (0, 2, 3) for tile in app.table.game.hands[seat]}
        assert len(legal_keys(app)) >= 1 and others.isdisjoint(own)
        await pilot.press("r")
        await settle(app, pilot)
        assert "not over" in shown(app, "#problem") and "Click a tile" in shown(app, "#advice")
        held = [held["tile"] for held in views.view(app.table)["hand"]]
        labels = [str(app.query_one(f"#slot-{n}", Button).label) for n in range(7)]
        assert held == suits.in_order(own, app.table.game.declaration) != list(own)
        assert labels == [f"{n}: {tiles.TILE_NAMES[tile]}" for n, tile in enumerate(held, 1)]
        key = legal_keys(app)[-1]
        await pilot.press(key)
        await settle(app, pilot)
        assert app.table.game.played_by(1) == (held[int(key) - 1],)
        await pilot.press(key)
        assert shown(app, "#problem") == f"you have played {labels[int(key) - 1][3:]}"
        await play_on(app, pilot)
        rows = shown(app, "#advice").splitlines()
        assert rows[2].split()[:3] == ["trick", "led", "by"] and len(rows) == 3 + 7
        last = app.table.game.tricks[-1]
        assert rows[-1].endswith(f" {last.points}") and len(screen(app)) == 24
        assert rows[-1].strip() in "\n".join(screen(app))
        assert "saved as" in shown(app, "#advice") and len(list(host.games.iterdir())) == 2
        assert " to " in shown(app, "#board").splitlines()[-1]
        await pilot.press("r")
        await settle(app, pilot)
        assert "P(win) lost" in shown(app, "#advice") and "partner" in shown(app, "#advice")
        await pilot.press("n")
        await settle(app, pilot)
        assert app.table.number == 2 and "hand 2" in shown(app, "#head")
        await pilot.press("q")

    assert drive(host, steps).return_code == 0


def test_hint_beliefs_undo_and_a_click(host):
    async def steps(app, pilot):
        await pilot.press("u")
        assert "you have not played" in shown(app, "#problem")
        # The last trick but one: the solver is fast there.
        while len(app.table.game.plays) < 17:
            await pilot.click(f"#slot-{int(legal_keys(app)[0]) - 1}")
            await settle(app, pilot)
        before = app.table.game
        await pilot.press("h")
        await settle(app, pilot)
        assert "P(win)" in shown(app, "#advice") and "best" in shown(app, "#advice")
        assert shown(app, "#problem") == ""
        await pilot.press("t")
        assert "taken by" in shown(app, "#advice") and "best" not in shown(app, "#advice")
        await pilot.press("b")
        await settle(app, pilot)
        assert "exact counting" not in shown(app, "#advice")  # there is no network to compare
        assert "who holds a hidden tile" in shown(app, "#advice")
        await pilot.press(legal_keys(app)[0])
        await settle(app, pilot)
        assert "who holds" not in shown(app, "#advice")  # it was of another moment
        await pilot.press("u")
        assert app.table.game == before and app.table.undone == 1
        for key, said in (
            ("8", "the keys 1 to 7 play your tiles"),
            ("x", "the key x does nothing; ? says what the keys do"),
            ("y", "there are no bids at this table"),
            ("plus", "there are no bids at this table"),
            ("p", "there are no bids at this table"),
            ("l", "nothing to declare now"),
            ("n", "this hand is not over"),
            ("r", "this hand is not over"),
        ):
            await pilot.press(key)
            await settle(app, pilot)
            assert said in shown(app, "#problem"), key
        await pilot.press("question_mark")
        assert "h: what each tile is worth" in shown(app, "#advice")

    drive(host, steps)


def test_a_hand_with_a_bid_is_played_by_keys(host, tmp_path):
    """The person is the dealer and bids last, so that nobody bids more."""
    bids = dataclasses.replace(host, bidder=Bidder(1.0, worlds=1), games=tmp_path)
    dealer = state.new(0, ("random", "heuristic", "random"), 11, bids=True).bidding.dealer

    async def steps(app, pilot):
        assert "random, heuristic play for points" in shown(app, "#advice")
        assert app.table.phase == "bid" and "marks: us" in shown(app, "#head")
        await pilot.press("1")
        assert "the bids come first" in shown(app, "#problem") and app.table.phase == "bid"
        lowest = next(call[0] for call in app.table.bidding.allowed if call)
        await pilot.press("minus")
        assert shown(app, "#problem") == f"no bid that you may make is lower than {lowest}"
        for key, expected in (("minus", 0), ("plus", 1), ("plus", 2), ("minus", 1)):
            await pilot.press(key)
            label = str(app.query_one("#call-say", Button).label)
            assert label == f"y: {lowest + expected}", key
        await pilot.press("h")
        await settle(app, pilot)
        assert "P(make) in %" in shown(app, "#advice") and "follow me" in shown(app, "#advice")
        await pilot.press("y")
        await settle(app, pilot)
        assert app.table.phase == "declare" and app.table.bidding.winner == (dealer, lowest + 1, 1)
        assert app.query_one("#declare-9", Button).display
        assert str(app.query_one("#declare-2", Button).label) == "2\ndeuces"
        assert "P(make) in %" not in shown(app, "#advice")
        await pilot.press("u")
        assert app.table.phase == "bid" and "y: say it" in shown(app, "#advice")
        assert str(app.query_one("#call-say", Button).label) == f"y: {lowest}"
        assert app.query_one("#call-say", Button).display
        await pilot.press("plus")
        await pilot.press("y")
        await settle(app, pilot)
        await pilot.press("8")
        assert "declaration: expected one of" in shown(app, "#problem")
        await pilot.press("9")
        await settle(app, pilot)
        await pilot.press("u")
        assert app.table.phase == "declare" and app.query_one("#declare-7", Button).display
        await pilot.press("7")
        await settle(app, pilot)
        assert app.table.game.declaration == 7 and app.table.is_turn
        assert f"{lowest + 1} by you, trumps: doubles" in shown(app, "#head")
        assert "points: us 0 of" in shown(app, "#head") and len(screen(app)) == 24
        await play_on(app, pilot)
        said = shown(app, "#board").splitlines()[-1]
        assert bidding.result(app.table.game) in said and "1 mark for" in said
        assert "saved as" in shown(app, "#advice")
        await pilot.press("r")
        await settle(app, pilot)
        assert "P(make/set) lost" in shown(app, "#advice") and "bids:" in shown(app, "#advice")
        await pilot.press("n")
        await settle(app, pilot)
        assert sum(app.table.score) >= 1

    drive(bids, steps, seat=dealer)


def test_a_player_that_gives_up_is_a_sentence_and_the_program_goes_on(host):
    def give_up(states, keys):
        return np.full(len(keys), -1)

    fails = Player("heuristic", give_up)
    broken = dataclasses.replace(host, bots={**host.bots, "heuristic": fails})

    async def steps(app, pilot):
        while "cannot play" not in shown(app, "#problem"):
            await pilot.press(legal_keys(app)[0])
            await settle(app, pilot)
        assert "heuristic cannot play" in shown(app, "#problem")
        await pilot.press("q")

    assert drive(broken, steps).return_code == 0


def test_without_a_terminal_or_the_package_there_is_a_sentence(monkeypatch, capsys):
    assert play.main([]) == 2
    err = capsys.readouterr().err
    assert err == "zebjax play: expected a terminal; in a browser use `zebjax serve`\n"
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "textual" else find(name)
    )
    assert play.main([]) == 2
    err = capsys.readouterr().err
    assert err == 'zebjax play: it needs the extra "play": pip install "zebjax[play]"\n'


def test_a_wrong_player_is_a_sentence_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr(play.console, "is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for words, said in (
        (["random", "random"], "players: expected one, or left, partner and right, got 2"),
        (["cheat"], "player 'cheat' sees all hands"),
        (["nobody"], "unknown kind 'nobody'"),
        (["random", "--theta", "0.4"], "--theta: expected --bid with it"),
    ):
        assert play.main(words) == 2
        err = capsys.readouterr().err
        assert said in err and err.startswith("zebjax play: ") and err.count("\n") == 1


def test_nello_is_named_by_a_key_and_played_by_three(host, tmp_path):
    allowed = ("nello", "sevens")
    bids = dataclasses.replace(
        host, bidder=SpecialBidder(1.0, worlds=1), games=tmp_path, options=allowed
    )
    dealer = state.new(0, ("random", "heuristic", "random"), 11, bids=True).bidding.dealer

    async def steps(app, pilot):
        assert "nello: after a bid of 42 or marks" in shown(app, "#advice")
        assert "s sevens" in shown(app, "#advice") and "play by E[Q]" in shown(app, "#advice")
        for _ in range(20):
            await pilot.press("plus")
        assert str(app.query_one("#call-say", Button).label) == "y: 2 marks"
        await pilot.press("y")
        await settle(app, pilot)
        assert app.query_one("#declare-10", Button).display
        assert not app.query_one("#declare-11", Button).display
        await pilot.press("d")
        assert "declaration: expected one of" in shown(app, "#problem")
        await pilot.press("l")
        await settle(app, pilot)
        assert "2 marks by you, nello: take no trick   tricks: us 0" in shown(app, "#head")
        assert "partner: heuristic, takes no part" in shown(app, "#board")
        assert "Doubles are the highest" in shown(app, "#advice") and len(screen(app)) == 24
        await pilot.press("h")
        await settle(app, pilot)
        said = shown(app, "#advice")
        assert "open hands" in said and "at the table" in said and "points" not in said
        await pilot.press(legal_keys(app)[0])
        await settle(app, pilot)
        await pilot.press("u")
        assert app.table.game.plays == () and app.table.undone == 1
        await play_on(app, pilot)
        assert "2 marks for" in shown(app, "#board") and "in nello" in shown(app, "#board")
        assert "saved as" in shown(app, "#advice")
        # One file, or two if the tile that was taken back had set it.
        assert 1 <= len(saved := list(tmp_path.iterdir())) <= 2
        assert "declaration nello" in saved[0].read_text()

    drive(bids, steps, seat=dealer)


def test_a_hand_taken_back_at_its_end_is_saved_once(host, tmp_path):
    async def steps(app, pilot):
        await play_on(app, pilot)
        first = sorted(tmp_path.iterdir())
        await pilot.press("U")  # capital letters do the same
        assert app.table.undone == 1 and not app.table.is_over
        await play_on(app, pilot)
        assert sorted(tmp_path.iterdir()) == first and len(first) == 2
        await pilot.press("Q")

    assert drive(dataclasses.replace(host, games=tmp_path), steps).return_code == 0


def test_who_must_bid_sees_no_pass_and_bids_go_by_marks_and_quitting_asks_once(host):
    bids = dataclasses.replace(host, bidder=Bidder(1.0, worlds=1), options=OPTIONS, games=None)
    fresh = state.new(1, ("random", "heuristic", "random"), 11, True, OPTIONS)

    async def steps(app, pilot):
        # A hand with all doubles whose holder is the dealer; nobody has bid.
        others = [tile for tile in range(28) if tile not in ALL_DOUBLES]
        dealt = tuple(tuple(others[7 * at : 7 * at + 7]) for at in range(3))
        hands = (dealt[0], ALL_DOUBLES, *dealt[1:])
        game = dataclasses.replace(fresh.game, hands=hands)
        said = Bidding(1, (bidding.PASS,) * 3, OPTIONS)
        app.table = dataclasses.replace(fresh, game=game, bidding=said)
        app._show()
        await pilot.pause()
        assert not app.query_one("#call-pass_", Button).display
        assert "pass" not in screen(app)[12]
        offered = []
        for _ in range(20):
            offered.append(str(app.query_one("#call-say", Button).label)[3:])
            await pilot.press("plus")
        assert offered[12:16] == ["42", "2 marks", "splash 2 marks", "plunge 4 marks"]
        assert shown(app, "#problem") == "no bid that you may make is higher than plunge 4 marks"
        before = app.query_one("#panel").scroll_y
        await pilot.press("pagedown")
        await pilot.pause()
        assert app.query_one("#panel").scroll_y > before
        assert "Page Up and Page Down" in shown(app, "#advice")
        app._at = 13
        await pilot.press("Y")
        await settle(app, pilot)
        lines = "\n".join(screen(app))
        names = "blanks aces deuces treys fours fives sixes dbls suit follow nello nello* sevens"
        assert names.split() in [line.split() for line in lines.splitlines()]
        await pilot.press("6")
        await settle(app, pilot)
        await pilot.press("question_mark")
        assert "must take every\ntrick." in shown(app, "#advice")
        await pilot.press("q")
        assert "press q again to end the game; the marks are lost" in shown(app, "#problem")
        assert app.is_running and app.return_code is None
        await pilot.press("q")

    assert drive(bids, steps).return_code == 0
