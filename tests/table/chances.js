// Reads {scripts, small, hand, game, last, deals} from standard input. Writes the chances of a hand
// with its hint, deals of a game's hidden tiles with their exact marginals, and the values of tiles
// in positions before the last play.
"use strict";
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
input.scripts.forEach(require);
const { rules, rollouts, auction, local, small } = globalThis.zebjax;
const LIMIT = { worlds: 20, ms: Infinity };

(async function () {
  const net = await small.load(input.small), random = rollouts.generator(9);
  const asked = { kind: "bid", seat: 2, game: { hands: [[], [], input.hand, []], plays: [] },
    auction: { dealer: 1, calls: ["30"] }, seed: 5 };
  const chances = await rollouts.chances(net, input.hand, auction.DECLARATIONS, 5, LIMIT);
  const deal = rules.dealer(input.game), values = [];
  for (const game of input.last) values.push(await rollouts.values(net, game, 22, 1, LIMIT));
  process.stdout.write(JSON.stringify({
    chances, hint: await local.bidHint(net, asked, LIMIT),
    best: auction.BIDS.slice(0, 13).map(({ points }) => rollouts.best(chances, points)),
    deals: Array.from({ length: input.deals }, () => deal(random)),
    marginals: rules.marginals(input.game), values,
  }));
})();
