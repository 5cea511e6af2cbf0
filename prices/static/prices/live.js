// The latest prices, once a second while somebody looks. In: /latest. Out: each symbol's price, direction and age, and
// one sentence that says how current all of it is. It recovers by itself from whatever went wrong.

import { fill, makeRow } from "./rows.js";

const POLL_EVERY_MS = 1000;
const TIMEOUT_MS = 5000;
const DECIMALS = 8;

export async function followPrices(section) {
  const staleAfter = Number(section.dataset.staleAfterS) * 1000;
  const clock = { ahead: 0 }; // the server's, in milliseconds: an age must not depend on how this machine's clock is set
  for (;;) {
    await tabIsVisible();
    const { failure, prices } = await fetchPrices(section.dataset.api, clock);
    if (prices) showPrices(section, prices);
    const age = showAges(section, Date.now() + clock.ahead, staleAfter);
    showState(section, failure ?? stateAt(age, staleAfter), age);
    await new Promise((resume) => setTimeout(resume, POLL_EVERY_MS));
  }
}

async function tabIsVisible() {
  while (document.hidden) {
    await new Promise((resume) => document.addEventListener("visibilitychange", resume, { once: true }));
  }
}

/** The prices, or the failure: "database" when the server said so, "offline" for everything else. */
async function fetchPrices(url, clock) {
  try {
    const response = await fetch(url, {
      headers: { Accept: "application/json" },
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) return { failure: response.status === 503 ? "database" : "offline" };
    const prices = await response.json();
    clock.ahead = clockDifference(response.headers.get("Date"));
    return { prices };
  } catch {
    return { failure: "offline" };
  }
}

/** 0 unless the clocks clearly differ: the header counts whole seconds. */
function clockDifference(dateHeader) {
  const difference = Date.parse(dateHeader) - Date.now();
  return Math.abs(difference) > 2000 ? difference : 0;
}

function showPrices(section, prices) {
  const list = section.querySelector(".prices");
  if (!list) return location.reload(); // the page was made without the database, which is back
  for (const price of prices) {
    const card = list.querySelector(`[data-symbol="${price.symbol}"]`) ?? addCard(section, list, price);
    showPrice(card, price);
  }
}

function addCard(section, list, price) {
  const card = makeRow(section.querySelector("template"), price);
  card.dataset.symbol = price.symbol;
  list.append(card);
  return card;
}

function showPrice(card, { price, timestamp }) {
  const before = card.querySelector('[data-slot="price"]').textContent;
  card.dataset.timestamp = timestamp;
  fill(card, { price, timestamp });
  if (before === price || !/\d/.test(before)) return;
  const change = scaled(price) - scaled(before);
  card.dataset.direction = change > 0n ? "up" : "down";
  fill(card, { arrow: change > 0n ? "▲" : "▼", change: withSign(change) });
}

/** The price as a whole number of its smallest unit, so that no difference passes through a float. */
function scaled(price) {
  const [whole, fraction = ""] = price.split(".");
  return BigInt(whole + fraction.padEnd(DECIMALS, "0"));
}

function withSign(change) {
  const digits = String(change < 0n ? -change : change).padStart(DECIMALS + 1, "0");
  const fraction = digits.slice(-DECIMALS).replace(/0+$/, "");
  return `${change < 0n ? "−" : "+"}${digits.slice(0, -DECIMALS)}${fraction && `.${fraction}`}`;
}

/** Write each price's age on its card; return that of the newest, in milliseconds. */
function showAges(section, now, staleAfter) {
  let newest = Infinity;
  for (const card of section.querySelectorAll(".price[data-timestamp]")) {
    // Three decimals, as a date has in JavaScript: not every browser reads six.
    const age = now - Date.parse(`${card.dataset.timestamp.slice(0, 23)}Z`);
    card.classList.toggle("stale", age > staleAfter);
    fill(card, { age: age < 1000 ? "now" : `${inWords(age)} ago` });
    newest = Math.min(newest, age);
  }
  return newest;
}

function stateAt(age, staleAfter) {
  if (age === Infinity) return "empty";
  return age > staleAfter ? "stale" : "live";
}

function showState(section, state, age) {
  for (const sentence of section.querySelectorAll("[data-state]")) sentence.hidden = sentence.dataset.state !== state;
  if (state === "stale") fill(section, { "quiet-for": inWords(age) });
}

function inWords(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}
