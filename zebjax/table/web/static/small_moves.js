// The features of a move that the small network of an exported page reads: zebjax.small.moves in
// plain JavaScript, in the same order of groups.
"use strict";

(function () {
  const { SUITS, ALL, TABLES, lowest, count, mover, legal, bestLaid } = zebjax.smallRules;
  const { HANDS, VOIDS, DECLARATION, LEADER, N_LAID, PLY, SEEN, TRICK } =
    zebjax.smallRules.COLUMNS;

  // Numbers of `outcomeOf`, with those between for the tiles that can still beat the best one.
  const WINS = 0, PARTNER_WINS = 5, LOSES = 9, MAY_STILL_WIN = 10, OUTCOMES = 11;
  const sizes = [4 * OUTCOMES, 3 * OUTCOMES, 8 * OUTCOMES, 7 * OUTCOMES, 12, 8, 16, 16, 16, 8, 8,
    32, 28, 28, 8, 8];
  const firsts = sizes.map((_, group) => sizes.slice(0, group).reduce((sum, n) => sum + n, 0));
  const [BY_PLACE, BY_POINTS, BY_TABLE, BY_TRICK, KIND, IN_HAND, UNSEEN, HIGHER, LOWER, VOID,
    MAY_HOLD_HIGHER, TRUMPS_OUT, TILE, RANK, N_LEGAL, LOW_SUIT] = firsts;
  const N_FEATURES = LOW_SUIT + SUITS, MAX_ACTIVE = 16;

  const above = (rank) => -2 << rank;

  // The unseen tiles that a seat may hold.
  function mayHold(row, seat, unseen) {
    const { ofSuit } = TABLES[row[DECLARATION]];
    let may = unseen;
    for (let left = row[VOIDS + seat]; left; left &= left - 1) may &= ~ofSuit[lowest(left)];
    return may;
  }

  // What the moves of a decision share, from the seat to move. `later`: the unseen tiles of
  // opponents who play later in this trick; `best`: the rank that wins so far, -1 for none;
  // `table`: its points.
  function viewOf(row) {
    const laid = row[N_LAID], me = mover(row), hand = row[HANDS + me], may = legal(row);
    const unseen = ALL & ~row[SEEN] & ~hand, tables = TABLES[row[DECLARATION]];
    const left = mayHold(row, (me + 1) & 3, unseen), partner = mayHold(row, (me + 2) & 3, unseen);
    const right = mayHold(row, (me + 3) & 3, unseen);
    const best = laid ? bestLaid(row) : -1;
    let later = 0, partnerWins = false, table = 0;
    if (laid < 3) later = laid ? left : left | right; // the right plays later only than a leader
    for (let at = 0; at < laid; at += 1) {
      const rank = row[TRICK + at];
      table += tables.points[rank];
      if (rank === best && ((row[LEADER] + at - me) & 3) === 2) partnerWins = true;
    }
    return {
      tables, laid, leads: laid ? 0 : 1, led: row[TRICK], trick: row[PLY] >> 2, hand, unseen, left,
      partner, right, later, best, partnerWins, table, nLegal: count(may),
      nTrumps: Math.min(count(unseen & tables.trumps), 7),
    };
  }

  // What is known of the trick after a move.
  function outcomeOf(view, rank) {
    const { tables, best } = view, wins = tables.wins[view.laid ? view.led : rank];
    const doesWin = rank > best && (wins >> rank) & 1;
    if (!doesWin && !view.partnerWins) {
      return view.laid === 1 && view.partner & wins & above(best) ? MAY_STILL_WIN : LOSES;
    }
    const top = doesWin ? rank : best, beatenBy = view.later & wins & above(top);
    if (!beatenBy) return doesWin ? WINS : PARTNER_WINS;
    const byPlain = (tables.trumps >> top) & 1 ? beatenBy : beatenBy & ~tables.trumps;
    return doesWin
      ? WINS + 1 + Math.min(count(byPlain), 3) : PARTNER_WINS + 1 + Math.min(count(byPlain), 2);
  }

  // Writes the features of the legal move `rank` to `out`; gives their number.
  function features(view, rank, out) {
    const { tables, leads } = view, ofSuit = tables.ofSuit[tables.suits[rank]];
    const isTrump = (tables.trumps >> rank) & 1, isDouble = (tables.doubles >> rank) & 1;
    const unseen = view.unseen & ofSuit, higher = unseen & above(rank);
    const outcome = outcomeOf(view, rank);
    let manner = 0;
    if (!leads) manner = (tables.follows[view.led] >> rank) & 1 ? 1 : 2;
    out[0] = BY_PLACE + view.laid * OUTCOMES + outcome;
    out[1] = BY_POINTS + (tables.points[rank] / 5) * OUTCOMES + outcome;
    out[2] = BY_TABLE + Math.min(view.table / 5, 7) * OUTCOMES + outcome;
    out[3] = BY_TRICK + view.trick * OUTCOMES + outcome;
    out[4] = KIND + 4 * manner + 2 * isTrump + isDouble;
    out[5] = IN_HAND + count(view.hand & ofSuit) - 1;
    out[6] = UNSEEN + 8 * leads + Math.min(count(unseen), 7);
    out[7] = HIGHER + 8 * leads + Math.min(count(higher), 7);
    out[8] = LOWER + 8 * leads + Math.min(count(unseen & ~higher), 7);
    out[9] = MAY_HOLD_HIGHER + 4 * leads + (view.partner & higher ? 1 : 0)
      + ((view.left | view.right) & higher ? 2 : 0);
    out[10] = TRUMPS_OUT + 16 * leads + 8 * isTrump + view.nTrumps;
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
    return n;
  }

  zebjax.smallMoves = { N_FEATURES, MAX_ACTIVE, viewOf, features };
})();
