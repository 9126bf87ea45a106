// Starts an exported page.
"use strict";

(async function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const big = zebjax.network.load(read("network")), small = await zebjax.small.load(read("small"));
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  // The state of this tab's place in its history outlives a reload, also of a page from disk, which
  // has no address of its own to store anything under.
  const keep = {
    read: () => history.state,
    write(table) {
      try {
        history.replaceState(table, "");
      } catch (error) {
        // A browser may allow only so many in a minute; then a reload goes back a few steps.
      }
    },
  };
  zebjax.page = new zebjax.Page(new zebjax.local.Local({ big, small }, seed, keep), 450);
  zebjax.page.start();
})().catch((error) => { // a browser from before 2023 has no DecompressionStream
  const said = `This browser cannot run the page: ${error.message}`;
  document.getElementById("problem").textContent = said;
});
