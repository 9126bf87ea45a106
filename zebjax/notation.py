"""A readable text of a game or a position.

A line is a keyword and its words; blank lines and everything after `#` are ignored:

    player 0  you                               # optional: names
    player 1  eq:n=100
    hand 0  6-4 5-5 3-1 2-0 1-0 6-6 4-3         # the seven tiles dealt, in their slots
    hand 1  ?                                   # unknown; the line may also be left out
    hand 2  ?
    hand 3  ?
    dealer 0                                    # optional, with `calls`: the seat that bids last
    calls  30, 31, pass, pass                   # one of each seat, from the dealer's left on
    marks 3 2                                   # optional: of both teams before this hand
    declaration fours
    leader 2                                    # seat 0..3 that leads the first trick
    bid 31 by 2                                 # optional: points 30..42, or marks as in
                                                # `bid 2 marks by 2`, `bid 84 by 2`
    trick 1  by 2  6-5 6-3 6-4 6-0  won by 0 with 1
    trick 2  by 0  5-5
    result made                                 # optional, at the end: the bid is made or set

Seats go 0..3 to the left; teams are seats 0 and 2, and seats 1 and 3. The bidder leads. A
declaration is one of `trump 0` to `trump 6`, `doubles trump`, `doubles suit` (doubles are a suit
without trump power), `no trump`; or of `nello`, `nello doubles suit` and `sevens` (see `special`),
which need a bid of 42 or of marks. It may also be said as players do: `blanks` or `zeros`, `aces`
or `ones`, `deuces` or `twos`, `treys` or `threes`, `fours`, `fives`, `sixes`, `doubles`, `doubles
a suit`, `follow me`. A trick of nello has three tiles, since the bidder's partner plays none. A
plunge or a splash is written as a bid of marks by the seat that leads, the partner of the one who
made it; `calls` has it as `plunge 4 marks`. A tile is its two pips in either order. A trick has its
number, the seat that leads, and one to four tiles in the order of play; only the last may be
incomplete. `by`, `won by SEAT with POINTS` and `result` may be left out; where they stand, they
must be right, as must `calls` beside `bid`. A hand may leave out tiles that its seat has played:
they are then added at its end. Several games are separated by lines `---`.

Reading a text and writing it again gives the same text if `write` wrote it. `position_arrays` turns
a position into a GameState or GameRecord and back.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from zebjax import bidding, position, special, suits, tiles
from zebjax.common import bids
from zebjax.common.parsing import nearest
from zebjax.notation_words import SHOWN, Word, Words
from zebjax.notation_words import NotationError as NotationError
from zebjax.position import Auction, Bid, Impossible, Place, Position, Trick

MAX_BYTES = 1 << 20
SEPARATOR = "---"
_WON = "`won by SEAT with POINTS`"


class _Claim(NamedTuple):
    """What the line of a trick says beside its tiles, each with its word."""

    leader: tuple[Word, int] | None
    winner: tuple[Word, int] | None
    points: tuple[Word, int] | None

    def check(self, trick: Trick) -> None:
        if self.leader and self.leader[1] != trick.leader:
            self.leader[0].refuse(f"seat {trick.leader} leads this trick, not {self.leader[1]}")
        if self.winner and not trick.is_done:
            size = len(trick.seats)
            self.winner[0].refuse(f"nobody has won this trick: it has fewer than {size} tiles")
        if self.winner and self.winner[1] != trick.winner:
            self.winner[0].refuse(f"seat {trick.winner} wins this trick, not {self.winner[1]}")
        if self.points and self.points[1] != trick.points:
            self.points[0].refuse(f"this trick has {trick.points} points, not {self.points[1]}")


class _Reader:
    """The parts of one position, and the word where each stands."""

    def __init__(self) -> None:
        self.players = [""] * 4
        self.hands: list[list[int]] = [[] for _ in range(4)]
        self.declaration: int | None = None
        self.leader: int | None = None
        self.bid: Bid | None = None
        self.dealer: int | None = None
        self.calls: tuple[str, ...] = ()
        self.marks: tuple[int, int] | None = None
        self.result = ""
        self.plays: list[int] = []
        self.claims: list[_Claim] = []
        self.words: dict[Place, Word] = {}

    def read_line(self, keyword: Word, words: Words) -> None:
        readers = {
            "player": self._player,
            "hand": self._hand,
            "declaration": self._declaration,
            "leader": self._leader,
            "bid": self._bid,
            "dealer": self._dealer,
            "calls": self._calls,
            "marks": self._marks,
            "result": self._result,
            "trick": self._trick,
        }
        if keyword.text not in readers:
            guess = nearest(keyword.text[:SHOWN], readers)
            keyword.refuse(
                f"a line begins with {', '.join(readers)}; got {keyword.text[:SHOWN]!r}, did you "
                f"mean {guess!r}?"
            )
        readers[keyword.text](words)
        words.finish()

    def _mark(self, place: Place, word: Word, name: str) -> None:
        """Keep the word of a part, which may stand only once."""
        if place in self.words:
            word.refuse(f"{name} is given twice; the first is in line {self.words[place].line}")
        self.words[place] = word

    def _player(self, words: Words) -> None:
        word = words.take()
        seat = word.seat()
        self._mark(("player", seat, 0), word, f"player {seat}")
        self.players[seat] = " ".join(part.text for part in words.until(""))

    def _hand(self, words: Words) -> None:
        word = words.take()
        seat = word.seat()
        self._mark(("hand", seat, -1), word, f"hand {seat}")
        if words.skip("?"):
            return
        if not words.peek().text:
            words.peek().refuse_itself("seven tiles or ?")
        for slot, part in enumerate(words.until("")):
            if slot == tiles.HAND_SIZE:
                part.refuse("a hand has 7 tiles; this is one more")
            self.hands[seat].append(part.tile())
            self.words["hand", seat, slot] = part

    def _declaration(self, words: Words) -> None:
        word = words.peek()
        self._mark(("declaration", 0, 0), word, "the declaration")
        name = " ".join(part.text for part in words.until(""))
        try:
            self.declaration = suits.read(name[:SHOWN])
        except ValueError as error:
            word.refuse(str(error))
        if self.claims and special.is_nello(self.declaration):
            word.refuse(f"{name} must stand before the tricks, which have three tiles in it")

    def _leader(self, words: Words) -> None:
        word = words.take()
        self._mark(("leader", 0, 0), word, "the leader")
        self.leader = word.seat()

    def _bid(self, words: Words) -> None:
        word = words.peek()
        self._mark(("bid", 0, 0), word, "the bid")
        said = " ".join(part.text for part in words.until("by"))
        if not said:
            word.refuse_itself("points from 30 to 42, or marks")
        try:
            points, marks = bids.parse(said[:SHOWN])
        except ValueError as error:
            word.refuse(f"bid: {error}")
        words.must("by", "`by SEAT`")
        self.bid = Bid(words.take().seat(), points, marks)

    def _dealer(self, words: Words) -> None:
        word = words.take()
        self._mark(("dealer", 0, 0), word, "the dealer")
        self.dealer = word.seat()

    def _calls(self, words: Words) -> None:
        self._mark(("calls", 0, 0), words.peek(), "what was bid")
        said = " ".join(part.text for part in words.until(""))
        self.calls = tuple(call.strip() for call in said.split(","))

    def _marks(self, words: Words) -> None:
        self._mark(("marks", 0, 0), words.peek(), "the marks")
        expected, most = bidding.MARKS_EXPECTED, bidding.MOST_BEFORE
        first, second = (words.take().number(expected, 0, most) for _ in range(2))
        self.marks = first, second

    def _result(self, words: Words) -> None:
        word = words.take()
        self._mark(("result", 0, 0), word, "the result")
        if word.text not in (bidding.MADE, bidding.SET):
            word.refuse_itself(f"{bidding.MADE} or {bidding.SET}")
        self.result = word.text

    def _trick(self, words: Words) -> None:
        word, number = words.take(), len(self.claims) + 1
        if word.number(f"the number {number}", 1, tiles.N_TRICKS) != number:
            word.refuse_itself(f"the number {number}, since tricks stand in order")
        size = 4 if self.declaration is None else special.trick_size(self.declaration)
        if len(self.plays) % size:
            word.refuse(f"trick {number - 1} has fewer than {size} tiles")
        leader = winner = points = None
        if words.skip("by"):
            leader = (words.peek(), words.take().seat())
        if not words.peek().text:
            words.peek().refuse_itself("a tile")
        for place, part in enumerate(words.until("won")):
            if place == size:
                part.refuse(f"a trick has {size} tiles; this is one more")
            self.words["play", len(self.plays), 0] = part
            self.plays.append(part.tile())
        if words.skip("won"):
            words.must("by", _WON)
            winner = (words.peek(), words.take().seat())
            words.must("with", _WON)
            word = words.take()
            points = (word, word.number("points from 1 to 42", 1, tiles.TOTAL_POINTS))
        self.claims.append(_Claim(leader, winner, points))

    def position(self, end: Word) -> Position:
        """Put the parts together and check them; `end` is the end of the text."""
        if self.declaration is None or self.leader is None:
            missing = "declaration" if self.declaration is None else "leader"
            end.refuse(f"the game ends here, without a line `{missing}`")
        tricks = position.tricks_of(self.declaration, self.leader, tuple(self.plays))
        # Before the plays themselves: a wrong winner makes the next plays another seat's.
        for claim, trick in zip(self.claims, tricks, strict=True):
            claim.check(trick)
        try:
            made = Position(
                position.four(self._completed(position.movers_of(tricks))),
                self.declaration,
                self.leader,
                tuple(self.plays),
                self.bid,
                position.four(self.players),
                self._auction(),
            )
        except Impossible as error:
            self._word(error.place, end).refuse(str(error))
        if self.result and self.result != (result := bidding.result(made)):
            known = f"the bid is {result}" if result else "no bid is made or set by these tricks"
            self.words["result", 0, 0].refuse(f"{known}, not {self.result}")
        try:
            bidding.check_auction(made)
        except ValueError as error:
            self.words["calls", 0, 0].refuse(str(error))
        return made

    def _auction(self) -> Auction | None:
        """The round of bids, if it is given."""
        places = [place for place in self.words if place[0] in ("dealer", "calls", "marks")]
        if self.dealer is not None and self.calls:
            return Auction(self.dealer, self.calls, self.marks)
        if places:
            missing = "calls" if self.dealer is not None else "dealer"
            self.words[places[0]].refuse(f"{places[0][0]}: expected a line `{missing}` with it")
        return None

    def _completed(self, movers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """The hands, with the tiles that a seat has played where its line leaves them out."""
        for seat, hand in enumerate(self.hands):
            played = [tile for tile, at in zip(self.plays, movers, strict=True) if at == seat]
            missing = tiles.HAND_SIZE - len(hand) if hand else 0
            added = [tile for tile in played if tile not in hand][:missing]
            yield (*hand, *added)

    def _word(self, place: Place, end: Word) -> Word:
        kind, first, second = place
        others = (place, (kind, first, second - 1), (kind, first, -1))
        return next((self.words[other] for other in others if other in self.words), end)


def _games(text: str) -> Iterator[tuple[list[list[Word]], Word]]:
    """Yield for each game its lines of words, the end of a line included, and the text's end."""
    lines: list[list[Word]] = []
    number = 0
    for number, line in enumerate(text.split("\n"), 1):
        line = line.partition("#")[0].rstrip()
        if line == SEPARATOR:
            yield lines, Word("", number, 1)
            lines = []
            continue
        words = [Word(m[0], number, m.start() + 1) for m in re.finditer(r"\S+", line)]
        if words:
            lines.append([*words, Word("", number, len(line) + 1)])
    yield lines, Word("", number, 1)


