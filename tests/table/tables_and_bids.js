// Reads {scripts, tables, small, big, decide, fewest} from standard input. Each table is new and has `made`,
// what its seats decide. Writes the view after that, what the seat to act is told, and with `decide`
// what it chooses and the hints.
"use strict";
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
input.scripts.forEach(require);
const { table: tables, local, small, network } = globalThis.zebjax;
const LIMIT = { worlds: 4, ms: Infinity };
const LIMITS = { bids: LIMIT, plays: { ...LIMIT, least: 0, fewest: input.fewest ?? 1 } };

async function of(nets, { made, ...fresh }) {
  const table = made.reduce(local.after, fresh), view = tables.view(table);
  const asked = view.phase === "over" ? null : tables.asked(table);
  if (!asked || !nets) {
    return { view, asked, undone: view.can_undo ? tables.view(local.undo(table)) : null };
  }
  const players = asked.kind === "play" ? local.PLAYERS : local.PLAYERS.slice(0, 1);
  const hint = asked.kind === "play" ? local.playHint(nets, asked, LIMIT)
    : local.bidHint(nets.small, asked, LIMIT);
  return {
    view, asked, hint: await hint,
    chosen: await Promise.all(players.map((player) => local.decide(nets, asked, player, LIMITS))),
  };
}

(async function () {
  const nets = input.small
    && { small: await small.load(input.small), big: network.load(input.big) };
  const found = [];
  for (const table of input.tables) found.push(await of(nets, table));
  process.stdout.write(JSON.stringify(found));
})();
