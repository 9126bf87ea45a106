// Dominoes as SVG, and the names of tiles. A tile id is high * (high + 1) / 2 + low.
"use strict";
var zebjax = globalThis.zebjax || {};
globalThis.zebjax = zebjax;

(function () {
  const SVG = "http://www.w3.org/2000/svg";
  const HALF = 40; // side of one half; a domino is HALF x 2 HALF
  // Places of the pips on a grid of 3 x 3, for 0 to 6 pips.
  const PIPS = ["", "4", "08", "048", "0268", "02468", "035268"];

  function pips(tile) {
    let high = 0;
    while ((high + 1) * (high + 2) / 2 <= tile) high += 1;
    return [high, tile - high * (high + 1) / 2];
  }

  function name(tile) {
    return pips(tile).join("-");
  }

  function add(parent, kind, attributes) {
    const made = document.createElementNS(SVG, kind);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.appendChild(made);
    return made;
  }

  function half(parent, count, top) {
    for (const place of PIPS[count]) {
      const column = place % 3, row = Math.floor(place / 3);
      add(parent, "circle", {
        class: "pip", cx: 9 + 11 * column, cy: top + 9 + 11 * row, r: 3.9,
      });
    }
  }

  // Draws a tile; null draws its back. With a label it is a picture, else it is decoration.
  function draw(tile, label) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `-1 -1 ${HALF + 2} ${2 * HALF + 2}`);
    svg.setAttribute("class", tile === null ? "domino back" : "domino");
    if (label) {
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", label);
    } else {
      svg.setAttribute("aria-hidden", "true");
    }
    add(svg, "rect", { class: "body", width: HALF, height: 2 * HALF, rx: 6 });
    if (tile !== null) {
      add(svg, "line", { class: "bar", x1: 5, x2: HALF - 5, y1: HALF, y2: HALF });
      const group = add(svg, "g", { transform: "translate(0 0)" });
      pips(tile).forEach((count, place) => half(group, count, place * HALF));
    }
    return svg;
  }

  // Makes an element with a class, texts and other elements in it.
  function make(kind, className, ...inner) {
    const made = document.createElement(kind);
    if (className) made.className = className;
    made.append(...inner);
    return made;
  }

  Object.assign(zebjax, { pips, name, draw, make });
})();
