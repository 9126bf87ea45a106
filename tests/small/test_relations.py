"""The features of what may still happen after a move, against plain Python over tiles."""

import collections

import numpy as np

from tests.support.playouts import positions
from zebjax import tiles
from zebjax.small import batch, moves, relations, rules, view

TILES = set(range(tiles.N_TILES))
NOTHING = np.zeros((3, tiles.N_TILES), np.float32)


def is_relation(feature):
    return moves.N_ALWAYS <= feature < moves.N_RELATED


def row_of(games, number):
    row, declaration = np.zeros(rules.SIZE, np.int64), games.declaration[number]
    rules.start(row, games.hands[number], declaration, games.leader[number])
    for tile in games.history[number, : games.ply[number]]:
        rules.play(row, rules.RANKS[declaration, tile])
    return row


class Seen:
    """What the seat to move sees, as sets of tiles."""

    def __init__(self, games, number):
        self.declaration, ply = int(games.declaration[number]), int(games.ply[number])
        played = games.history[number, :ply].tolist()
        leader, self.voids = int(games.leader[number]), collections.defaultdict(set)
        points, trick = [0, 0], []
        for tile in played:
            if len(trick) == 4:
                trick = []
            trick.append(tile)
            led = self.suit(trick[0])
            seat = (leader + len(trick) - 1) % 4
            if not tiles.CAN_FOLLOW[self.declaration, led, tile]:
                self.voids[seat].add(led)
            if len(trick) == 4:
                best = max(range(4), key=lambda at: self.strength(trick[at], led))
                leader = (leader + best) % 4
                points[leader % 2] += 1 + sum(int(tiles.POINTS[each]) for each in trick)
        self.trick = trick if len(trick) < 4 else []
        self.leader, self.me, self.trick_number = leader, (leader + len(self.trick)) % 4, ply // 4
        self.hand = set(games.hands[number, self.me].tolist()) - set(played)
        self.unseen = TILES - set(played) - self.hand
        self.ours, self.theirs = points[self.me % 2], points[1 - self.me % 2]

    def suit(self, tile):
        return int(tiles.LED_SUIT[self.declaration, tile])

    def strength(self, tile, led):
        return int(tiles.TRICK_RANK[self.declaration, led, tile])

    def higher(self, tile):
        """Tiles of its suit that beat a tile when it is led, trumps of another suit excluded."""
        led = self.suit(tile)
        return {
            other
            for other in TILES
            if tiles.CAN_FOLLOW[self.declaration, led, other]
            and self.strength(other, led) > self.strength(tile, led)
        }

    def may_hold(self, seat):
        return {
            tile
            for tile in self.unseen
            if not any(tiles.CAN_FOLLOW[self.declaration, suit, tile] for suit in self.voids[seat])
        }

    def who(self, some):
        partner = self.may_hold((self.me + 2) % 4) & some
        opponents = (self.may_hold((self.me + 1) % 4) | self.may_hold((self.me + 3) % 4)) & some
        return bool(partner) + 2 * bool(opponents)

    def beating(self, trick):
        """Unseen tiles that would win a trick, and whether its winner so far is of our team."""
        led = self.suit(trick[0])
        best = max(range(len(trick)), key=lambda at: self.strength(trick[at], led))
        top = self.strength(trick[best], led)
        ours = (self.leader + best - self.me) % 2 == 0
        return {tile for tile in self.unseen if self.strength(tile, led) > top}, ours

    def taker(self, move):
        """0: surely our team takes the trick, 1: unsure, 2: surely the other."""
        beating, ours = self.beating([*self.trick, move])
        last = len(self.trick)
        if ours:
            later = {1, 3} if last == 0 else ({1} if last < 3 else set())
            threats = [self.may_hold((self.me + seat) % 4) & beating for seat in later]
            return int(any(threats))
        return 1 if last == 1 and self.may_hold((self.me + 2) % 4) & beating else 2


def expected(seen, move):
    """Features of a move, as a list of numbers."""
    d = seen.declaration
    stage = min(seen.trick_number - 2, 3)
    kept, taker = seen.hand - {move}, seen.taker(move)
    trumps = {t for t in TILES if tiles.CALLED[d, t] and d not in (8, 9)}
    where, left = 0, 0
    for tile in np.flatnonzero(tiles.POINTS):
        place = 1 if tile in kept else (2 if tile in seen.unseen else 0)
        where = 3 * where + place
        left += int(tiles.POINTS[tile]) // 5 if place else 0
    value = 1 + sum(int(tiles.POINTS[each]) for each in (*seen.trick, move))
    we, they = (max(0, 22 - points - value) for points in (seen.ours, seen.theirs))
    found = [
        relations._WHERE + 3 * where + taker,
        relations._WE_NEED + (24 * taker + we) * 8 + left,
        relations._THEY_NEED + (24 * taker + they) * 8 + left,
    ]
    for tile in kept:
        beaters = seen.higher(tile) & seen.unseen
        out = 0 if tile in trumps else min(2, len(trumps & seen.unseen))
        kind = ((stage * 4 + min(3, len(beaters))) * 3 + out) * 3 + int(tiles.POINTS[tile]) // 5
        found.append(relations._KEPT + 4 * kind + seen.who(beaters))
    beating, _ = seen.beating([*seen.trick, move])
    for tile in seen.unseen:
        covered = bool(seen.higher(tile) & kept)
        kind = (stage * 4 + (tile in beating) + 2 * covered) * 3 + int(tiles.POINTS[tile]) // 5
        found.append(relations._UNSEEN + 4 * kind + seen.who({tile}))
    return sorted(found)


def test_relations_are_what_their_names_say():
    games = batch.read(positions(400, range(8, 24), seed=3))
    n_moves = 0
    for number in range(400):
        row, seen = row_of(games, number), Seen(games, number)
        declaration, sees = seen.declaration, view.view_of(row)
        for move in seen.hand:
            rank = int(rules.RANKS[declaration, move])
            if sees.legal >> rank & 1:
                out = np.full(2 * moves.MAX_ACTIVE, -1)
                n = moves.move_features(row, sees, rank, NOTHING, out)
                found = [int(each) - moves.N_ALWAYS for each in out[:n] if is_relation(each)]
                assert sorted(found) == expected(seen, move), (number, move)
                n_moves += 1
    assert n_moves > 600


def test_the_first_two_tricks_have_no_relations():
    games = batch.read(positions(40, range(8), seed=4))
    for number in range(40):
        row, out = row_of(games, number), np.full(2 * moves.MAX_ACTIVE, -1)
        sees = view.view_of(row)
        rank = sees.legal.bit_length() - 1
        n = moves.move_features(row, sees, rank, NOTHING, out)
        assert not any(map(is_relation, out[:n]))


def test_there_is_room_for_any_row():
    # Of a game with illegal plays, which keep more tiles than a hand has and leave more unseen.
    games = batch.read(positions(1, [8], seed=5))
    row = row_of(games, 0)
    row[rules.SEEN] = 0
    row[rules.HANDS : rules.HANDS + 4] = (1 << 28) - 1 - 7
    sees = view.view_of(row)
    out = np.full(2 * moves.MAX_ACTIVE, -1)
    assert moves.move_features(row, sees, 27, NOTHING, out) <= moves.MAX_ACTIVE
