// Starts an exported page.
"use strict";

(async function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const big = zebjax.network.load(read("network")), small = await zebjax.small.load(read("small"));
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  zebjax.page = new zebjax.Page(new zebjax.local.Local({ big, small }, seed), 450);
  zebjax.page.start();
})().catch((error) => { // a browser from before 2023 has no DecompressionStream
  const said = `This browser cannot run the page: ${error.message}`;
  document.getElementById("problem").textContent = said;
});
