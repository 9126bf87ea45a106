// What the seat to move sees, as masks over ranks, and what is known of the trick after a move:
// zebjax.small.view in plain JavaScript.
"use strict";

(function () {
  const { ALL, TABLES, lowest, count, mover, legal, bestLaid } = zebjax.smallRules;
  const { HANDS, VOIDS, DECLARATION, LEADER, N_LAID, PLY, SEEN, TEAM_POINTS, TRICK } =
    zebjax.smallRules.COLUMNS;

  // Numbers of `outcomeOf`, with those between for the tiles that can still beat the best one.
  const MOVE_SURELY_WINS = 0, PARTNER_SURELY_WINS = 5, LOSES = 9, MAY_STILL_WIN = 10;
  const N_OUTCOMES = 11;

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
  // `table`: its points; `ours` and `theirs`: points of finished tricks.
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
      tables, laid, leads: laid ? 0 : 1, led: row[TRICK], ply: row[PLY], hand, unseen, left,
      partner, right, later, best, partnerWins, table, nLegal: count(may),
      nTrumps: count(unseen & tables.trumps), ours: row[TEAM_POINTS + (me & 1)],
      theirs: row[TEAM_POINTS + 1 - (me & 1)],
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
    if (!beatenBy) return doesWin ? MOVE_SURELY_WINS : PARTNER_SURELY_WINS;
    const byPlain = (tables.trumps >> top) & 1 ? beatenBy : beatenBy & ~tables.trumps;
    return doesWin
      ? MOVE_SURELY_WINS + 1 + Math.min(count(byPlain), 3)
      : PARTNER_SURELY_WINS + 1 + Math.min(count(byPlain), 2);
  }

  // Who takes the trick after a move: 0 surely we, 1 unsure, 2 surely they.
  function takerAfter(outcome) {
    if (outcome === MOVE_SURELY_WINS || outcome === PARTNER_SURELY_WINS) return 0;
    return outcome === LOSES ? 2 : 1;
  }

  zebjax.smallView = { N_OUTCOMES, above, viewOf, outcomeOf, takerAfter };
})();
