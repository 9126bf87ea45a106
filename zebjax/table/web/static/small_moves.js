// The features of a move that the small network of an exported page reads: zebjax.small.moves in
// plain JavaScript, in the same order of groups.
"use strict";

(function () {
  const { SUITS, count } = zebjax.smallRules;
  const { N_OUTCOMES, above, viewOf, outcomeOf } = zebjax.smallView;
  const relations = zebjax.smallRelations, chances = zebjax.smallChances;

  const sizes = [4 * N_OUTCOMES, 3 * N_OUTCOMES, 8 * N_OUTCOMES, 7 * N_OUTCOMES, 12, 8, 16, 16, 16,
    8, 8, 32, 28, 28, 8, 8];
  const firsts = sizes.map((_, group) => sizes.slice(0, group).reduce((sum, n) => sum + n, 0));
  const [BY_PLACE, BY_POINTS, BY_TABLE, BY_TRICK, KIND, IN_HAND, UNSEEN, HIGHER, LOWER, VOID,
    MAY_HOLD_HIGHER, TRUMPS_OUT, TILE, RANK, N_LEGAL, LOW_SUIT] = firsts;
  const N_ALWAYS = LOW_SUIT + SUITS; // those of `relations` follow, then those of `chances`
  const N_RELATED = N_ALWAYS + relations.N_FEATURES;
  const N_FEATURES = N_RELATED + chances.N_FEATURES;

  // Writes the features of the legal move `rank` to `out`; gives their number. `likely` is that of
  // `smallBeliefs.believe`.
  function features(view, rank, likely, out) {
    const { tables, leads } = view, ofSuit = tables.ofSuit[tables.suits[rank]];
    const isTrump = (tables.trumps >> rank) & 1, isDouble = (tables.doubles >> rank) & 1;
    const unseen = view.unseen & ofSuit, higher = unseen & above(rank);
    const outcome = outcomeOf(view, rank);
    let manner = 0;
    if (!leads) manner = (tables.follows[view.led] >> rank) & 1 ? 1 : 2;
    out[0] = BY_PLACE + view.laid * N_OUTCOMES + outcome;
    out[1] = BY_POINTS + (tables.points[rank] / 5) * N_OUTCOMES + outcome;
    out[2] = BY_TABLE + Math.min(view.table / 5, 7) * N_OUTCOMES + outcome;
    out[3] = BY_TRICK + (view.ply >> 2) * N_OUTCOMES + outcome;
    out[4] = KIND + 4 * manner + 2 * isTrump + isDouble;
    out[5] = IN_HAND + count(view.hand & ofSuit) - 1;
    out[6] = UNSEEN + 8 * leads + Math.min(count(unseen), 7);
    out[7] = HIGHER + 8 * leads + Math.min(count(higher), 7);
    out[8] = LOWER + 8 * leads + Math.min(count(unseen & ~higher), 7);
    out[9] = MAY_HOLD_HIGHER + 4 * leads + (view.partner & higher ? 1 : 0)
      + ((view.left | view.right) & higher ? 2 : 0);
    out[10] = TRUMPS_OUT + 16 * leads + 8 * isTrump + Math.min(view.nTrumps, 7);
    out[11] = TILE + tables.tiles[rank];
    out[12] = RANK + rank;
    out[13] = N_LEGAL + view.nLegal;
    let n = 14;
    if (leads) {
      out[n++] = VOID + (view.partner & ofSuit ? 0 : 1) + (view.left & ofSuit ? 0 : 2)
        + (view.right & ofSuit ? 0 : 4);
    }
    if (!isDouble && !isTrump) {
      out[n++] = LOW_SUIT + count(view.hand & tables.ofSuit[tables.lows[rank]]);
    }
    if (view.ply >= relations.FIRST_PLY) {
      n = relations.add(view, rank, outcome, N_ALWAYS, out, n);
    }
    return chances.add(view, rank, outcome, N_RELATED, likely, out, n);
  }

  zebjax.smallMoves = { N_FEATURES, viewOf, features };
})();
