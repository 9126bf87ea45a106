// The rules for the small network of an exported page: zebjax.small.rules in plain JavaScript. Tiles
// are ranks 0 to 27 of the declaration, sets of tiles are masks over ranks, and a game is a row of
// 55 integers that is changed in place.
"use strict";

(function () {
  const { HIGH, LOW, POINTS, isDouble, isCalled, ledSuit, follows } = zebjax.rules;
  const DOUBLES_SUIT = 8, TILES = 28, SUITS = 8, ALL = 2 ** TILES - 1;
  const TILE_IDS = Array.from({ length: TILES }, (_, tile) => tile);

  const lowest = (mask) => 31 - Math.clz32(mask & -mask);
  const highest = (mask) => 31 - Math.clz32(mask);

  function count(mask) {
    let n = 0;
    for (let left = mask; left; left &= left - 1) n += 1;
    return n;
  }

  // ---- the order of tiles under each declaration (zebjax.solver.ranks)

  // Within every suit the higher rank wins: plain tiles by pips, then doubles, then trumps.
  function tablesOf(declaration) {
    const isTrump = (tile) => declaration < DOUBLES_SUIT && isCalled(declaration, tile);
    const order = (tile) => 200 * isTrump(tile) + 100 * isDouble(tile) + HIGH[tile] + LOW[tile];
    const tiles = [...TILE_IDS].sort((a, b) => order(a) - order(b) || a - b);
    const ranks = TILE_IDS.map((tile) => tiles.indexOf(tile));
    const counts = ranks.filter((_, tile) => POINTS[tile]); // of the tiles with points
    const mask = (wanted) => tiles.reduce(
      (all, tile, rank) => (wanted(tile) ? all | (1 << rank) : all), 0);
    const trumps = mask(isTrump);
    const suits = tiles.map((tile) => ledSuit(declaration, tile));
    const ofSuit = Array.from({ length: SUITS }, (_, suit) =>
      mask((tile) => follows(declaration, suit, tile)));
    return {
      tiles, ranks, counts, trumps, suits: Int32Array.from(suits), ofSuit: Int32Array.from(ofSuit),
      follows: Int32Array.from(suits, (suit) => ofSuit[suit]),
      wins: Int32Array.from(suits, (suit) => ofSuit[suit] | trumps),
      points: Int32Array.from(tiles, (tile) => POINTS[tile]),
      doubles: mask(isDouble), lows: Int32Array.from(tiles, (tile) => LOW[tile]),
    };
  }

  const TABLES = Array.from({ length: 10 }, (_, declaration) => tablesOf(declaration));

  // ---- rules. Columns of a row; the first four groups have one per seat.

  const HANDS = 0, LED = 4, FOLLOWED = 8, VOIDS = 12, DECLARATION = 16, LEADER = 17, N_LAID = 18,
    PLY = 19, SEEN = 20, TEAM_POINTS = 21, TRICK = 23, PAST = 27, SIZE = PAST + TILES;
  const COLUMNS = {
    HANDS, LED, FOLLOWED, VOIDS, DECLARATION, LEADER, N_LAID, PLY, SEEN, TEAM_POINTS, TRICK,
    PAST,
  };
  const N_MANNERS = 18;

  const mover = (row) => (row[LEADER] + row[N_LAID]) & 3;

  // The row of a game whose hands are all known, or of a view in which other hands are empty.
  function start(game) {
    const row = new Int32Array(SIZE), { ranks } = TABLES[game.declaration];
    row[DECLARATION] = game.declaration;
    row[LEADER] = game.leader;
    game.hands.forEach((hand, seat) => {
      for (const tile of hand) row[HANDS + seat] |= 1 << ranks[tile];
    });
    for (const tile of game.plays) play(row, ranks[tile]);
    return row;
  }

  function legal(row) {
    const hand = row[HANDS + mover(row)];
    if (!row[N_LAID]) return hand;
    return (hand & TABLES[row[DECLARATION]].follows[row[TRICK]]) || hand;
  }

  // The rank that wins the trick so far; a tile must be on the table.
  function bestLaid(row) {
    let laid = 0;
    for (let at = 0; at < row[N_LAID]; at += 1) laid |= 1 << row[TRICK + at];
    return highest(laid & TABLES[row[DECLARATION]].wins[row[TRICK]]);
  }

  // In which situation the mover plays a legal tile. A lead is 0, or 1 if no unplayed tile of its
  // suit is higher. Later plays begin at 2: bit 0, the tile wins so far; bit 1, it follows suit;
  // bit 2, the partner was winning; bit 3, it is the last.
  function mannerOf(row, rank) {
    const tables = TABLES[row[DECLARATION]], n = row[N_LAID], led = row[TRICK];
    if (!n) return tables.follows[rank] & (-2 << rank) & ~row[SEEN] ? 0 : 1;
    const best = bestLaid(row);
    let manner = n === 3 ? 10 : 2;
    if (rank > best && (tables.wins[led] >> rank) & 1) manner += 1;
    if ((tables.follows[led] >> rank) & 1) manner += 2;
    if (n >= 2 && row[TRICK + n - 2] === best) manner += 4;
    return manner;
  }

  function play(row, rank) {
    const tables = TABLES[row[DECLARATION]], n = row[N_LAID], seat = mover(row), tile = 1 << rank;
    row[PAST + row[PLY]] = (seat * N_MANNERS + mannerOf(row, rank)) * TILES + rank;
    if (!n) {
      row[LED + seat] |= tile;
    } else {
      row[FOLLOWED + seat] |= tile;
      const led = row[TRICK];
      if (!(tables.follows[led] & tile)) row[VOIDS + seat] |= 1 << tables.suits[led];
    }
    row[HANDS + seat] &= ~tile;
    row[SEEN] |= tile;
    row[TRICK + n] = rank;
    row[N_LAID] = n + 1;
    row[PLY] += 1;
    if (n < 3) return;
    const best = bestLaid(row);
    let gain = 1, winner = 0;
    for (let at = 0; at < 4; at += 1) {
      gain += tables.points[row[TRICK + at]];
      if (row[TRICK + at] === best) winner = at;
    }
    row[LEADER] = (row[LEADER] + winner) & 3;
    row[TEAM_POINTS + (row[LEADER] & 1)] += gain;
    row[N_LAID] = 0;
  }

  zebjax.smallRules = {
    TILES, SUITS, ALL, TABLES, COLUMNS, N_MANNERS, lowest, count, mover, start, legal, bestLaid,
    play,
  };
})();
