// What tiles, declarations and bids are worth, by hands that the small network plays to the end in
// sampled deals of the hidden tiles, as zebjax.players.auction does. Only what one seat has seen is
// read: the game in it must have the hands of the others empty.
"use strict";

(function () {
  const { rules, small } = zebjax;
  const TEMPERATURE = 0.02; // of the play, in units of the score
  const TOTAL = 42;
  const LEAST = 5; // worlds, however slow the machine is, unless `limit.least` says other
  const PAUSE_MS = 30; // the page answers at least so often

  // A small generator of random numbers (xorshift, 32 bits) with a seed.
  function generator(seed) {
    let word = (seed >>> 0) || 1;
    return () => {
      word ^= word << 13;
      word ^= word >>> 17;
      word ^= word << 5;
      return (word >>> 0) / 2 ** 32;
    };
  }

  // Another seed for each number (the finaliser of MurmurHash3, Appleby 2011).
  function seedOf(seed, number) {
    let word = (seed + Math.imul(number + 1, 0x9e3779b9)) >>> 0;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) >>> 0;
  }

  // Points of the mover's team at the end after each of some tiles, with the same random numbers.
  function pointsAfter(net, game, tiles, seed, temperature = TEMPERATURE) {
    const ranks = small.ranksOfTiles(game.declaration), team = rules.mover(game) % 2;
    const row = small.start(game);
    return tiles.map((tile) => {
      const after = row.slice();
      small.play(after, ranks[tile]);
      small.follow(net, after, temperature, generator(seed));
      return small.pointsOf(after, team);
    });
  }

  // Calls `step(world, part)` for the parts of each world, and lets the page answer in between.
  // After `limit.ms` no new world is begun. Gives the number of worlds.
  async function inWorlds(limit, parts, step) {
    const began = performance.now(), least = limit.least ?? LEAST;
    let last = began;
    for (let world = 0; world < limit.worlds; world += 1) {
      if (world >= least && performance.now() - began > limit.ms) return world;
      for (let part = 0; part < parts; part += 1) {
        step(world, part);
        if (performance.now() - last > PAUSE_MS) {
          await new Promise((done) => { setTimeout(done); });
          last = performance.now();
        }
      }
    }
    return limit.worlds;
  }

  // How often each declaration, if the hand leads, makes at least so many points: for each
  // declaration `{declaration, leads}`, where leads[slot] counts the worlds by points 0 to 42.
  async function chances(net, hand, declarations, seed, limit) {
    const hands = [hand, [], [], []], plays = [];
    const deal = rules.dealer({ hands, declaration: declarations[0], leader: 0, plays });
    const rows = declarations.map((declaration) => ({
      declaration, leads: hand.map(() => new Array(TOTAL + 1).fill(0)),
    }));
    let dealt = null;
    const worlds = await inWorlds(limit, rows.length, (world, part) => {
      if (!part) dealt = deal(generator(seedOf(seed, 2 * world)));
      const row = rows[part];
      const game = { hands: dealt, declaration: row.declaration, leader: 0, plays };
      pointsAfter(net, game, hand, seedOf(seed, 2 * world + 1))
        .forEach((points, slot) => { row.leads[slot][points] += 1; });
    });
    return { worlds, rows };
  }

  const sum = (values) => values.reduce((all, value) => all + value, 0);

  // P of at least so many points with the best lead.
  function pMake({ leads }, worlds, points) {
    return Math.max(...leads.map((counts) => sum(counts.slice(points)))) / worlds;
  }

  const meanOf = (counts, worlds) => sum(counts.map((n, points) => n * points)) / worlds;

  // The most mean points of a lead.
  const meanPoints = ({ leads }, worlds) =>
    Math.max(...leads.map((counts) => meanOf(counts, worlds)));

  // The declaration that makes a bid most often; on ties the more mean points decide.
  function best({ rows, worlds }, points) {
    const found = rows.map((row) => ({
      declaration: row.declaration, pMake: pMake(row, worlds, points),
      points: meanPoints(row, worlds),
    }));
    return found.reduce((top, each) => (each.pMake > top.pMake
      || (each.pMake === top.pMake && each.points > top.points) ? each : top));
  }

  // The value of each legal tile: P of at least `points` for the mover's team, and its mean points.
  async function values(net, game, points, seed, limit) {
    const tiles = rules.legal(game), deal = rules.dealer(game);
    const counts = tiles.map(() => new Array(TOTAL + 1).fill(0));
    const worlds = await inWorlds(limit, 1, (world) => {
      const hands = deal(generator(seedOf(seed, 2 * world)));
      pointsAfter(net, { ...game, hands }, tiles, seedOf(seed, 2 * world + 1))
        .forEach((found, at) => { counts[at][found] += 1; });
    });
    return {
      worlds, tiles: tiles.map((tile, at) => ({
        tile, p: sum(counts[at].slice(points)) / worlds, points: meanOf(counts[at], worlds),
      })),
    };
  }

  zebjax.rollouts = { generator, seedOf, pointsAfter, chances, pMake, meanPoints, best, values };
})();
