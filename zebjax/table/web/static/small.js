// The small network of an exported page: zebjax.small in plain JavaScript. small_rules.js has the
// rows that it reads, small_beliefs.js what plays tell of hidden tiles, and small_moves.js the
// features of a move, with small_view.js, small_relations.js and small_chances.js. Node checks all
// of them against zebjax.small (tests/table/test_export_small.py).
"use strict";

(function () {
  const { TILES, SUITS, ALL, TABLES, lowest, count, mover, start, legal, bestLaid, play } =
    zebjax.smallRules;
  const { HANDS, LED, FOLLOWED, VOIDS, DECLARATION, LEADER, N_LAID, PLY, SEEN, TEAM_POINTS,
    TRICK } = zebjax.smallRules.COLUMNS;
  const moves = zebjax.smallMoves, beliefs = zebjax.smallBeliefs;

  // ---- features (zebjax.small.features), in the same order of groups

  const sizes = [28, 28, 28, 28, 28, 8, 8, 28, 84, 84, 84, 28, 28, 2, 16, 24, 3, 28, 43, 43];
  const firsts = sizes.map((_, group) => sizes.slice(0, group).reduce((sum, n) => sum + n, 0));
  const [HAND, LEGAL, BEATS, SURE, BOSS, LACKS, TRUMPS_OUT, MINE, OTHERS_LED, OTHERS_FOLLOWED,
    LAID, LEAD, BEST, PARTNER_WINS, ON_TABLE, VOID, VOID_IN_LEAD, PLACE, OURS, THEIRS] = firsts;
  const N_FEATURES = THEIRS + 43, MAX_ACTIVE = 128;

  // Writes the features of some ranks to `out` from n on; gives the new n.
  function ranksOf(mask, first, out, n) {
    let end = n;
    for (let left = mask; left; left &= left - 1) {
      out[end] = first + lowest(left);
      end += 1;
    }
    return end;
  }

  // What the seat to move alone knows.
  function privateFeatures(row, out, start_) {
    const tables = TABLES[row[DECLARATION]], hand = row[HANDS + mover(row)];
    const unseen = ALL & ~row[SEEN] & ~hand;
    let n = start_;
    for (let left = hand; left; left &= left - 1) {
      const rank = lowest(left);
      out[n++] = HAND + rank;
      const beatenBy = unseen & tables.wins[rank] & (-2 << rank);
      if (!(beatenBy & ~tables.trumps)) out[n++] = (beatenBy ? BOSS : SURE) + rank;
    }
    for (let suit = 0; suit < SUITS; suit += 1) {
      if (!(hand & tables.ofSuit[suit])) out[n++] = LACKS + suit;
    }
    out[n++] = TRUMPS_OUT + count(unseen & tables.trumps);
    if (!row[N_LAID]) return n;
    const may = legal(row);
    n = ranksOf(may, LEGAL, out, n);
    return ranksOf(may & tables.wins[row[TRICK]] & (-2 << bestLaid(row)), BEATS, out, n);
  }

  // What every seat knows; seats are relative to the mover.
  function publicFeatures(row, out, start_) {
    const tables = TABLES[row[DECLARATION]], laid = row[N_LAID], me = mover(row);
    let onTable = 0;
    for (let at = 0; at < laid; at += 1) onTable |= 1 << row[TRICK + at];
    let n = ranksOf(row[LED + me] | row[FOLLOWED + me], MINE, out, start_);
    for (let other = 0; other < 3; other += 1) {
      const seat = (me + 1 + other) & 3;
      n = ranksOf(row[LED + seat] & ~onTable, OTHERS_LED + TILES * other, out, n);
      n = ranksOf(row[FOLLOWED + seat] & ~onTable, OTHERS_FOLLOWED + TILES * other, out, n);
      n = ranksOf(row[VOIDS + seat], VOID + SUITS * other, out, n);
      // Only seats that play after the mover in this trick: a void there may mean a trump.
      if (laid && other + laid < 3 && (row[VOIDS + seat] >> tables.suits[row[TRICK]]) & 1) {
        out[n++] = VOID_IN_LEAD + other;
      }
    }
    if (laid) n = trickFeatures(row, out, n);
    out[n++] = PLACE + row[PLY];
    out[n++] = OURS + row[TEAM_POINTS + (me & 1)];
    out[n++] = THEIRS + row[TEAM_POINTS + 1 - (me & 1)];
    return n;
  }

  function trickFeatures(row, out, start_) {
    const tables = TABLES[row[DECLARATION]], me = mover(row), best = bestLaid(row);
    let n = start_, points = 0, partnerWins = 0;
    for (let at = 0; at < row[N_LAID]; at += 1) {
      const rank = row[TRICK + at], other = (row[LEADER] + at - me - 1) & 3;
      out[n++] = LAID + TILES * other + rank;
      points += tables.points[rank];
      if (rank === best && other === 1) partnerWins = 1;
    }
    out[n++] = LEAD + row[TRICK];
    out[n++] = BEST + best;
    out[n++] = PARTNER_WINS + partnerWins;
    out[n++] = ON_TABLE + 8 * partnerWins + Math.min(Math.floor(points / 5), 7);
    return n;
  }

  // ---- the network (zebjax.small.network)

  // Reads what `zebjax.table.export.small_data` wrote. The tables of features are small integers,
  // deflated, and a step for each row; all else is float16.
  async function load(file) {
    const { bytes, toFloats, inflate } = zebjax.network;
    const levels = new Int8Array(await inflate(bytes(file.levels)));
    const steps = toFloats(bytes(file.steps)), rest = toFloats(bytes(file.rest));
    const { hidden, second, move, move_second: moveSecond } = file;
    let row = 0, level = 0, at = 0;
    const table = (rows, width) => {
      const values = new Float32Array(rows * width);
      for (let to = 0, index = 0; index < rows; index += 1, row += 1) { // width may be 0
        for (const end = to + width; to < end; to += 1) values[to] = levels[level++] * steps[row];
      }
      return values;
    };
    const next = (size) => rest.subarray(at, at += size);
    return {
      first: table(TABLES.length * N_FEATURES, hidden), moves: table(moves.N_FEATURES, move),
      beliefs: table(TABLES.length * beliefs.N_PLAYS, TILES),
      firstBias: Float64Array.from(next(hidden)), second: next(hidden * second),
      secondBias: next(second), last: next(second * TILES), lastBias: next(TILES),
      join: next(hidden * move), moveSecond: next(move * moveSecond),
      moveSecondBias: next(moveSecond), moveLast: next(moveSecond),
      likely: new Float64Array(beliefs.SIZE), features: new Int32Array(MAX_ACTIVE),
      units: new Int32Array(Math.max(hidden, move) + 1),
      values: new Float64Array(Math.max(hidden, move) + 1), middle: new Float64Array(second),
      zeros: new Float32Array(move), joined: new Float64Array(move),
      moveMiddle: new Float64Array(moveSecond), scores: new Float64Array(TILES),
    };
  }

  // A sparse layer: the bias and the rows of `n` of `net.features`, eight columns at once in
  // registers. Writes the units above 0 to `net.units` and `net.values`; gives their number.
  function layerOfFeatures(net, n, table, before, bias) {
    const { features, units, values } = net, width = bias.length;
    for (let index = 0; index < n; index += 1) {
      features[index] = (before + features[index]) * width;
    }
    let found = 0;
    const keep = (unit, sum) => {
      units[found] = unit;
      values[found] = sum;
      if (sum > 0) found += 1;
    };
    for (let at = 0; at < width; at += 8) {
      let a = bias[at], b = bias[at + 1], c = bias[at + 2], d = bias[at + 3];
      let e = bias[at + 4], f = bias[at + 5], g = bias[at + 6], h = bias[at + 7];
      for (let index = 0; index < n; index += 1) {
        const from = features[index] + at;
        a += table[from]; b += table[from + 1]; c += table[from + 2]; d += table[from + 3];
        e += table[from + 4]; f += table[from + 5]; g += table[from + 6]; h += table[from + 7];
      }
      keep(at, a); keep(at + 1, b); keep(at + 2, c); keep(at + 3, d);
      keep(at + 4, e); keep(at + 5, f); keep(at + 6, g); keep(at + 7, h);
    }
    return found;
  }

  // A layer on the `n` units above 0, before its own ReLU, eight columns at once.
  function layerOn(net, n, weights, bias, out) {
    const { units, values } = net, width = out.length;
    for (let at = 0; at < width; at += 8) {
      let a = bias[at], b = bias[at + 1], c = bias[at + 2], d = bias[at + 3];
      let e = bias[at + 4], f = bias[at + 5], g = bias[at + 6], h = bias[at + 7];
      for (let index = 0; index < n; index += 1) {
        const from = units[index] * width + at, value = values[index];
        a += value * weights[from]; b += value * weights[from + 1];
        c += value * weights[from + 2]; d += value * weights[from + 3];
        e += value * weights[from + 4]; f += value * weights[from + 5];
        g += value * weights[from + 6]; h += value * weights[from + 7];
      }
      out[at] = a; out[at + 1] = b; out[at + 2] = c; out[at + 3] = d;
      out[at + 4] = e; out[at + 5] = f; out[at + 6] = g; out[at + 7] = h;
    }
  }

  // relu(layer) times a column of weights.
  function product(layer, weights, stride, column) {
    let sum = 0;
    for (let at = 0; at < layer.length; at += 1) {
      sum += Math.max(layer[at], 0) * weights[at * stride + column];
    }
    return sum;
  }

  // The scores of some legal ranks, a mask, for the seat to move; the array is used again.
  function evaluate(net, row, wanted) {
    const { features, likely, middle, moveMiddle, scores, joined } = net;
    const n = privateFeatures(row, features, publicFeatures(row, features, 0));
    const found = layerOfFeatures(net, n, net.first, row[DECLARATION] * N_FEATURES, net.firstBias);
    layerOn(net, found, net.second, net.secondBias, middle);
    layerOn(net, found, net.join, net.zeros, joined);
    const view = moves.viewOf(row);
    if (joined.length) beliefs.believe(net.beliefs, row, view, likely);
    for (let left = wanted; left; left &= left - 1) {
      const rank = lowest(left);
      scores[rank] = net.lastBias[rank] + product(middle, net.last, TILES, rank);
      if (!joined.length) continue;
      const active = moves.features(view, rank, likely, features);
      const above = layerOfFeatures(net, active, net.moves, 0, joined);
      layerOn(net, above, net.moveSecond, net.moveSecondBias, moveMiddle);
      scores[rank] += product(moveMiddle, net.moveLast, 1, 0);
    }
    return scores;
  }

  // Draws a rank from softmax(scores / temperature); 0 gives the best.
  function draw(scores, may, temperature, random) {
    let top = lowest(may);
    for (let left = may; left; left &= left - 1) {
      if (scores[lowest(left)] > scores[top]) top = lowest(left);
    }
    if (temperature <= 0) return top;
    const share = (rank) => Math.exp((scores[rank] - scores[top]) / temperature);
    let rest = 0;
    for (let left = may; left; left &= left - 1) rest += share(lowest(left));
    rest *= random();
    for (let left = may; left; left &= left - 1) {
      rest -= share(lowest(left));
      if (rest <= 0) return lowest(left);
    }
    return top; // rounding left a rest
  }

  // Plays to the end in place, each seat by the network from its own view.
  function follow(net, row, temperature, random) {
    while (row[PLY] < TILES) {
      const may = legal(row), only = !(may & (may - 1));
      play(row, only ? lowest(may) : draw(evaluate(net, row, may), may, temperature, random));
    }
  }

  // The points of a team so far.
  const pointsOf = (row, team) => row[TEAM_POINTS + team];
  const ranksOfTiles = (declaration) => TABLES[declaration].ranks;

  zebjax.small = { load, start, legal, play, evaluate, draw, follow, pointsOf, ranksOfTiles };
})();
