// The backend of an exported page: all is computed here, nothing is asked for elsewhere.
"use strict";

(function () {
  const { rules } = zebjax;
  const PLAYERS = ["network", "network, a little at random", "random"];
  const TEMPERATURE = 0.1;

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

  function deal(random) {
    const tiles = Array.from({ length: 28 }, (_, tile) => tile);
    for (let last = 27; last > 0; last -= 1) {
      const other = Math.floor(random() * (last + 1));
      [tiles[last], tiles[other]] = [tiles[other], tiles[last]];
    }
    return {
      hands: [0, 1, 2, 3].map((seat) => tiles.slice(7 * seat, 7 * seat + 7)),
      declaration: Math.floor(10 * random()), leader: Math.floor(4 * random()), plays: [],
    };
  }

  // What the seat to move has seen: the other hands are left out.
  function seen(game) {
    const me = rules.mover(game);
    const hands = game.hands.map((hand, seat) => (seat === me ? hand : []));
    return { ...game, hands };
  }

  class Local {
    constructor(net, seed) {
      this.net = net;
      this.random = generator(seed);
      this.can = ["play", "undo", "next", "hint", "beliefs"];
      this.table = null;
    }

    async about() {
      return { players: PLAYERS, chosen: 0 };
    }

    async resume() {
      return null;
    }

    async leave() {
      this.table = null;
    }

    async create({ players, seat }) {
      const around = ["you", ...players.map((each) => PLAYERS[each])];
      this.table = {
        seat, players: [0, 1, 2, 3].map((at) => around[(at - seat + 4) % 4]), number: 1,
        won: [0, 0], undone: 0, game: deal(this.random),
      };
      return { views: this.playOthers() };
    }

    async act(action, view, tile) {
      const { table } = this, { game } = table;
      if (action === "hint") return { hint: this.hint() };
      if (action === "beliefs") return { beliefs: this.beliefs() };
      if (action === "undo") {
        const last = rules.movers(game).lastIndexOf(table.seat);
        table.game = { ...game, plays: game.plays.slice(0, last) };
        table.undone += 1;
        return { views: [rules.view(table)] };
      }
      if (action === "next") {
        const points = rules.points(game);
        table.won = table.won.map((won, team) => won + (points[team] > points[1 - team] ? 1 : 0));
        table.number += 1;
        table.undone = 0;
        table.game = deal(this.random);
        return { views: this.playOthers() };
      }
      if (!rules.legal(game).includes(tile)) throw new Error("this tile may not be played now");
      table.game = { ...game, plays: [...game.plays, tile] };
      return { views: this.playOthers() };
    }

    // Lets the others play until it is the person's turn; the view after each play.
    playOthers() {
      const { table } = this, views = [rules.view(table)];
      for (let mover = rules.mover(table.game); mover !== null && mover !== table.seat;
        mover = rules.mover(table.game)) {
        const tile = this.choose(seen(table.game), table.players[mover]);
        table.game = { ...table.game, plays: [...table.game.plays, tile] };
        views.push(rules.view(table));
      }
      return views;
    }

    choose(game, player) {
      const legal = rules.legal(game);
      if (player === "random") return legal[Math.floor(this.random() * legal.length)];
      if (legal.length === 1) return legal[0];
      const { policy } = zebjax.network.evaluate(this.net, game);
      const hand = game.hands[rules.mover(game)];
      const noise = player === "network" ? 0 : TEMPERATURE;
      const score = legal.map((tile) => policy[hand.indexOf(tile)]
        - noise * Math.log(-Math.log(this.random() || 1e-9)));
      return legal[score.indexOf(Math.max(...score))];
    }

    hint() {
      const game = seen(this.table.game), legal = rules.legal(game);
      const { policy, value } = zebjax.network.evaluate(this.net, game);
      const hand = game.hands[this.table.seat];
      const shares = zebjax.network.softmax(legal.map((tile) => policy[hand.indexOf(tile)]));
      const top = Math.max(...shares);
      return {
        caption: "How much the network prefers each tile; it expects to win with "
          + `${Math.round(50 + 50 * value)} %`,
        headings: ["tile", "share", ""],
        tiles: legal.map((tile, at) => ({ tile, p_win: shares[at], points: null,
          best: shares[at] === top })),
      };
    }

    beliefs() {
      const game = seen(this.table.game), { seat } = this.table;
      const { hidden, shares, total } = rules.marginals(game);
      const { belief } = zebjax.network.evaluate(this.net, game);
      return {
        worlds: total, seats: [1, 2, 3].map((step) => (seat + step) % 4),
        network: belief ? this.net.name : null,
        tiles: hidden.map((tile, at) => ({ tile, exact: shares[at],
          network: belief ? belief[tile] : null })),
      };
    }
  }

  zebjax.local = { Local, PLAYERS };
})();
