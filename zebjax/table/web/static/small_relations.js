// More features of a move from the third trick on, for the small network of an exported page:
// zebjax.small.relations in plain JavaScript, in the same order of groups.
"use strict";

(function () {
  const { lowest, count } = zebjax.smallRules;
  const { above, takerAfter } = zebjax.smallView;

  const FIRST_PLY = 8, STAGES = 4, TAKERS = 3, NEED = 24, LEFT = 8, WHO = 4, BEATERS = 4;
  const TRUMPS = 3, RELATIONS = 4, VALUES = 3, PLACES = 3, TO_WIN = 22;
  const sizes = [TAKERS * NEED * LEFT, TAKERS * NEED * LEFT,
    STAGES * BEATERS * TRUMPS * VALUES * WHO, STAGES * RELATIONS * VALUES * WHO,
    PLACES ** 5 * TAKERS];
  const firsts = sizes.map((_, group) => sizes.slice(0, group).reduce((sum, n) => sum + n, 0));
  const [WE_NEED, THEY_NEED, KEPT, UNSEEN, WHERE] = firsts;
  const N_FEATURES = WHERE + PLACES ** 5 * TAKERS;

  // Which others may hold at least one of some unseen tiles: 1 the partner, 2 an opponent.
  const who = (view, unseen) =>
    (view.partner & unseen ? 1 : 0) + ((view.left | view.right) & unseen ? 2 : 0);

  // Writes the features of the legal move `rank` to `out` from `start` on; gives the new number.
  // `outcome` is that of `smallView.outcomeOf`, `first` the number of the first feature.
  function add(view, rank, outcome, first, out, start) {
    const { tables, unseen, best } = view, { ofSuit, suits, trumps, points } = tables;
    const stage = Math.min((view.ply - FIRST_PLY) >> 2, STAGES - 1);
    const kept = view.hand & ~(1 << rank);
    const taker = takerAfter(outcome);
    let n = start, code = 0, pointsLeft = 0;
    for (const tile of tables.counts) {
      const state = (kept >> tile) & 1 ? 1 : 2 * ((unseen >> tile) & 1);
      code = PLACES * code + state;
      if (state) pointsLeft += points[tile] / 5;
    }
    const trick = view.table + points[rank] + 1;
    const weNeed = Math.max(0, TO_WIN - view.ours - trick);
    const theyNeed = Math.max(0, TO_WIN - view.theirs - trick);
    out[n++] = first + WHERE + code * TAKERS + taker;
    out[n++] = first + WE_NEED + (taker * NEED + weNeed) * LEFT + pointsLeft;
    out[n++] = first + THEY_NEED + (taker * NEED + theyNeed) * LEFT + pointsLeft;
    const trumpsOut = Math.min(view.nTrumps, 2);
    for (let left = kept; left; left &= left - 1) {
      const tile = lowest(left), beatenBy = unseen & ofSuit[suits[tile]] & above(tile);
      let kind = stage * BEATERS + Math.min(count(beatenBy), 3);
      kind = kind * TRUMPS + ((trumps >> tile) & 1 ? 0 : trumpsOut);
      kind = kind * VALUES + points[tile] / 5;
      out[n++] = first + KEPT + kind * WHO + who(view, beatenBy);
    }
    const wins = tables.wins[view.laid ? view.led : rank];
    const beats = wins & above((wins >> rank) & 1 ? Math.max(rank, best) : best);
    for (let left = unseen; left; left &= left - 1) {
      const tile = lowest(left), covered = kept & ofSuit[suits[tile]] & above(tile);
      let kind = stage * RELATIONS + ((beats >> tile) & 1) + (covered ? 2 : 0);
      kind = kind * VALUES + points[tile] / 5;
      out[n++] = first + UNSEEN + kind * WHO + who(view, 1 << tile);
    }
    return n;
  }

  zebjax.smallRelations = { FIRST_PLY, N_FEATURES, add };
})();
