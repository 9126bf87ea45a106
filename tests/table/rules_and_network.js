// Reads {scripts, games, network} from standard input and writes what the exported page's rules and
// network say of each game.
"use strict";
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
input.scripts.forEach(require);
const { rules, network, table } = globalThis.zebjax;
const net = input.network && network.load(input.network);
const beliefs = (game) => {
  const { hidden, shares } = rules.marginals(game);
  return network.onMarginal(net, network.evaluate(net, game).belief, hidden, shares);
};
const found = input.games.map((game) => ({
  beliefs: net && input.marginals ? beliefs(game) : null,
  legal: rules.legal(game), mover: rules.mover(game), points: rules.points(game),
  movers: rules.movers(game),
  view: table.view({ game, auction: null, seat: 1, players: ["a", "b", "c", "d"], number: 1,
    won: [0, 0], undone: 0 }),
  marginals: input.marginals ? rules.marginals(game) : null,
  output: net ? network.evaluate(net, game) : null,
}));
process.stdout.write(JSON.stringify(found));
