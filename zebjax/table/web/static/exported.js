// Starts an exported page.
"use strict";

(function () {
  const file = JSON.parse(document.getElementById("network").textContent);
  const net = zebjax.network.load(file);
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  zebjax.page = new zebjax.Page(new zebjax.local.Local(net, seed), 450);
  zebjax.page.start();
})();
