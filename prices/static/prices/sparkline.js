// The lines of the last hour. In: closes from /candles. Out: points of an SVG's polyline, the newest price at its end.

import { learnDigits } from "./numbers.js";

const WIDTH = 120;
const HEIGHT = 40;
const MARGIN = 2;
const KEPT_FOR_MS = 60_000;
const TIMEOUT_MS = 10_000;

export class Closes {
  /** Of so many candles of this interval, the newest. */
  constructor(url, interval, limit) {
    this.url = url;
    this.query = `interval=${interval}&limit=${limit}`;
    this.known = new Map(); // by symbol: the closes, oldest first, and when they were asked for
  }

  of(symbol) {
    return this.known.get(symbol)?.closes;
  }

  isOld(symbol) {
    return !(performance.now() - this.known.get(symbol)?.askedAt < KEPT_FOR_MS);
  }

  /** True when there are newer ones now. */
  async load(symbol) {
    const kept = this.known.get(symbol);
    this.known.set(symbol, { closes: kept?.closes, askedAt: performance.now() });
    try {
      const response = await fetch(`${this.url}?symbol=${symbol}&${this.query}`, {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!response.ok) return false;
      const candles = await response.json();
      for (const { high, low } of candles) [high, low].forEach((price) => learnDigits(symbol, price));
      this.known.get(symbol).closes = candles.map(({ close }) => Number(close));
      return true;
    } catch {
      return false; // the next minute tries again
    }
  }
}

/** Draw them into the element's polyline; `price` is newer than the last one. */
export function drawLine(element, closes, price) {
  if (!closes?.length) return;
  const prices = price ? [...closes.slice(0, -1), Number(price)] : closes;
  const low = Math.min(...prices);
  const range = Math.max(...prices) - low || 1;
  const step = WIDTH / Math.max(1, prices.length - 1);
  const height = (value) => MARGIN + (HEIGHT - 2 * MARGIN) * (1 - (value - low) / range);
  const points = prices.map((value, index) => `${(index * step).toFixed(1)},${height(value).toFixed(1)}`);
  element.querySelector("polyline").setAttribute("points", points.join(" "));
}
