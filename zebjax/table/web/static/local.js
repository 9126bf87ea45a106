// The backend of an exported page: all is computed here, nothing is asked for elsewhere.
"use strict";

(function () {
  const { rules, rollouts, auction: bids, table: tables } = zebjax;
  // Without bids "strong" is the large network; with bids it is mostly rollouts of the small one.
  const PLAYERS = ["strong", "strong, a little at random", "random"];
  const TEMPERATURE = 0.1;
  const NOTICE = "With bids the others sample deals that fit what they have seen, and the small "
    + "network plays these to the end, for at most 1.2 s a bid and 0.25 s a tile. So what they "
    + "bid and play depends on the speed of this machine; on a slow one they play for points.";
  const THETA = 0.5; // the least P(make) with which the others bid
  // Worlds at most, and the time after which no new one is begun.
  const OF_BIDS = { worlds: 50, ms: 1200 }, OF_HINTS = { worlds: 200, ms: 1200 };
  // Fewer worlds than `fewest` say less than the large network does.
  const OF_PLAYS = { worlds: 50, ms: 250, least: 0, fewest: 20 };
  const LIMITS = { bids: OF_BIDS, plays: OF_PLAYS };
  const NOISE_OF_P = 0.02; // of the player "a little at random", in units of P(make)

  function deal(random, bidding) {
    const tiles = Array.from({ length: 28 }, (_, tile) => tile);
    for (let last = 27; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      [tiles[last], tiles[other]] = [tiles[other], tiles[last]];
    }
    return {
      hands: [0, 1, 2, 3].map((seat) => tiles.slice(7 * seat, 7 * seat + 7)),
      declaration: bidding ? null : Math.floor(10 * random()), leader: Math.floor(4 * random()),
      plays: [],
    };
  }

  // A decision of one seat, made of what `table.asked` tells: a call, a declaration or a tile.
  async function decide(nets, asked, player, { bids: ofBids, plays } = LIMITS) {
    if (asked.kind === "bid") return call(nets.small, asked, ofBids);
    if (asked.kind === "declare") return declare(nets.small, asked, ofBids);
    return choose(nets, asked, player, plays);
  }

  const chancesOf = (net, { game, seat, seed }, limit) =>
    rollouts.chances(net, game.hands[seat], bids.DECLARATIONS, seed, limit);

  // Raises by one if the best declaration makes that in THETA of the worlds or more. A bid of 42
  // or of marks is never raised, and no bid of the partner. The dealer bids 30 if all others have
  // passed.
  async function call(net, asked, limit) {
    const [first, ...rest] = bids.allowed(asked.auction);
    if (first !== bids.PASS) return first;
    const next = bids.BIDS.find((bid) => bid.name === rest[0]);
    if (!next || next.marks > 1) return bids.PASS;
    const top = bids.high(asked.auction);
    if (top && top.seat % 2 === asked.seat % 2) return bids.PASS;
    const { pMake } = rollouts.best(await chancesOf(net, asked, limit), next.points);
    return pMake >= THETA ? next.name : bids.PASS;
  }

  async function declare(net, asked, limit) {
    const found = await chancesOf(net, asked, limit);
    return rollouts.best(found, bids.high(asked.auction).points).declaration;
  }

  // A tile: with a bid by P(make) or P(set), else as the large network prefers.
  async function choose(nets, asked, player, limit) {
    const { game, seat, seed } = asked, legal = rules.legal(game);
    const random = rollouts.generator(seed);
    if (player === "random") return legal[Math.floor(random() * legal.length)];
    if (legal.length === 1) return legal[0];
    const chances = game.bid ? await byChance(nets.small, asked, limit) : null;
    let score = chances;
    if (!score) {
      const { policy } = zebjax.network.evaluate(nets.big, game), hand = game.hands[seat];
      score = legal.map((tile) => policy[hand.indexOf(tile)]);
    }
    const noise = player === PLAYERS[0] ? 0 : chances ? NOISE_OF_P : TEMPERATURE;
    score = score.map((each) => each - noise * Math.log(-Math.log(random() || 1e-9)));
    return legal[score.indexOf(Math.max(...score))];
  }

  // P(make) or P(set) of each legal tile, and on ties the mean points; null after too few worlds.
  async function byChance(net, { game, seat, seed }, limit) {
    const found = await rollouts.values(net, game, bids.needs(game.bid)[seat % 2], seed, limit);
    if (found.worlds < limit.fewest) return null;
    // A point is worth less than one world in all of them.
    return found.tiles.map(({ p, points }) => p + points / (100 * limit.worlds));
  }

  // A table after a decision of the seat to act; it remembers the table before it.
  const after = (table, made) => ({ ...decided(table, made), before: table });

  // Takes back the last thing that the person did, and everything after it.
  function undo(table) {
    let { before } = table;
    while (tables.turn(before) !== table.seat) before = before.before;
    return { ...before, undone: table.undone + 1 };
  }

  function decided(table, made) {
    const { game, auction } = table, now = tables.phase(table);
    if (now === "bid") {
      if (!bids.allowed(auction).includes(made)) throw new Error("this bid may not be made now");
      return { ...table, auction: { ...auction, calls: [...auction.calls, made] } };
    }
    if (now === "declare") {
      if (!bids.DECLARATIONS.includes(made)) throw new Error("this declaration does not exist");
      const { seat, points, marks } = bids.high(auction);
      return { ...table,
        game: { ...game, declaration: made, leader: seat, bid: { seat, points, marks } } };
    }
    if (now === "over" || !rules.legal(game).includes(made)) {
      throw new Error("this tile may not be played now");
    }
    return { ...table, game: { ...game, plays: [...game.plays, made] } };
  }

  class Local {
    // `keep` has `read()` and `write(table)`, which outlive a reload of the page.
    constructor(nets, seed, keep = { read: () => null, write: () => {} }) {
      this.nets = nets;
      this.keep = keep;
      this.random = rollouts.generator(seed);
      this.can = ["play", "bid", "declare", "undo", "next", "hint", "beliefs"];
      this.now = keep.read();
    }

    get table() {
      return this.now;
    }

    set table(table) {
      this.now = table;
      this.keep.write(table);
    }

    async about() {
      return { players: PLAYERS, chosen: 0, may_bid: true, notice: NOTICE };
    }

    async resume() {
      return this.table && { views: this.playOthers() };
    }

    async leave() {
      this.table = null;
    }

    // A hand that is dealt now; the first dealer is drawn.
    dealt(table, dealer = null) {
      const game = deal(this.random, table.bids);
      const auction = table.bids ? { dealer: dealer ?? game.leader, calls: [] } : null;
      const seed = Math.floor(2 ** 32 * this.random());
      return { ...table, game, auction, undone: 0, before: null, seed };
    }

    async create({ players, seat, bids: isBid }) {
      const around = ["you", ...players.map((each) => PLAYERS[each])];
      this.table = this.dealt({
        seat, players: [0, 1, 2, 3].map((at) => around[(at - seat + 4) % 4]), number: 1,
        won: [0, 0], games: [0, 0], bids: Boolean(isBid),
      });
      return { views: this.playOthers() };
    }

    async act(action, view, value) {
      const { table } = this;
      if (action === "hint") return { hint: await this.hint() };
      if (action === "beliefs") return { beliefs: this.beliefs() };
      if (action === "undo") {
        this.table = undo(table);
        return { views: [tables.view(this.table)] };
      }
      if (action === "next") this.next();
      else this.table = after(table, value);
      return { views: this.playOthers() };
    }

    // After the last hand of a game of marks it is the first of a new one.
    next() {
      const { table } = this, winner = tables.gameWinner(table);
      const dealer = table.auction && (table.auction.dealer + 1) % 4;
      this.table = this.dealt({
        ...table, number: table.number + 1, won: winner === null ? tables.score(table) : [0, 0],
        games: table.games.map((games, team) => games + (team === winner ? 1 : 0)),
      }, dealer);
    }

    // Lets the others act until it is the person's turn; yields the view after each step.
    async* playOthers() {
      yield tables.view(this.table);
      for (let seat = tables.turn(this.table); seat !== null && seat !== this.table.seat;
        seat = tables.turn(this.table)) {
        const asked = tables.asked(this.table);
        const made = await decide(this.nets, asked, this.table.players[seat]);
        this.table = after(this.table, made);
        yield tables.view(this.table);
      }
    }

    async hint() {
      const asked = tables.asked(this.table);
      return asked.kind === "play" ? playHint(this.nets, asked) : bidHint(this.nets.small, asked);
    }

    beliefs() {
      const { game, seat } = tables.asked(this.table);
      const { hidden, shares, total } = rules.marginals(game);
      const { belief: raw } = zebjax.network.evaluate(this.nets.big, game);
      const belief = raw && zebjax.network.onMarginal(this.nets.big, raw, hidden, shares);
      return {
        worlds: total, seats: [1, 2, 3].map((step) => (seat + step) % 4),
        network: belief ? this.nets.big.name : null,
        tiles: hidden.map((tile, at) => ({ tile, exact: shares[at],
          network: belief ? belief[tile] : null })),
      };
    }
  }

  // P(make) of each declaration and bid in points, as `zebjax.table.advice.bid_hint` gives it.
  async function bidHint(net, asked, limit = OF_BIDS) {
    const found = await chancesOf(net, asked, limit), { worlds } = found;
    const points = bids.BIDS.filter((bid) => bid.marks === 1).map((bid) => bid.points);
    const stands = asked.kind === "bid" ? null : bids.high(asked.auction);
    const names = stands ? [String(stands.points)] : bids.allowed(asked.auction);
    const lowest = points.findIndex((each) => names.includes(String(each)));
    const at = Math.max(lowest, 0);
    const rows = found.rows.map((row) => ({
      declaration: row.declaration, name: rules.NAMES[row.declaration],
      p_make: points.map((each) => rollouts.pMake(row, worlds, each)),
      points: rollouts.meanPoints(row, worlds),
    })).sort((a, b) => b.p_make[at] - a.p_make[at] || b.points - a.points);
    const best = points.map((bid) => ({ bid, ...rollouts.best(found, bid) }))
      .findLast((each) => each.pMake >= THETA);
    // Others may have bid more.
    const highest = !stands && best && lowest >= 0 && best.bid >= points[lowest] ? best : null;
    const [top] = rows, mayPass = names[0] === bids.PASS;
    return {
      worlds, bids: points, lowest: lowest < 0 ? null : lowest, theta: THETA, special: [],
      best_special: null, rows, stands: stands && stands.name,
      must: mayPass ? null : { bid: stands ? stands.name : names[0], name: top.name,
        phrase: rules.PHRASES[top.declaration], p_make: top.p_make[at] },
      advice: highest ? { bid: highest.bid, name: rules.NAMES[highest.declaration],
        p_make: highest.pMake } : null,
    };
  }

  // P(make), P(set) or P(more points) of each legal tile, beside the network's own preference.
  async function playHint(nets, { game, seat, seed }, limit = OF_HINTS) {
    const needed = game.bid ? bids.needs(game.bid)[seat % 2] : 22;
    const found = await rollouts.values(nets.small, game, needed, seed, limit);
    const { policy, value } = zebjax.network.evaluate(nets.big, game), hand = game.hands[seat];
    const shares = zebjax.network.softmax(
      found.tiles.map(({ tile }) => policy[hand.indexOf(tile)]));
    const top = found.tiles.reduce((best, each) => (each.p > best.p
      || (each.p === best.p && each.points > best.points) ? each : best));
    const expects = game.bid ? "" : `; it expects to win with ${Math.round(50 + 50 * value)} %`;
    const isOurs = game.bid && game.bid.seat % 2 === seat % 2;
    return {
      worlds: found.worlds, value: !game.bid ? "win" : isOurs ? "make" : "set",
      caption: `What each tile is worth, over ${found.worlds} deals of the hidden tiles, each `
        + "played to the end by the small network; share: how much the large network prefers it"
        + expects,
      tiles: found.tiles.map(({ tile, p, points }, at) => ({ tile, p_win: p, points,
        share: shares[at], best: p === top.p && points === top.points })),
    };
  }

  zebjax.local = { Local, PLAYERS, decide, bidHint, playHint, after, undo };
})();
