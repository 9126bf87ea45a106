// The backend that asks `zebjax serve`.
"use strict";

(function () {
  const KEY = "table";
  let table = null;

  async function ask(method, path, fields) {
    const options = { method, headers: { "content-type": "application/json" } };
    if (fields !== undefined) options.body = JSON.stringify(fields);
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (error) {
      throw new Error("the server does not answer");
    }
    const found = await answer.json();
    if (answer.ok) return found;
    const error = new Error(found.error);
    if ([404, 500].includes(answer.status)) {
      error.gone = true;
      remember(null);
    }
    throw error;
  }

  function remember(name) {
    table = name;
    if (name === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, name);
  }

  const backend = {
    can: ["play", "bid", "declare", "undo", "next", "hint", "beliefs", "review", "text"],
    about: () => ask("GET", "/api/about"),
    async create(choice) {
      const found = await ask("POST", "/api/tables", choice);
      remember(found.table);
      return found;
    },
    async resume() {
      table = sessionStorage.getItem(KEY);
      return table === null ? null : ask("GET", `/api/tables/${table}`);
    },
    async leave() {
      const left = table;
      remember(null);
      try {
        await ask("DELETE", `/api/tables/${left}`);
      } catch (error) {
        // It is gone already.
      }
    },
    act(action, view, value) {
      const fields = { ply: view.ply, number: view.number, undone: view.undone };
      const name = { play: "tile", bid: "bid", declare: "declaration" }[action];
      if (name) fields[name] = value;
      return ask("POST", `/api/tables/${table}/${action}`, fields);
    },
  };

  zebjax.page = new zebjax.Page(backend, 450);
  zebjax.page.start();
})();
