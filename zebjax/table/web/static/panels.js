// Advice as HTML: hint, beliefs, review, notation.
"use strict";

(function () {
  const { make, name, draw } = zebjax;
  const RELATIONS = ["you", "left", "partner", "right"];

  function relation(view, seat) {
    return RELATIONS[(seat - view.seat + 4) % 4];
  }

  function percent(share) {
    return `${Math.round(100 * share)} %`;
  }

  function tileHeading(tile) {
    const heading = make("th", "", make("span", "named", draw(tile), name(tile)));
    heading.scope = "row";
    return heading;
  }

  function table(caption, headings, rows) {
    const head = make("tr", "", ...headings.map((text) => {
      const cell = make("th", "", text);
      cell.scope = "col";
      return cell;
    }));
    return make("table", "", make("caption", "", caption), make("thead", "", head),
      make("tbody", "", ...rows));
  }

  // A number with a bar behind it.
  function bar(share) {
    const cell = make("td", "bar", String(Math.round(100 * share)));
    cell.style.setProperty("--share", `${Math.round(100 * share)}%`);
    return cell;
  }

  // A number of things, as in "1 point" and "no tricks".
  const count = (n, what) => `${n || "no"} ${what}${n === 1 ? "" : "s"}`;

  // How a hand with a contract has ended, as one sentence.
  function outcome(view) {
    const us = view.seat % 2, { bid, result, winner, game_winner: game } = view.auction;
    const who = relation(view, bid.seat);
    const marks = `${count(bid.marks, "mark")} for ${winner === us ? "us" : "them"}`;
    const end = game === null ? "" : game === us ? " You win the game." : " They win the game.";
    const { special, tricks } = view.auction, team = bid.seat % 2;
    const took = special ? `${count(tricks[team], "trick")} in ${special}`
      : count(view.points[team], "point");
    const text = `${who} bid ${bid.name} and took ${took}: ${result}, ${marks}.`;
    return text[0].toUpperCase() + text.slice(1) + end;
  }

  // P(make) of each declaration: the lowest bids that may be made, and 42; after the bids the one
  // that stands.
  function bidHint(found) {
    const special = found.best_special, chosen = found.advice || found.must;
    const from = Math.min(found.lowest ?? 0, found.bids.length - 5);
    const last = found.bids.length - 1;
    const places = found.stands ? [found.lowest]
      : [0, 1, 2, 3].map((step) => from + step).concat([last]);
    const rows = found.rows.map((row) => {
      const heading = make("th", "", row.name);
      heading.scope = "row";
      const said = !special && chosen && chosen.name === row.name;
      return make("tr", said ? "best" : "", heading, ...places.map((at) => bar(row.p_make[at])),
        make("td", "", row.points.toFixed(0)));
    });
    const said = `How often you make a bid if you lead, in %, over ${found.worlds} deals of the `
      + "hidden tiles, each played to the end by the small network"
      + (found.stands ? "" : "; a bid of marks is one of 42");
    const bids = found.stands ? [found.stands] : places.map((at) => String(found.bids[at]));
    const head = ["declaration", ...bids, "points"];
    const others = found.special.map((each) => make("p", "",
      `${each.name} for ${each.bid}: made in ${percent(each.p_make)}.`));
    return [make("h2", "", "Hint"), make("p", "", bidAdvice(found)), ...others, table(said, head, rows)];
  }

  // What to bid or to declare, as one sentence.
  function bidAdvice({ advice, must, stands, theta, best_special: special }) {
    if (special) return `${special.name} for ${special.bid} is the best.`;
    if (advice) return `Up to ${advice.bid} with ${advice.name}, made in ${percent(advice.p_make)}.`;
    if (!must) return `Pass: no bid that is left is made in ${percent(theta)} or more.`;
    const text = stands ? must.phrase : `${must.bid} with ${must.name}`;
    return `${text[0].toUpperCase()}${text.slice(1)}, made in ${percent(must.p_make)}.`;
  }

  function hint(found) {
    if (found.rows) return bidHint(found);
    const wins = found.is_open ? "open hands"
      : { make: "you make", set: "you set" }[found.value] || "you win";
    const rows = [...found.tiles].sort((a, b) => b.p_win - a.p_win || b.points - a.points)
      .map((row) => make("tr", row.best ? "best" : "", tileHeading(row.tile),
        make("td", "", percent(row.p_win)),
        ...(row.points === null ? [] : [make("td", "", row.points.toFixed(1))]),
        ...(row.share === undefined ? [] : [bar(row.share)]),
        make("td", "", row.best ? "best" : "")));
    const caption = found.caption && found.caption[0].toUpperCase() + found.caption.slice(1);
    const what = caption ||
      `What each tile is worth, over ${found.worlds.toLocaleString("en")} deals of the hidden tiles`;
    const points = found.tiles.some((row) => row.points !== null) ? ["points"] : [];
    const shares = found.tiles.some((row) => row.share !== undefined) ? ["share, %"] : [];
    const head = ["tile", wins, ...points, ...shares, ""];
    return [make("h2", "", "Hint"), table(what, head, rows)];
  }

  function beliefs(view, found) {
    const names = found.seats.map((seat) => relation(view, seat));
    const nets = found.network ? names.map((each) => `${each}*`) : [];
    const rows = found.tiles.map((row) => make("tr", "", tileHeading(row.tile),
      ...row.exact.map(bar), ...(row.network || []).map(bar)));
    const said = `Who holds a hidden tile, in %, by exact counting over ` +
      `${found.worlds.toLocaleString("en")} possible deals` +
      (found.network ? `; * as the network ${found.network} believes` : "");
    return [make("h2", "", "Beliefs"), table(said, ["tile", ...names, ...nets], rows)];
  }

  function review(view, found) {
    const rows = found.moves.map((move) => {
      const own = move.seat === view.seat;
      const bad = move.p_win_loss >= 0.1 || move.deal_loss >= (found.has_points ? 5 : 1);
      return make("tr", `${own ? "own" : ""} ${bad ? "bad" : ""}`,
        make("td", "", String(Math.floor(move.ply / view.tricks[0].seats.length) + 1)),
        make("th", "", relation(view, move.seat)), make("td", "", name(move.tile)),
        make("td", "", name(move.best)), make("td", "", percent(move.p_win_loss)),
        ...(found.has_points ? [make("td", "", move.points_loss.toFixed(1))] : []),
        make("td", "", name(move.deal_best)), make("td", "", found.has_points
          ? String(move.deal_loss) : move.deal_loss ? "the hand" : ""));
    });
    const said = `Every move with a choice. Best and lost: by what the seat could know, over ` +
      `${found.worlds} deals of the hidden tiles; deal: the best with all hands known, and ${found.has_points ? "the points lost" : "if it lost the hand"}`;
    const lost = found.value === "make/set" ? "bid lost" : "win lost";
    const points = found.has_points ? ["pts lost"] : [];
    const head = ["trick", "", "tile", "best", lost, ...points, "deal", ...points];
    if (!found.has_points) head.push("lost");
    const end = view.auction ? [make("p", "", outcome(view))] : [];
    return [make("h2", "", "Review"), ...end, table(said, head, rows), ...hands(view)];
  }

  function hands(view) {
    return [make("h2", "", "All hands"), ...view.hands.map((hand, seat) => make("div", "row",
      make("span", "who", relation(view, seat)),
      make("span", "tiles", ...hand.map((tile) => draw(tile, name(tile))))))];
  }

  function notation(text) {
    return [make("h2", "", "Notation"), make("pre", "", text)];
  }

  zebjax.panels = { hint, beliefs, review, text: notation };
  Object.assign(zebjax, { relation, percent, outcome, count });
})();
