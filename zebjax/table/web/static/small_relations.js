// More features of a move from the third trick on, for the small network of an exported page:
// zebjax.small.relations in plain JavaScript, in the same order of groups.
"use strict";

(function () {
  const { lowest, count } = zebjax.smallRules;
  const { MOVE_SURELY_WINS, PARTNER_SURELY_WINS, LOSES, above } = zebjax.smallView;

  const FIRST_PLY = 8, STAGES = 4, TRICK = 3, NEED = 24, LEFT = 8, WHO = 4, KINDS = 3;
  const sizes = [TRICK * NEED * LEFT, TRICK * NEED * LEFT, STAGES * 4 * 3 * KINDS * WHO,
    STAGES * 4 * KINDS * WHO, 3 ** 5 * TRICK];
  const firsts = sizes.map((_, group) => sizes.slice(0, group).reduce((sum, n) => sum + n, 0));
  const [WE_NEED, THEY_NEED, KEPT, UNSEEN, COUNTS] = firsts;
  const N_FEATURES = COUNTS + 3 ** 5 * TRICK, MAX_ACTIVE = 3 + 4 + 15;
  const TO_WIN = 22;

  // Which others may hold at least one of some unseen tiles: 1 the partner, 2 an opponent.
  const who = (view, unseen) =>
    (view.partner & unseen ? 1 : 0) + ((view.left | view.right) & unseen ? 2 : 0);

  // Whose trick it is after a move: 0 surely ours, 1 unsure, 2 surely theirs.
  function goesTo(outcome) {
    if (outcome === MOVE_SURELY_WINS || outcome === PARTNER_SURELY_WINS) return 0;
    return outcome === LOSES ? 2 : 1;
  }

  // Writes the features of the legal move `rank` to `out` from `start` on; gives the new number.
  // `outcome` is that of `smallView.outcomeOf`, `first` the number of the first feature.
  function add(view, rank, outcome, first, out, start) {
    const { tables, unseen, best } = view, { ofSuit, suits, trumps, points } = tables;
    const stage = Math.min((view.ply - FIRST_PLY) >> 2, STAGES - 1);
    const kept = view.hand & ~(1 << rank);
    const goes = goesTo(outcome);
    let n = start, code = 0, pointsLeft = 0;
    for (const tile of tables.counts) {
      const state = (kept >> tile) & 1 ? 1 : 2 * ((unseen >> tile) & 1);
      code = 3 * code + state;
      if (state) pointsLeft += points[tile] / 5;
    }
    const trick = view.table + points[rank] + 1;
    const weNeed = Math.max(0, TO_WIN - view.ours - trick);
    const theyNeed = Math.max(0, TO_WIN - view.theirs - trick);
    out[n++] = first + COUNTS + code * TRICK + goes;
    out[n++] = first + WE_NEED + (goes * NEED + weNeed) * LEFT + pointsLeft;
    out[n++] = first + THEY_NEED + (goes * NEED + theyNeed) * LEFT + pointsLeft;
    const trumpsOut = Math.min(view.nTrumps, 2);
    for (let left = kept; left; left &= left - 1) {
      const tile = lowest(left), beatenBy = unseen & ofSuit[suits[tile]] & above(tile);
      let kind = stage * 4 + Math.min(count(beatenBy), 3);
      kind = kind * 3 + ((trumps >> tile) & 1 ? 0 : trumpsOut);
      kind = kind * KINDS + points[tile] / 5;
      out[n++] = first + KEPT + kind * WHO + who(view, beatenBy);
    }
    const wins = tables.wins[view.laid ? view.led : rank];
    const beats = wins & above((wins >> rank) & 1 ? Math.max(rank, best) : best);
    for (let left = unseen; left; left &= left - 1) {
      const tile = lowest(left), covered = kept & ofSuit[suits[tile]] & above(tile);
      let kind = stage * 4 + ((beats >> tile) & 1) + (covered ? 2 : 0);
      kind = kind * KINDS + points[tile] / 5;
      out[n++] = first + UNSEEN + kind * WHO + who(view, 1 << tile);
    }
    return n;
  }

  zebjax.smallRelations = { FIRST_PLY, N_FEATURES, MAX_ACTIVE, add };
})();
