// Reads {scripts, games, small, rollouts} from standard input. Writes of each game, whose hands are all
// known, the small network's score of each legal tile and the points after it at temperature 0, and
// what the mover believes of hidden tiles.
"use strict";
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
input.scripts.forEach(require);
const { rules, small, smallBeliefs, smallView, rollouts } = globalThis.zebjax;
small.load(input.small).then((net) => {
  const found = input.games.map((game) => {
    const row = small.start(game), ranks = small.ranksOfTiles(game.declaration);
    const scores = Array.from(small.evaluate(net, row, small.legal(row)));
    const legal = rules.legal(game), likely = new Float64Array(smallBeliefs.SIZE);
    smallBeliefs.believe(net.beliefs, row, smallView.viewOf(row), likely);
    return {
      likely: Array.from(likely),
      scores: legal.map((tile) => scores[ranks[tile]]),
      best: legal.find((tile) => ranks[tile] === small.draw(scores, small.legal(row), 0)),
      points: input.rollouts ? rollouts.pointsAfter(net, game, legal, 1, 0) : null,
    };
  });
  process.stdout.write(JSON.stringify(found));
});
