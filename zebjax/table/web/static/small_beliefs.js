// What the seat to move believes of the hidden tiles, for the small network of an exported page:
// zebjax.small.beliefs in plain JavaScript.
"use strict";

(function () {
  const { TILES, N_MANNERS, lowest, mover } = zebjax.smallRules;
  const { DECLARATION, N_LAID, PLY, PAST } = zebjax.smallRules.COLUMNS;

  const N_PLAYS = N_MANNERS * TILES, OTHERS = 3;
  const STEPS = 2, LEAST_SUM = 1e-9, TINY = 1e-30; // of the scaling
  const MIDDLE = TILES, RIGHT = 2 * TILES; // first places of the second and third seat in `likely`
  const hidden = new Int32Array(TILES); // ranks of the unseen tiles

  // Adds the learned log-odds of the `n` hidden tiles by the plays of the others so far.
  function addPlays(table, row, n, likely) {
    const me = mover(row), before = row[DECLARATION] * N_PLAYS;
    for (let ply = 0; ply < row[PLY]; ply += 1) {
      const past = row[PAST + ply], seat = Math.floor(past / N_PLAYS);
      const other = (seat - me - 1) & 3, from = (before + past - seat * N_PLAYS) * TILES;
      if (other === OTHERS) continue;
      for (let at = 0; at < n; at += 1) {
        likely[other * TILES + hidden[at]] += table[from + hidden[at]];
      }
    }
  }

  // Turns the log-odds of a seat into odds, 0 where it cannot hold a tile.
  function toOdds(n, may, first, likely) {
    for (let at = 0; at < n; at += 1) {
      let odds = Math.min(Math.max(1 + likely[first + hidden[at]] / 64, 0.5), 2);
      for (let time = 0; time < 6; time += 1) odds *= odds; // (1 + x / 64)^64 instead of exp(x)
      likely[first + hidden[at]] = (may >> hidden[at]) & 1 ? odds : 0;
    }
  }

  // Writes P(a seat holds a tile) to `likely`, 28 places for each seat from the left of the mover
  // on. Only the places of unseen tiles are written. `view` is that of `smallView.viewOf`.
  function believe(table, row, view, likely) {
    let n = 0;
    for (let left = view.unseen; left; left &= left - 1) {
      const rank = lowest(left);
      hidden[n++] = rank;
      likely[rank] = likely[MIDDLE + rank] = likely[RIGHT + rank] = 0;
    }
    addPlays(table, row, n, likely);
    toOdds(n, view.left, 0, likely);
    toOdds(n, view.partner, MIDDLE, likely);
    toOdds(n, view.right, RIGHT, likely);
    // Tiles that each seat holds: one fewer if it has played in this trick.
    const laid = row[N_LAID], most = 7 - (row[PLY] >> 2);
    const need0 = laid > 2 ? most - 1 : most, need1 = laid > 1 ? most - 1 : most;
    const need2 = laid > 0 ? most - 1 : most;
    let scale0 = 1, scale1 = 1, scale2 = 1;
    for (let step = 0; step < STEPS; step += 1) {
      let sum0 = LEAST_SUM, sum1 = LEAST_SUM, sum2 = LEAST_SUM;
      for (let at = 0; at < n; at += 1) {
        const rank = hidden[at], a = scale0 * likely[rank], b = scale1 * likely[MIDDLE + rank];
        const c = scale2 * likely[RIGHT + rank], one = 1 / (a + b + c + TINY);
        sum0 += a * one;
        sum1 += b * one;
        sum2 += c * one;
      }
      scale0 *= need0 / sum0;
      scale1 *= need1 / sum1;
      scale2 *= need2 / sum2;
    }
    for (let at = 0; at < n; at += 1) {
      const rank = hidden[at], a = scale0 * likely[rank], b = scale1 * likely[MIDDLE + rank];
      const c = scale2 * likely[RIGHT + rank], one = 1 / (a + b + c + TINY);
      likely[rank] = a * one;
      likely[MIDDLE + rank] = b * one;
      likely[RIGHT + rank] = c * one;
    }
  }

  zebjax.smallBeliefs = { N_PLAYS, SIZE: OTHERS * TILES, believe };
})();
