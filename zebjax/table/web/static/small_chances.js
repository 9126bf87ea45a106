// Features of a move by what the mover believes of the hidden tiles, for the small network of an
// exported page: zebjax.small.chances in plain JavaScript, in the same order of groups.
"use strict";

(function () {
  const { TILES, lowest } = zebjax.smallRules;
  const { above, takerAfter } = zebjax.smallView;

  const FINE = 16, COARSE = 8, WINNERS = 3, TAKERS = 3;
  const sizes = [2 * WINNERS * FINE, 2 * WINNERS * FINE, 5 * COARSE * TAKERS, 2 * 3 * COARSE];
  const firsts = sizes.map((_, group) => sizes.slice(0, group).reduce((sum, n) => sum + n, 0));
  const [OPPONENTS_BEAT, PARTNER_BEATS, PARTNER_HAS, KEPT] = firsts;
  const N_FEATURES = KEPT + 2 * 3 * COARSE;
  const LEFT = 0, PARTNER = TILES, RIGHT = 2 * TILES; // first places of the seats in `likely`

  // P(a seat holds none of some tiles), as if its tiles were independent.
  function noneOf(likely, seat, mask) {
    let none = 1;
    for (let left = mask; left; left &= left - 1) none *= 1 - likely[seat + lowest(left)];
    return none;
  }

  // P(a seat can beat): with a tile of the suit, or with a trump if it has none of it.
  function beats(likely, seat, inSuit, trumps, suit) {
    const p = 1 - noneOf(likely, seat, inSuit);
    if (!trumps) return p;
    return p + noneOf(likely, seat, suit) * (1 - noneOf(likely, seat, trumps));
  }

  // The range of a probability, of `n` equal ones; a little more, as in Python.
  const range = (p, n) => Math.min(Math.max(Math.floor(p * n + 1e-4), 0), n - 1);

  // Writes the features of the legal move `rank` to `out` from `start` on; gives the new number.
  // `outcome` is that of `smallView.outcomeOf`, `first` the number of the first feature, `likely`
  // that of `smallBeliefs.believe`.
  function add(view, rank, outcome, first, likely, out, start) {
    const { tables, laid, leads, unseen, best } = view, { points, trumps, follows } = tables;
    const led = laid ? view.led : rank, wins = tables.wins[led];
    const doesWin = rank > best && (wins >> rank) & 1;
    let winner = view.partnerWins ? 1 : 2, n = start;
    if (doesWin) winner = 0;
    const suit = unseen & follows[led], beaters = unseen & wins & above(doesWin ? rank : best);
    const inSuit = beaters & suit, others = beaters & ~suit, kind = (winner * 2 + leads) * FINE;
    if (laid < 3) {
      let p = beats(likely, LEFT, inSuit, others, suit);
      if (leads) p = 1 - (1 - p) * (1 - beats(likely, RIGHT, inSuit, others, suit));
      out[n++] = first + OPPONENTS_BEAT + kind + range(p, FINE);
    }
    if (laid < 2) {
      const p = beats(likely, PARTNER, inSuit, others, suit);
      out[n++] = first + PARTNER_BEATS + kind + range(p, FINE);
    }
    const taker = takerAfter(outcome);
    for (let index = 0; index < 5; index += 1) {
      const tile = tables.counts[index];
      if ((unseen >> tile) & 1) {
        const p = likely[PARTNER + tile];
        out[n++] = first + PARTNER_HAS + (index * TAKERS + taker) * COARSE + range(p, COARSE);
      }
    }
    for (let left = view.hand & ~(1 << rank); left; left &= left - 1) {
      const tile = lowest(left), value = (points[tile] / 5) * 2 + ((trumps >> tile) & 1);
      let p = 1; // that no opponent has a better tile of its suit: the partner has all
      for (let better = unseen & follows[tile] & above(tile); better; better &= better - 1) {
        p *= likely[PARTNER + lowest(better)];
      }
      out[n++] = first + KEPT + value * COARSE + range(p, COARSE);
    }
    return n;
  }

  zebjax.smallChances = { N_FEATURES, add };
})();
