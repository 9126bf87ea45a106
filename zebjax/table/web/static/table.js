// The state of an exported page's table: phases, marks, the view of the person's seat, and what the
// seat to act is told. A table is plain data: {seat, players, number, won, games, undone, seed,
// game, auction}; `auction` is {dealer, calls}, or null at a table without bids.
"use strict";

(function () {
  const { rules, auction: bids } = zebjax;

  // What comes next: bid, declare, play or over.
  function phase({ game, auction }) {
    if (auction && !game.bid) return bids.isOver(auction) ? "declare" : "bid";
    return game.plays.length === 28 || bids.winner(game) !== null ? "over" : "play";
  }

  // The seat to bid, to declare or to play; null when the hand is over.
  function turn(table) {
    const { game, auction } = table, now = phase(table);
    if (now === "bid") return bids.seatOf(auction, auction.calls.length);
    if (now === "declare") return bids.high(auction).seat;
    return now === "over" ? null : rules.mover(game);
  }

  // Hands won by both teams, with bids the marks of this game, with this hand if it is over.
  function score(table) {
    const { game, won } = table;
    if (phase(table) !== "over") return won;
    const points = rules.points(game), team = bids.winner(game);
    return won.map((before, each) => before + (game.bid ? game.bid.marks * (team === each)
      : Number(points[each] > points[1 - each])));
  }

  // The team that has won the game of marks by this hand, or null.
  function gameWinner(table) {
    const marks = score(table);
    return table.auction && Math.max(...marks) >= bids.GOAL ? Number(marks[1] >= bids.GOAL) : null;
  }

  // True if the person has bid, declared or played in this hand.
  function canUndo({ game, auction, seat }) {
    const hasBid = auction && auction.calls.length > (seat - auction.dealer + 3) % 4;
    return Boolean(hasBid) || rules.movers(game).includes(seat);
  }

  function auctionView(table) {
    const { game, auction, seat } = table, now = phase(table), mine = turn(table) === seat;
    if (!auction) return null;
    const team = bids.winner(game);
    const taken = rules.tricks(game).filter((trick) => trick.winner !== null)
      .map((trick) => trick.winner % 2);
    return {
      dealer: auction.dealer, calls: auction.calls,
      allowed: mine && now === "bid" ? bids.allowed(auction) : [],
      declarations: !mine || now !== "declare" ? [] : bids.DECLARATIONS.map((declaration) =>
        ({ declaration, name: rules.NAMES[declaration] })),
      bid: bids.high(auction), kind: "", special: null,
      tricks: [0, 1].map((each) => taken.filter((one) => one === each).length),
      needs: game.bid ? bids.needs(game.bid) : null,
      result: team === null ? null : team === game.bid.seat % 2 ? "made" : "set", winner: team,
      marks: score(table), goal: bids.GOAL, games: table.games, game_winner: gameWinner(table),
    };
  }

  // What the page shows, as `zebjax.table.views.view` does.
  function view(table) {
    const { game, seat } = table;
    const now = phase(table), over = now === "over", next = turn(table), seats = rules.movers(game);
    const declared = now === "play" || over;
    const may = now === "play" && next === seat ? rules.legal(game) : [];
    return {
      phase: now, number: table.number, seat, players: table.players,
      declaration: declared ? game.declaration : null,
      declaration_name: declared ? rules.PHRASES[game.declaration] : null,
      leader: declared ? game.leader : null, silent: -1, ply: game.plays.length, turn: next,
      hand: rules.inOrder(game.hands[seat], declared ? game.declaration : null).map((tile) => ({
        tile, played: game.plays.includes(tile), legal: may.includes(tile),
      })),
      tricks: rules.tricks(game), points: rules.points(game),
      counts: [0, 1, 2, 3].map((each) => 7 - seats.filter((one) => one === each).length),
      won: table.won, can_undo: canUndo(table), undone: table.undone,
      hands: over ? game.hands : null, seed: null, auction: auctionView(table),
    };
  }

  // What the seat to act is told: its own hand, the public record, and a seed of its own.
  function asked(table) {
    const { game, auction } = table, now = phase(table), me = turn(table);
    const hands = game.hands.map((hand, seat) => (seat === me ? hand : []));
    const number = now === "play" ? game.plays.length : 28 + auction.calls.length;
    const seen = now === "play" ? { ...game, hands }
      : { hands, declaration: null, leader: me, plays: [] };
    return { kind: now, seat: me, game: seen, auction,
      seed: zebjax.rollouts.seedOf(table.seed, number) };
  }

  zebjax.table = { phase, turn, score, gameWinner, view, asked };
})();
