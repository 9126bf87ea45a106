"""The terminal program of `zebjax play`. Everything is reached by keys; 80 x 24 is enough."""

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Footer, Static

from zebjax import tiles
from zebjax.table import bots, state, text
from zebjax.table.host import Host
from zebjax.table.state import Table

_SLOTS = range(tiles.HAND_SIZE)
HELP = (
    "Click a tile, or press its number. You and your partner need more of the 42 points.\n"
    "h: what each tile is worth   b: who may hold the hidden tiles   u: take back your last tile"
)


class PlayApp(App[None]):
    """One person at one table."""

    CSS = """
    #head { background: $primary-darken-2; color: $text; padding: 0 1; }
    #board { height: 8; padding: 0 1; }
    #hand { height: 3; }
    #hand Button { width: 1fr; min-width: 8; margin: 0 1 0 0; }
    #hand Button.played { visibility: hidden; }
    #problem { height: auto; color: $warning; padding: 0 1; }
    #panel { height: 1fr; padding: 0 1; border-top: solid $primary; }
    """
    TITLE = "zebjax play"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(slot + 1), f"play({slot})", show=False) for slot in _SLOTS),
        Binding("h", "hint", "hint"),
        Binding("b", "beliefs", "beliefs"),
        Binding("u", "undo", "undo"),
        Binding("r", "review", "review"),
        Binding("n", "next", "next hand"),
        Binding("q", "quit", "quit"),
    ]

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

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield Static(id="head", markup=False)
        yield Static(id="board", markup=False)
        with Horizontal(id="hand"):
            for slot in _SLOTS:
                yield Button("", id=f"slot-{slot}")
        yield Static(id="problem", markup=False)
        with VerticalScroll(id="panel"):
            yield Static(HELP, id="advice", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Show the table and let the first players play."""
        self._let_others_play()

    # ---- keys and clicks

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Play the tile of a button."""
        self.action_play(int((event.button.id or "slot-0").rpartition("-")[2]))

    def action_play(self, slot: int) -> None:
        """Play the tile of a slot."""
        tile = self.table.game.hands[self.table.seat][slot]
        if not self.table.is_turn:
            self._complain("it is not your turn")
        elif self._change(lambda: state.play(self.table, tile)):
            self._advise(HELP)
            self._let_others_play()

    def action_undo(self) -> None:
        """Take back the person's last tile."""
        if self._change(lambda: state.undo(self.table)):
            self._advise(HELP)

    def action_next(self) -> None:
        """Deal the next hand."""
        seed = self._seeds(self.table.number + 1)
        if self._change(lambda: state.next_hand(self.table, seed)):
            self._advise(HELP)
            self._let_others_play()

    def action_hint(self) -> None:
        """Show what each tile is worth."""
        self._ask(lambda table: text.hint(self._host.hint(table)))

    def action_beliefs(self) -> None:
        """Show who may hold the hidden tiles."""
        self._ask(lambda table: text.beliefs(state.view(table), self._host.beliefs(table)))

    def action_review(self) -> None:
        """Show what each move of the finished hand has cost."""
        self._ask(lambda table: text.review(state.view(table), self._host.review(table)))

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
            while not table.is_turn and not table.game.is_over:
                start = time.monotonic()
                table = bots.step(table, self._host.bots)
                time.sleep(max(0.0, self._pace_s - (time.monotonic() - start)))
                self.call_from_thread(self._others_played, table)
        except ValueError as error:  # such as a program of `ext:` that does not answer
            name = table.game.players[table.game.mover]
            problem = f"{name} cannot play: {error}; u takes back your last tile"
        self.call_from_thread(self._others_done, problem)

    def _others_played(self, table: Table) -> None:
        self.table = table
        self._show()

    def _others_done(self, problem: str) -> None:
        self._is_busy = False
        self._show()
        self._complain(problem)
        if self.table.game.is_over:
            try:
                path = self._host.save(self.table)
            except (ValueError, OSError) as error:
                self._complain(str(error))
                return
            saved = "" if path is None else f"saved as {path}\n"
            self._advise(f"{saved}r: what each move has cost   n: next hand   q: quit")

    def _ask(self, advise: Callable[[Table], str]) -> None:
        if self._is_busy:
            self._complain("wait for the others")
            return
        self._is_busy = True
        self._advise("computing ...")
        self.run_worker(lambda: self._advised(self.table, advise), thread=True)

    def _advised(self, table: Table, advise: Callable[[Table], str]) -> None:
        try:
            said = advise(table)
        except ValueError as error:
            said = str(error)
        finally:
            self._is_busy = False
        self.call_from_thread(self._advise, said)

    # ---- what is shown

    def _complain(self, sentence: str) -> None:
        self.query_one("#problem", Static).update(sentence)

    def _advise(self, said: str) -> None:
        self.query_one("#advice", Static).update(said)
        self.query_one("#panel", VerticalScroll).scroll_home(animate=False)

    def _show(self) -> None:
        view = state.view(self.table)
        self.query_one("#head", Static).update(text.head(view))
        self.query_one("#board", Static).update(text.board(view))
        self.query_one("#problem", Static).update("")
        for slot, held in enumerate(view["hand"]):
            button = self.query_one(f"#slot-{slot}", Button)
            button.label = f"{slot + 1}: {tiles.TILE_NAMES[held['tile']]}"
            button.set_class(held["played"], "played")
            button.disabled = not held["legal"]
            button.variant = "primary" if held["legal"] else "default"
