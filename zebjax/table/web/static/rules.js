// The rules for an exported page: tables of tiles, legal plays, tricks, deals of hidden tiles.
// Node checks them against zebjax.game (tests/table/test_export.py).
"use strict";
var zebjax = globalThis.zebjax || {};
globalThis.zebjax = zebjax;

(function () {
  const HIGH = [], LOW = [];
  for (let high = 0; high < 7; high += 1) {
    for (let low = 0; low <= high; low += 1) {
      HIGH.push(high);
      LOW.push(low);
    }
  }
  const POINTS = HIGH.map((high, tile) => {
    const pips = high + LOW[tile];
    return pips === 10 ? 10 : pips === 5 ? 5 : 0;
  });
  const NAMES = ["blanks", "aces", "deuces", "treys", "fours", "fives", "sixes", "doubles",
    "doubles a suit", "follow me"];
  // What is played, as a heading.
  const PHRASES = [...NAMES.slice(0, 8).map((each) => `trumps: ${each}`),
    "doubles a suit", "follow me (no trump)"];
  const CALLED_SUIT = 7, DOUBLES_TRUMP = 7, DOUBLES_SUIT = 8, NO_TRUMP = 9;

  const isDouble = (tile) => HIGH[tile] === LOW[tile];

  function isCalled(declaration, tile) {
    if (declaration < 7) return HIGH[tile] === declaration || LOW[tile] === declaration;
    return declaration !== NO_TRUMP && isDouble(tile);
  }

  // The suit that must be followed when the tile is led.
  function ledSuit(declaration, tile) {
    return isCalled(declaration, tile) ? CALLED_SUIT : HIGH[tile];
  }

  function follows(declaration, suit, tile) {
    if (isCalled(declaration, tile)) return suit === CALLED_SUIT;
    return HIGH[tile] === suit || LOW[tile] === suit;
  }

  function rank(declaration, suit, tile) {
    const isTrump = declaration < DOUBLES_SUIT && isCalled(declaration, tile);
    const tier = isTrump ? 2 : follows(declaration, suit, tile) ? 1 : 0;
    const doublesAlone = declaration === DOUBLES_TRUMP || declaration === DOUBLES_SUIT;
    const inSuit = !isDouble(tile) ? HIGH[tile] + LOW[tile] : doublesAlone ? HIGH[tile] : 14;
    return tier === 0 ? 0 : 16 * tier + inSuit;
  }

  // A hand as players hold it: by suits from sixes to blanks, the trumps first and in each suit its
  // double; while nothing is declared, as without a trump.
  function inOrder(hand, declaration) {
    const named = declaration ?? NO_TRUMP;
    const place = (tile) => {
      const suit = ledSuit(named, tile);
      return 100 * suit + rank(named, suit, tile);
    };
    return [...hand].sort((a, b) => place(b) - place(a));
  }

  // The tricks of some plays; an unfinished one has winner and points null.
  function tricks(game) {
    const found = [];
    let leader = game.leader;
    for (let start = 0; start < game.plays.length; start += 4) {
      const tiles = game.plays.slice(start, start + 4);
      const seats = [0, 1, 2, 3].map((step) => (leader + step) % 4);
      const trick = { leader, seats, tiles, winner: null, points: null };
      if (tiles.length === 4) {
        const suit = ledSuit(game.declaration, tiles[0]);
        const ranks = tiles.map((tile) => rank(game.declaration, suit, tile));
        trick.winner = (leader + ranks.indexOf(Math.max(...ranks))) % 4;
        trick.points = 1 + tiles.reduce((sum, tile) => sum + POINTS[tile], 0);
        leader = trick.winner;
      }
      found.push(trick);
    }
    return found;
  }

  // The seat to move; null when the hand is over.
  function mover(game) {
    if (game.plays.length === 28) return null;
    const last = tricks(game).at(-1);
    if (!last) return game.leader;
    return last.winner !== null ? last.winner : (last.leader + last.tiles.length) % 4;
  }

  function movers(game) {
    return tricks(game).flatMap((trick) => trick.tiles.map((_, place) =>
      (trick.leader + place) % 4));
  }

  // The tiles that the mover may play, in the order of its slots.
  function legal(game) {
    const seat = mover(game);
    if (seat === null) return [];
    const left = game.hands[seat].filter((tile) => !game.plays.includes(tile));
    const trick = game.plays.slice(Math.floor(game.plays.length / 4) * 4);
    if (!trick.length) return left;
    const suit = ledSuit(game.declaration, trick[0]);
    const able = left.filter((tile) => follows(game.declaration, suit, tile));
    return able.length ? able : left;
  }

  function points(game) {
    const found = [0, 0];
    for (const trick of tricks(game)) {
      if (trick.winner !== null) found[trick.winner % 2] += trick.points;
    }
    return found;
  }

  // The tiles that the mover does not see, and which opponent may hold each.
  function unseen(game) {
    const me = mover(game), seats = movers(game);
    const others = [1, 2, 3].map((step) => (me + step) % 4);
    const hidden = [];
    for (let tile = 0; tile < 28; tile += 1) {
      if (!game.plays.includes(tile) && !game.hands[me].includes(tile)) hidden.push(tile);
    }
    const failed = others.map((seat) => tricks(game).flatMap((trick) => {
      const place = (seat - trick.leader + 4) % 4;
      const suit = ledSuit(game.declaration, trick.tiles[0]);
      const tile = trick.tiles[place];
      return tile !== undefined && !follows(game.declaration, suit, tile) ? [suit] : [];
    }));
    const may = hidden.map((tile) => failed.map((suits) =>
      !suits.some((suit) => follows(game.declaration, suit, tile))));
    const left = others.map((seat) => 7 - seats.filter((one) => one === seat).length);
    return { me, others, hidden, may, left };
  }

  // What each opponent may hold of the hidden tiles, and the exact marginal: for each hidden tile
  // the share of the consistent deals in which left, partner and right hold it.
  function marginals(game) {
    const { hidden, may, left } = unseen(game);
    return { hidden, ...count(may, left) };
  }

  const key = (room) => room[0] * 64 + room[1] * 8 + room[2];
  const taken = (room, at) => room.map((each, place) => each - (place === at ? 1 : 0));

  // Gives complete(r, room): the number of deals of the hidden tiles from number r on into the room
  // left at the three opponents. At most 399,072,960, so the numbers are exact.
  function completions(may) {
    const ways = Array.from({ length: may.length + 1 }, () => new Map());
    return function complete(r, room) {
      if (room.some((each) => each < 0)) return 0;
      if (r === may.length) return 1;
      const known = ways[r].get(key(room));
      if (known !== undefined) return known;
      let sum = 0;
      for (let at = 0; at < 3; at += 1) if (may[r][at]) sum += complete(r + 1, taken(room, at));
      ways[r].set(key(room), sum);
      return sum;
    };
  }

  function count(may, left) {
    const complete = completions(may), total = complete(0, left);
    let before = new Map([[key(left), [left, 1]]]);
    const shares = may.map((able, r) => {
      const after = new Map(), holds = [0, 0, 0];
      for (const [room, reached] of before.values()) {
        for (let at = 0; at < 3; at += 1) {
          const next = taken(room, at);
          const rest = able[at] ? complete(r + 1, next) : 0;
          if (!rest) continue;
          holds[at] += reached * rest;
          const there = after.get(key(next));
          after.set(key(next), [next, reached + (there ? there[1] : 0)]);
        }
      }
      before = after;
      return holds.map((each) => each / total);
    });
    return { total, shares };
  }

  // Deals the hidden tiles: each consistent deal is equally likely. Gives a function of a generator
  // of random numbers to four hands, which hold what each seat was dealt.
  function dealer(game) {
    const { me, others, hidden, may, left } = unseen(game), complete = completions(may);
    const seats = movers(game);
    return (random) => {
      const hands = [0, 1, 2, 3].map((seat) => (seat === me ? [...game.hands[me]]
        : game.plays.filter((_, ply) => seats[ply] === seat)));
      let room = left;
      hidden.forEach((tile, r) => {
        const ways = others.map((_, at) => (may[r][at] ? complete(r + 1, taken(room, at)) : 0));
        let rest = random() * (ways[0] + ways[1] + ways[2]), at = 0;
        while (at < 2 && (rest >= ways[at] || !ways[at])) {
          rest -= ways[at];
          at += 1;
        }
        while (!ways[at]) at -= 1; // rounding left a rest
        hands[others[at]].push(tile);
        room = taken(room, at);
      });
      return hands;
    };
  }

  zebjax.rules = { HIGH, LOW, POINTS, NAMES, PHRASES, inOrder, isDouble, isCalled, ledSuit, follows, tricks, mover,
    movers, legal, points, marginals, dealer };
})();
