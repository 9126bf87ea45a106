"""The terminal program of `zebjax play`. Everything is reached by keys; 80 x 24 is enough."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import Key
from textual.widgets import Button, Footer, Static

from zebjax import bidding, special, tiles
from zebjax.bidding import Call
from zebjax.table import bindings, keys, state, text, views
from zebjax.table.host import Host
from zebjax.table.state import Table

_SLOTS = range(tiles.HAND_SIZE)


class PlayApp(App[None]):
    """One person at one table."""

    CSS = """
    #head { background: $primary-darken-2; color: $text; padding: 0 1; height: auto; }
    #calls { height: 3; }
    #calls Button { width: 1fr; min-width: 5; margin: 0 1 0 0; }
    #calls.declaring { height: 4; }
    #calls.declaring Button { height: 4; margin: 0 1 0 0; min-width: 0; }
    #board { height: auto; padding: 0 1; }
    #hand { height: 3; }
    #hand Button { width: 1fr; min-width: 8; margin: 0 1 0 0; }
    #hand Button.played { visibility: hidden; }
    #problem { height: auto; color: $warning; padding: 0 1; }
    #panel { height: 1fr; padding: 0 1; border-top: solid $primary; }
    """
    TITLE = "zebjax play"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings.ALL]

    def __init__(
        self, host: Host, table: Table, seeds: Callable[[int], int], pace_s: float = 0.5
    ) -> None:
        """Make the program; `run` shows it.

        Args:
            host: with the players of the table.
            table: a new hand.
            seeds: the seed of each hand by its number.
            pace_s: seconds to wait before another player's tile is shown.
        """
        super().__init__()
        self.table = table
        self._host, self._seeds, self._pace_s = host, seeds, pace_s
        self._is_busy = False
        self._at = 0  # place of the chosen bid among those that are allowed
        self._shown: tuple[object, ...] | None = None  # what the advice on the screen is about
        self._saved: Path | None = None  # the text of this hand
        self._leaving: tuple[object, ...] | None = None  # when the person has asked to quit
        self._help = keys.HELP
        if table.bidding is not None:
            self._help = keys.of_bids(table.bidding.options, text.RULES_OF_OPTIONS)

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield Static(id="head", markup=False)
        yield Static(id="board", markup=False)
        with Horizontal(id="hand"):
            for slot in _SLOTS:
                yield Button("", id=f"slot-{slot}")
        if self.table.bidding is not None:
            with Horizontal(id="calls"):
                for name in ("pass_", "lower", "say", "higher"):
                    yield Button("", id=f"call-{name}")
                for each in range(special.N_DECLARATIONS):
                    button = Button("", id=f"declare-{each}")
                    button.styles.line_pad = 0  # the style sheet takes no zero
                    yield button
        yield Static(id="problem", markup=False)
        with VerticalScroll(id="panel"):
            yield Static(id="advice", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Show the table and let the first players play."""
        self._let_others_play()

    # ---- keys and clicks

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do what a button says: play its tile, bid, or declare."""
        kind, _, what = (event.button.id or "slot-0").rpartition("-")
        if kind == "call":
            acts = {
                "lower": lambda: self.action_raise_(-1),
                "higher": lambda: self.action_raise_(1),
                "pass_": self.action_pass_,
                "say": self.action_say,
            }
            acts[what]()
        elif kind == "declare":
            self.action_declare(int(what))
        else:
            self.action_play(int(what))

    def action_digit(self, digit: int) -> None:
        """Declare a trump, if that is the next thing to do, or play the tile with this number."""
        if self.table.phase == "declare":
            self.action_declare(digit)
        elif digit - 1 in _SLOTS:
            self.action_play(digit - 1)
        else:
            self._complain("the keys 1 to 7 play your tiles")

    def action_pass_(self) -> None:
        """Pass."""
        self._call(bidding.PASS)

    def action_say(self) -> None:
        """Make the chosen bid."""
        if bids := self._bids():
            self._call(bids[self._at])
        else:
            self._complain(self._no_bid())

    def action_raise_(self, step: int) -> None:
        """Choose a higher or a lower bid to make."""
        bids = self._bids()
        if not bids:
            self._complain(self._no_bid())
        elif not 0 <= self._at + step < len(bids):
            what, said = "higher" if step > 0 else "lower", bidding.name(bids[self._at])
            self._complain(f"no bid that you may make is {what} than {said}")
        else:
            self._at += step
            self._show()

    def _no_bid(self) -> str:
        """Why the person cannot bid."""
        if self.table.bidding is None:
            return "there are no bids at this table; start it with --bid"
        if self.table.phase != "bid":
            return "the bids are over"
        return "no bid is higher: p passes" if self.table.is_turn else "it is not your turn"

    def _bids(self) -> list[Call]:
        return [call for call in self.table.allowed if call is not bidding.PASS]

    def _call(self, call: Call) -> None:
        if self.table.phase != "bid":
            self._complain(self._no_bid())
        elif not self.table.is_turn:
            self._complain("it is not your turn")
        elif self._change(lambda: state.call(self.table, call)):
            self._at = 0
            self._let_others_play()

    def action_declare(self, declaration: int) -> None:
        """Declare a trump, nello or sevens."""
        if not self.table.is_turn:
            self._complain("it is not your turn")
        else:
            self._change(lambda: state.declare(self.table, declaration))

    def action_play(self, place: int) -> None:
        """Play the tile at a place 0..6 of the hand as it is shown."""
        held = views.view(self.table)["hand"][place]
        tile = held["tile"]
        if self.table.is_over:
            self._complain("the hand is over: n deals the next one")
        elif self.table.phase == "bid":
            passes = ", p passes" if bidding.PASS in self.table.allowed else ""
            self._complain(f"the bids come first: + and - choose one, y says it{passes}")
        elif held["played"]:
            self._complain(f"you have played {tiles.TILE_NAMES[tile]}")
        elif not self.table.is_turn:
            self._complain("it is not your turn")
        elif self._change(lambda: state.play(self.table, tile)):
            self._let_others_play()

    def action_undo(self) -> None:
        """Take back the person's last tile, declaration or bid."""
        if self._change(lambda: state.undo(self.table)):
            self._at = 0
            self._show()

    def action_next(self) -> None:
        """Deal the next hand."""
        seed = self._seeds(self.table.number + 1)
        if self._change(lambda: state.next_hand(self.table, seed)):
            self._at, self._saved = 0, None
            self._let_others_play()

    def action_hint(self) -> None:
        """Show what each tile, or each declaration and bid, is worth."""

        def advise(table: Table) -> str:
            found = self._host.hint(table)
            return text.hint(found) if "tiles" in found else text.bid_hint(found)

        self._ask(advise)

    def action_beliefs(self) -> None:
        """Show who may hold the hidden tiles."""
        self._ask(lambda table: text.beliefs(views.view(table), self._host.beliefs(table)))

    def action_review(self) -> None:
        """Show what each move of the finished hand has cost."""
        self._ask(lambda table: text.review(views.view(table), self._host.review(table)))

    def action_tricks(self) -> None:
        """Show the tricks of this hand instead of advice."""
        if not text.tricks(views.view(self.table)):
            self._complain("no trick of this hand is finished")
        self._shown = None
        self._show_panel()

    def action_scroll(self, pages: int) -> None:
        """Scroll the panel down or up."""
        panel = self.query_one("#panel", VerticalScroll)
        panel.scroll_relative(y=pages * max(1, panel.size.height - 1), animate=False)

    async def action_leave(self) -> None:
        """Quit; in the middle of a game to marks only if the person asks twice."""
        table = self.table
        has_marks = table.bidding is not None and table.game_winner is None
        if has_marks and (any(table.score) or table.can_undo) and self._leaving != self._moment():
            self._leaving = self._moment()
            self._complain("press q again to end the game; the marks are lost")
        else:
            await self.action_quit()

    def action_help(self) -> None:
        """Say what the keys do."""
        self._advise(self._introduction() if self.table.phase == "bid" else self._play_help())

    def on_key(self, event: Key) -> None:
        """Say that a key does nothing; those that do something have bindings."""
        if event.is_printable and event.key not in self.screen.active_bindings:
            self._complain(f"the key {event.character} does nothing; ? says what the keys do")

    # ---- changes

    def _change(self, change: Callable[[], Table]) -> bool:
        """Make another table; False, with a sentence, if that is not possible now."""
        if self._is_busy:
            self._complain("wait for the others")
            return False
        try:
            self.table = change()
        except ValueError as error:
            self._complain(str(error))
            return False
        self._show()
        return True

    def _let_others_play(self) -> None:
        self._is_busy = True
        self._show()
        self.run_worker(self._others_play, thread=True)

    def _others_play(self) -> None:
        table, problem = self.table, ""
        try:
            while not table.is_turn and not table.is_over:
                start = time.monotonic()
                table = self._host.step(table)
                time.sleep(max(0.0, self._pace_s - (time.monotonic() - start)))
                self.call_from_thread(self._others_played, table)
        except ValueError as error:  # such as a program of `ext:` that does not answer
            name = table.game.players[table.turn]
            problem = f"{name} cannot play: {error}; u takes back what you did last"
        self.call_from_thread(self._others_done, problem)

    def _others_played(self, table: Table) -> None:
        self.table = table
        self._show()

    def _others_done(self, problem: str) -> None:
        self._is_busy = False
        self._show()
        self._complain(problem)
        if self.table.is_over:
            try:
                self._saved = self._host.save(self.table, self._saved)
            except (ValueError, OSError) as error:
                self._complain(str(error))
                return
            self._show_panel()

    def _ask(self, advise: Callable[[Table], str]) -> None:
        if self._is_busy:
            self._complain("wait for the others")
            return
        self._is_busy = True
        self._advise("computing ...")
        self.run_worker(lambda: self._advised(self.table, advise), thread=True)

    def _advised(self, table: Table, advise: Callable[[Table], str]) -> None:
        try:
            self.call_from_thread(self._advise, advise(table))
        except ValueError as error:
            self.call_from_thread(self._refuse, str(error))
        finally:
            self._is_busy = False

    def _refuse(self, sentence: str) -> None:
        """Say why there is no advice."""
        self._shown = None
        self._show_panel()
        self._complain(sentence)

    # ---- what is shown

    def _introduction(self) -> str:
        notice = self._host.notice
        return f"{self._help}\n\n{notice}" if notice else self._help

    def _play_help(self) -> str:
        return keys.of_play(views.view(self.table))

    def _complain(self, sentence: str) -> None:
        self.query_one("#problem", Static).update(sentence)

    def _advise(self, said: str) -> None:
        """Show advice on the table as it is now; it goes when the table changes."""
        self._shown = self._moment()
        self.query_one("#advice", Static).update(said)
        self.query_one("#panel", VerticalScroll).scroll_home(animate=False)

    def _moment(self) -> tuple[object, ...]:
        """All that changes when anybody does something."""
        table = self.table
        calls = len(table.bidding.calls) if table.bidding else 0
        return table.number, table.undone, table.phase, calls, len(table.game.plays)

    def _show_panel(self) -> None:
        """Unless there is advice on just this moment: the tricks of the hand, or what keys do."""
        if self._shown == self._moment():
            return
        view, said = views.view(self.table), ""
        if self.table.is_over:
            saved = f"saved as {self._saved}\n" if self._saved else ""
            said = f"{saved}r: what each move has cost   n: next hand   q: quit\n"
        if self.table.phase in ("bid", "declare"):
            said = self._introduction()
        else:
            said += text.tricks(view) or self._play_introduction()
        self.query_one("#advice", Static).update(said)
        self.query_one("#panel", VerticalScroll).scroll_home(animate=False)

    def _play_introduction(self) -> str:
        return self._introduction() if self.table.bidding is None else self._play_help()

    def _show(self) -> None:
        view = views.view(self.table)
        self.query_one("#head", Static).update(text.head(view))
        self.query_one("#board", Static).update(text.board(view))
        self.query_one("#problem", Static).update("")
        # At the end its tiles are gone, and the tricks of the hand need the lines.
        self.query_one("#hand", Horizontal).display = not self.table.is_over
        for slot, held in enumerate(view["hand"]):
            button = self.query_one(f"#slot-{slot}", Button)
            button.label = f"{slot + 1}: {tiles.TILE_NAMES[held['tile']]}"
            button.set_class(held["played"], "played")
            button.disabled = not held["legal"]
            button.variant = "primary" if held["legal"] else "default"
        if self.table.bidding is not None:
            self._show_calls()
        self._show_panel()

    def _show_calls(self) -> None:
        """Show the buttons of a bid, or of a declaration, when the person is to make one."""
        is_mine, phase, bids = self.table.is_turn, self.table.phase, self._bids()
        is_bid, is_declaration = is_mine and phase == "bid", is_mine and phase == "declare"
        self.query_one("#calls", Horizontal).display = is_bid or is_declaration
        self.query_one("#calls", Horizontal).set_class(is_declaration, "declaring")
        chosen = bidding.name(bids[min(self._at, len(bids) - 1)]) if bids else ""
        labels = {"pass_": "p: pass", "lower": "-", "say": f"y: {chosen}", "higher": "+"}
        for name, label in labels.items():
            button = self.query_one(f"#call-{name}", Button)
            button.label, button.display = label, is_bid
        if is_bid:
            may_pass = bidding.PASS in self.table.allowed
            self.query_one("#call-pass_", Button).display = may_pass
            self.query_one("#call-say", Button).disabled = not bids
        allowed = self.table.bidding.declarations if self.table.bidding else ()
        for each in range(special.N_DECLARATIONS):
            button = self.query_one(f"#declare-{each}", Button)
            button.label = label = bindings.label(each, len(allowed))
            button.styles.min_width = len(label.split("\n")[1])
            button.display = is_declaration and each in allowed