def read_all(text: str) -> list[Position]:
    """Read all games of a text; a text or a part without any line is no game.

    Raises:
        NotationError: if a part is not a position, or the text has more than a megabyte.
    """
    if len(text) > MAX_BYTES:
        raise NotationError(f"line 1, column 1: a text has at most {MAX_BYTES:,} characters")
    made = []
    for lines, end in _games(text):
        reader = _Reader()
        for keyword, *words, line_end in lines:
            reader.read_line(keyword, Words(words, line_end))
        if lines:
            made.append(reader.position(end))
    return made


def read(text: str) -> Position:
    r"""Read the one game of a text.

    Raises:
        NotationError: if the text is not one position; the message begins with line and column.

    >>> seen = read("declaration trump 6\nleader 2\ntrick 1  6-6 6-1\n")
    >>> seen.mover, tiles.TILE_NAMES[seen.plays[0]], len(seen.hidden)
    (0, '6-6', 26)
    """
    games = read_all(text)
    if len(games) != 1:
        raise NotationError(f"line 1, column 1: expected one game, got {len(games)}")
    return games[0]


def _names(ids: Iterable[int]) -> str:
    return " ".join(tiles.TILE_NAMES[tile] for tile in ids)


def write(game: Position) -> str:
    """Return the text of a game or position, with a newline at its end."""
    lines = [f"player {seat}  {name}" for seat, name in enumerate(game.players) if name]
    lines += [f"hand {seat}  {_names(hand) or '?'}" for seat, hand in enumerate(game.hands)]
    if game.auction is not None:
        lines += [f"dealer {game.auction.dealer}", f"calls  {', '.join(game.auction.calls)}"]
        if game.auction.marks is not None:
            lines.append("marks {} {}".format(*game.auction.marks))
    lines += [f"declaration {special.DECLARATION_NAMES[game.declaration]}", f"leader {game.leader}"]
    if game.bid is not None:
        seat, points, marks = game.bid
        lines.append(f"bid {f'{marks} marks' if marks > 1 else points} by {seat}")
    for number, trick in enumerate(game.tricks, 1):
        won = f"  won by {trick.winner} with {trick.points}" if trick.is_done else ""
        lines.append(f"trick {number}  by {trick.leader}  {_names(trick.tiles)}{won}")
    if result := bidding.result(game):
        lines.append(f"result {result}")
    return "\n".join(lines) + "\n"


def write_all(games: Iterable[Position]) -> str:
    """Return the text of several games."""
    return f"{SEPARATOR}\n".join(map(write, games))
