// Rows of an answer. In: the API's objects. Out: copies of the page's own <template>s, so that all words stand in HTML.

import { inDigits, milliseconds } from "./numbers.js";

const TIMES = new Set(["timestamp", "actual_timestamp", "minute"]);
const THEIRS = "Told by the exchange's own candles: the trades are not all here yet.";
const PRICES = new Set(["price", "high", "low"]);

/** Parse an answer of the API and keep every digit: JSON.parse would bend the numbers of /minmax into floats. */
export function parseExactly(text) {
  return JSON.parse(text.replace(/("(?:high|low)":\s*)(-?[\d.]+)/g, '$1"$2"'));
}

/** A copy of the template's only element, filled. */
export function makeRow(template, row) {
  const element = template.content.firstElementChild.cloneNode(true);
  fill(element, row);
  return element;
}

/** Write the row's values into the elements that name them in data-slot; data-none is what stands there without one. */
export function fill(element, row) {
  for (const [name, value] of Object.entries(row)) {
    const slot = element.querySelector(`[data-slot="${name}"]`);
    if (!slot) continue;
    const text = readable(name, value, row.symbol) ?? slot.dataset.none ?? "";
    if (slot.textContent !== text) slot.textContent = text;
    if (TIMES.has(name)) showLocalTime(slot, value);
  }
}

/** The same time where the reader is, on hover. */
export function showLocalTime(element, time) {
  if (time) element.title = `${new Date(milliseconds(time)).toLocaleString()} where you are`;
  else element.removeAttribute("title");
}

/** By whose word the numbers in it are, on hover too; true when that is another's now. */
export function markSource(element, source = "tape") {
  if ((element.dataset.source ?? "tape") === source) return false;
  element.dataset.source = source;
  if (source === "exchange") element.title = THEIRS;
  else element.removeAttribute("title");
  return true;
}

export function inUtc(time) {
  return `${time.replace("T", " ")} UTC`;
}

function readable(name, value, symbol) {
  if (TIMES.has(name) && value) return inUtc(value);
  if (PRICES.has(name) && symbol) return inDigits(symbol, value);
  return value;
}
