// The page: shows the views of a table and sends what the person does to a backend.
//
// A backend has `about()`, `create({players, seat})`, `resume()`, `leave()`, and
// `act(action, view, value)`; each returns a promise. The value is a tile to play, a text to bid or
// a declaration. `create`, `resume` and the actions in CHANGES give {views}, the table after each
// step, as an array or an async generator; other actions give what their panel shows. `can` lists
// the actions.
"use strict";

(function () {
  const { make, name, draw, relation, percent, outcome, count } = zebjax;
  const get = (id) => document.getElementById(id);
  const PLACES = ["partner", "left", "right", "you"];
  const CHANGES = ["play", "bid", "declare", "undo", "next"];
  const ABOUT_BIDS = "Your partner sits opposite. One round of bids; the highest bidder names trump "
    + "and must take its points with its partner. The first team with 7 marks wins.";
  const KEYS = { h: "hint", b: "beliefs", u: "undo", r: "review", n: "next" };
  const WAIT = "Wait for the others.";

  class Page {
    constructor(backend, paceMs) {
      this.backend = backend;
      this.paceMs = paceMs;
      this.view = null;
      this.busy = false;
    }

    async start() {
      for (const action of [...CHANGES, "hint", "beliefs", "review", "text"]) {
        const button = get(action);
        if (button) button.addEventListener("click", () => this.act(action));
      }
      get("leave").addEventListener("click", () => this.leave());
      get("setup").addEventListener("submit", (event) => {
        event.preventDefault();
        this.create();
      });
      document.addEventListener("keydown", (event) => this.onKey(event));
      const withoutBids = get("about").textContent;
      await this.attempt(async () => {
        const about = await this.backend.about();
        for (const place of ["left", "partner", "right"]) {
          get(place).replaceChildren(...about.players.map((each, index) => {
            const option = make("option", "", each);
            option.value = String(index);
            return option;
          }));
          get(place).value = String(about.chosen ?? about.players.length - 1);
        }
        if (about.bids || about.may_bid) {
          get("about").textContent = ABOUT_BIDS;
          get("keys").append(" P passes.");
        }
        // A page without a server leaves it to the person if there are bids.
        get("bidding").hidden = !about.may_bid;
        get("bidding").addEventListener("change", (event) => {
          get("about").textContent = event.target.value === "yes" ? ABOUT_BIDS : withoutBids;
        });
        get("special").replaceChildren(...(about.special || []).map((each) => make("li", "", each)));
        get("special").hidden = !about.special || !about.special.length;
        get("notice").textContent = about.notice || "";
        get("notice").hidden = !about.notice;
        const found = await this.backend.resume();
        if (found) await this.show(found.views);
      });
      get("setup").hidden = this.view !== null;
    }

    // ---- what the person does

    onKey(event) {
      const typing = event.target instanceof Element && event.target.closest("select, input");
      if (event.ctrlKey || event.metaKey || event.altKey || typing || !this.view) return;
      const key = event.key.toLowerCase();
      if (key >= "1" && key <= "7" && key.length === 1) {
        this.actOrSay("play", this.view.hand[Number(key) - 1]);
        event.preventDefault();
      } else if (key === "p") {
        this.actOrSay("bid", "pass");
        event.preventDefault();
      } else if (KEYS[key]) {
        this.actOrSay(KEYS[key]);
        event.preventDefault();
      } else if (["ArrowLeft", "ArrowRight"].includes(event.key)) {
        const buttons = [...get("hand").querySelectorAll("button")];
        const at = buttons.indexOf(document.activeElement);
        const step = event.key === "ArrowRight" ? 1 : -1;
        if (at >= 0) buttons[(at + step + buttons.length) % buttons.length].focus();
      }
    }

    // Does something, or says in one line why that is not possible now. A play's value is a tile held.
    actOrSay(action, value) {
      const why = this.busy ? WAIT : this.whyNot(action, value);
      if (why) get("problem").textContent = why;
      else this.act(action, action === "play" ? value.tile : value);
    }

    // Why an action is not possible now; empty if it is.
    whyNot(action, held) {
      const { phase, turn, seat, auction, can_undo: canUndo } = this.view, over = phase === "over";
      if (!this.backend.can.includes(action)) return `There is no ${action} on this page.`;
      if (["review", "next", "text"].includes(action)) return over ? "" : "This hand is not over.";
      if (action === "undo") return canUndo ? "" : "There is nothing to take back.";
      if (over) return "The hand is over: N deals the next one.";
      if (action === "bid" && phase !== "bid") return auction ? "The bids are over." : "There are no bids.";
      if (turn !== seat) return "It is not your turn.";
      if (action === "bid") return auction.allowed[0] === "pass" ? "" : "You must bid.";
      if (action === "hint" || phase === "play" && !held) return "";
      if (phase === "bid") return action === "play" ? "The bids come first." : "Nobody has played yet.";
      if (phase === "declare") return "Trump is named first.";
      if (held.played) return `You have played ${name(held.tile)}.`;
      const may = this.view.hand.filter((each) => each.legal).map((each) => name(each.tile));
      return held.legal ? "" : `${name(held.tile)} may not be played now, only ${may.join(" or ")}.`;
    }

    create() {
      const players = ["left", "partner", "right"].map((place) => Number(get(place).value));
      return this.attempt(async () => {
        const choice = { players, seat: 0 };
        if (!get("bidding").hidden) choice.bids = get("with-bids").value === "yes";
        const found = await this.backend.create(choice);
        get("setup").hidden = true;
        get("panel").replaceChildren();
        await this.show(found.views);
        this.focusHand();
      });
    }

    leave() {
      return this.attempt(async () => {
        await this.backend.leave();
        this.view = null;
        get("table").hidden = true;
        get("score").textContent = "";
        get("setup").hidden = false;
        get("left").focus();
      });
    }

    act(action, value) {
      const place = document.activeElement && document.activeElement.dataset.slot;
      return this.attempt(async () => {
        const found = await this.backend.act(action, this.view, value);
        if (CHANGES.includes(action)) {
          await this.show(found.views);
          // The button that was pressed is gone, or may be pressed no more.
          const moves = ["next", "bid", "declare"].includes(action) || get("undo").disabled;
          if (place !== undefined || moves) {
            this.focusHand(place);
          }
        } else {
          get("panel").replaceChildren(...this.panel(action, found[action]));
          this.panelIsOf = this.moment();
          get("panel").focus({ preventScroll: action === "hint" });
          if (action === "hint" && found.hint.tiles) this.showBadges(found.hint);
        }
      });
    }

    panel(action, found) {
      const make = zebjax.panels[action];
      return make.length > 1 ? make(this.view, found) : make(found);
    }

    // All that changes when anybody does something.
    moment() {
      const { number, undone, phase, ply, auction } = this.view;
      return [number, undone, phase, ply, auction ? auction.calls.length : 0].join();
    }

    // Does one thing at a time, and says what went wrong.
    async attempt(work) {
      if (this.busy) {
        get("problem").textContent = WAIT;
        return;
      }
      this.busy = true;
      document.body.classList.add("busy");
      get("problem").textContent = "";
      try {
        await work();
        get("problem").textContent = "";
      } catch (error) {
        get("problem").textContent = error.message || String(error);
        if (error.gone) {
          this.view = null;
          get("table").hidden = true;
          get("setup").hidden = false;
        }
      } finally {
        this.busy = false;
        document.body.classList.remove("busy");
        if (this.view) this.showControls();
      }
    }

    // ---- what is shown

    // A backend may still make the later views while the first are shown.
    async show(views) {
      let isFirst = true;
      for await (const view of views) {
        if (!isFirst) await new Promise((done) => setTimeout(done, this.paceMs));
        isFirst = false;
        this.view = view;
        this.showView();
      }
    }

    showView() {
      const view = this.view, us = view.seat % 2;
      get("table").hidden = false;
      // Advice on an earlier moment would be taken for advice on this one.
      if (this.panelIsOf !== this.moment()) get("panel").replaceChildren();
      get("score").replaceChildren(...(view.auction ? this.marks() : [
        make("b", "", view.declaration_name), ` · hand ${view.number}`,
        make("br"),
        `us ${view.points[us]}, they ${view.points[1 - us]}`,
        view.number > 1 ? ` · hands won ${view.won[us]} : ${view.won[1 - us]}` : ""]));
      this.showBoard();
      this.showHand();
      this.showBids();
      this.showControls();
      get("message").textContent = this.said();
      get("tricks").querySelector("ol").replaceChildren(
        ...view.tricks.filter((trick) => trick.winner !== null).map((trick) => make("li", "",
          `${relation(view, trick.leader)} led ${trick.tiles.map(name).join(", ")}: `,
          this.took(trick))));
    }

    // Who has taken a trick, with its points where they count.
    took(trick) {
      const who = relation(this.view, trick.winner), { auction } = this.view;
      const points = auction && auction.special ? "" : `, ${count(trick.points, "point")}`;
      return `${who} took the trick${points}`;
    }

    // The contract, the points that each team has and needs, and the marks of the game.
    marks() {
      const view = this.view, us = view.seat % 2, { bid, needs, marks, goal, games } = view.auction;
      const points = (team) => `${view.points[team]} of ${needs[team]}`;
      const taken = view.auction.tricks, aim = view.silent < 0 ? "the bidder's team must take all"
        : "the bidder must take none";
      const count = view.auction.special ? `${aim} · tricks ${taken[us]} : ${taken[1 - us]}`
        : needs ? `points: us ${points(us)}, they ${points(1 - us)}` : "";
      return [
        make("b", "", needs ? `${bid.name} by ${relation(view, bid.seat)}, ${view.declaration_name}`
          : bid ? `${bid.name} by ${relation(view, bid.seat)}` : "no bid yet"),
        ...(count ? [make("br"), count] : []),
        make("br"), `hand ${view.number} · marks ${marks[us]} : ${marks[1 - us]} of ${goal}`,
        games[0] + games[1] ? ` · games ${games[us]} : ${games[1 - us]}` : ""];
    }

    // What a seat has said; empty if it has not spoken.
    call(seat) {
      const { auction } = this.view;
      if (!auction) return "";
      const place = (seat - auction.dealer + 3) % 4, said = auction.calls[place];
      const words = said === undefined ? [] : [said === "pass" ? "pass" : `bid ${said}`];
      return [...words, ...(seat === auction.dealer ? ["dealer"] : [])].join(" · ");
    }

    showBids() {
      const { auction } = this.view, group = get("bids");
      const said = auction ? auction.allowed.map((call) => ["bid", call,
        call === "pass" ? "Pass" : call]) : [];
      const named = auction ? auction.declarations.map((each) => ["declare", each.declaration,
        each.name]) : [];
      group.hidden = said.length + named.length === 0;
      group.setAttribute("aria-label", named.length ? "Your declaration" : "Your bid");
      group.replaceChildren(...[...said, ...named].map(([action, value, label]) => {
        const button = make("button", "", label);
        button.type = "button";
        if (action === "bid" && value !== "pass") button.setAttribute("aria-label", `bid ${label}`);
        button.addEventListener("click", () => this.act(action, value));
        return button;
      }));
    }

    showBoard() {
      const view = this.view;
      const trick = view.tricks.at(-1) || { seats: [], tiles: [] };
      const played = {};
      trick.tiles.forEach((tile, place) => {
        played[relation(view, trick.seats[place])] = tile;
      });
      get("board").replaceChildren(...PLACES.map((place) => {
        const seat = (["you", "left", "partner", "right"].indexOf(place) + view.seat) % 4;
        const turn = view.turn === seat;
        const won = trick.winner === seat;
        const label = make("div", "label", make("b", "", place),
          place === "you" ? "" : make("span", "player", view.players[seat]),
          this.call(seat) ? make("span", "call", this.call(seat)) : "",
          view.silent === seat ? make("span", "call", "takes no part") : "");
        const backs = make("div", "backs", ...Array.from({ length: view.counts[seat] },
          () => draw(null)));
        backs.setAttribute("role", "img");
        backs.setAttribute("aria-label", `${view.counts[seat]} tiles left`);
        const tile = played[place];
        const spot = make("div", won ? "spot won" : "spot", tile === undefined ? "" :
          draw(tile, `${place} played ${name(tile)}`));
        return make("div", `seat ${place}${turn ? " turn" : ""}`,
          label, place === "you" ? "" : backs, spot);
      }));
    }

    showHand() {
      const view = this.view;
      get("hand").classList.toggle("bidding", ["bid", "declare"].includes(view.phase));
      get("hand").replaceChildren(...view.hand.map((held, slot) => {
        const button = make("button", held.played ? "tile played" : "tile", draw(held.tile));
        button.type = "button";
        button.dataset.slot = slot;
        button.dataset.tile = held.tile;
        // Not `disabled`: a screen reader should find the tiles that may not be played now.
        button.setAttribute("aria-disabled", String(!held.legal));
        const why = held.played ? ", played" : held.legal ? ", may be played" : "";
        button.setAttribute("aria-label", `${name(held.tile)}${why}`);
        button.setAttribute("aria-keyshortcuts", String(slot + 1));
        button.addEventListener("click", () => this.actOrSay("play", held));
        return button;
      }));
    }

    showBadges(hint) {
      for (const row of hint.tiles) {
        const button = get("hand").querySelector(`[data-tile="${row.tile}"]`);
        const badge = make("span", row.best ? "badge best" : "badge", percent(row.p_win));
        badge.setAttribute("aria-hidden", "true");
        if (button) button.append(badge);
      }
    }

    showControls() {
      const view = this.view, over = view.phase === "over", can = this.backend.can;
      const turn = view.turn === view.seat;
      const use = { hint: turn, beliefs: turn && view.phase === "play", undo: view.can_undo, review: over, text: over,
        next: over };
      for (const [action, usable] of Object.entries(use)) {
        const once = ["review", "text", "next"].includes(action);
        get(action).hidden = !can.includes(action) || (once && !over) ||
          (over && (action === "hint" || action === "beliefs"));
        get(action).disabled = !usable;
      }
    }

    said() {
      const view = this.view, trick = view.tricks.at(-1);
      const us = view.seat % 2;
      if (view.phase === "bid" || view.phase === "declare") return this.saidOfBids();
      if (view.phase === "over" && view.auction) return outcome(view);
      if (view.phase === "over") {
        const [ours, theirs] = [view.points[us], view.points[1 - us]];
        const result = ours > theirs ? "You win" : ours < theirs ? "They win" : "A tie";
        return `${result}, ${Math.max(ours, theirs)} points to ${Math.min(ours, theirs)}.`;
      }
      const parts = [];
      const done = trick && trick.winner !== null;
      if (trick) {
        const last = trick.seats[trick.tiles.length - 1];
        parts.push(`${relation(view, last)} played ${name(trick.tiles.at(-1))}.`);
      }
      if (done) parts.push(`${this.took(trick)}.`);
      if (view.turn !== view.seat) parts.push(`${relation(view, view.turn)} is thinking.`);
      else parts.push(!trick || done ? "You lead." : "You follow.");
      return parts.map((text) => text[0].toUpperCase() + text.slice(1)).join(" ");
    }

    saidOfBids() {
      const view = this.view, { allowed, calls, dealer } = view.auction;
      const mine = view.turn === view.seat, who = relation(view, view.turn);
      const last = calls.length ? [dealer + calls.length, calls.at(-1)] : null;
      const before = last ? `${relation(view, last[0] % 4)} ${last[1] === "pass" ? "passed"
        : `bid ${last[1]}`}. ` : "";
      let now = mine ? "Your bid." : `${who} is thinking.`;
      const { kind, bid } = view.auction;
      if (view.phase === "declare" && kind) now = mine
        ? `${relation(view, bid.seat)} bid ${bid.name}: you name trump and lead.`
        : `${who} names trump.`;
      else if (view.phase === "declare") now = mine ? "Your bid is the highest: what is trump?"
        : `${who} names trump.`;
      else if (mine && allowed[0] !== "pass") now = "All have passed: you must bid.";
      const text = before + now;
      return text[0].toUpperCase() + text.slice(1);
    }

    focusHand(slot) {
      const buttons = [...get("hand").querySelectorAll('button[aria-disabled="false"]')];
      const wanted = buttons.find((button) => button.dataset.slot >= (slot || 0)) || buttons[0];
      (wanted || get("bids").querySelector("button") || get("next")).focus();
    }
  }

  zebjax.Page = Page;
})();
