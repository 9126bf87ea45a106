// One round of bids, and when a contract is made or set, as in zebjax.bidding without its options.
"use strict";

(function () {
  const GOAL = 7, PASS = "pass";
  const DECLARATIONS = [0, 1, 2, 3, 4, 5, 6, 7, 9]; // all but doubles as a suit
  // From the lowest to the highest.
  const BIDS = [];
  for (let points = 30; points <= 42; points += 1) {
    BIDS.push({ points, marks: 1, name: String(points) });
  }
  for (let marks = 2; marks <= GOAL; marks += 1) {
    BIDS.push({ points: 42, marks, name: `${marks} marks` });
  }
  const FIRST_MARKS = 2; // most marks of a bid that does not follow a bid of marks

  const seatOf = (auction, place) => (auction.dealer + 1 + place) % 4;
  const placeOf = (call) => BIDS.findIndex((bid) => bid.name === call);

  // The highest bid with its seat, which is the last one; null if all have passed so far.
  function high({ dealer, calls }) {
    const place = calls.findLastIndex((call) => call !== PASS);
    if (place < 0) return null;
    return { seat: seatOf({ dealer }, place), ...BIDS[placeOf(calls[place])] };
  }

  const isOver = (auction) => auction.calls.length === 4;

  // What the seat to speak may say, as texts.
  function allowed(auction) {
    if (isOver(auction)) return [];
    const top = high(auction), from = top ? placeOf(top.name) + 1 : 0;
    const most = top ? Math.max(FIRST_MARKS, top.marks + 1) : FIRST_MARKS;
    const bids = BIDS.slice(from).filter((bid) => bid.marks <= most).map((bid) => bid.name);
    // If all others have passed, the dealer must bid.
    return !top && auction.calls.length === 3 ? bids : [PASS, ...bids];
  }

  // The points with which team 0 and team 1 win a contract.
  function needs(bid) {
    const both = [bid.points, 43 - bid.points];
    return bid.seat % 2 ? both.reverse() : both;
  }

  // The team that has made or set the contract; null while it is open, or without one.
  function winner(game) {
    if (!game.bid) return null;
    const points = zebjax.rules.points(game);
    const team = needs(game.bid).findIndex((enough, each) => points[each] >= enough);
    return team < 0 ? null : team;
  }

  zebjax.auction = { GOAL, PASS, BIDS, DECLARATIONS, high, isOver, allowed, seatOf, needs, winner };
})();
