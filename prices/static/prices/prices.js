// The cards of the latest prices. In: rows as in /latest, and how far each price has moved. Out: price, direction, age,
// the windows' change, high and low, a line of the last hour, the tab's title.

import { inDigits, inWords, learnDigits, milliseconds, scaled, withSign } from "./numbers.js";
import { fill, makeRow } from "./rows.js";

const SPARKLINE_MINUTES = 60;
const SPARKLINE_WIDTH = 120;
const SPARKLINE_HEIGHT = 40;
const SPARKLINE_EVERY_MS = 60_000;
const TIMEOUT_MS = 10_000;
const TITLE = document.title;

export class Cards {
  constructor(section, candlesUrl, staleAfterMs) {
    this.section = section;
    this.candlesUrl = candlesUrl;
    this.staleAfterMs = staleAfterMs;
    this.list = section.querySelector(".prices");
    this.closes = new Map(); // by symbol: the last hour's, oldest first
    this.titled = null;
    for (const card of this.list.children) this.prepare(card, card.dataset.symbol);
    setInterval(() => document.hidden || this.loadLines(), SPARKLINE_EVERY_MS);
  }

  prepare(card, symbol) {
    card.dataset.symbol = symbol;
    learnDigits(symbol, card.querySelector('[data-slot="price"]').textContent);
    this.loadLine(card);
  }

  loadLines() {
    for (const card of this.list.children) this.loadLine(card);
  }

  find(symbol) {
    return [...this.list.children].find((card) => card.dataset.symbol === symbol);
  }

  show(prices) {
    for (const price of prices) {
      let card = this.find(price.symbol);
      if (!card) {
        card = makeRow(this.section.querySelector("template"), price);
        this.list.append(card);
        this.prepare(card, price.symbol);
      }
      this.showPrice(card, price);
    }
  }

  showPrice(card, price) {
    const { symbol } = price;
    if (price.timestamp < card.dataset.timestamp) return; // an answer that was overtaken
    const before = card.dataset.price ?? card.querySelector('[data-slot="price"]').textContent;
    if (/\d/.test(before)) {
      const change = scaled(price.price) - scaled(before);
      if (change !== 0n) card.dataset.direction = change > 0n ? "up" : "down";
    }
    card.dataset.price = price.price;
    card.dataset.timestamp = price.timestamp;
    learnDigits(symbol, price.price);
    fill(card, price);
    this.drawLine(card);
    if (symbol === this.titled) this.showTitle();
  }

  showMovements(movements) {
    for (const { symbol, ...windows } of movements) {
      const card = this.find(symbol);
      if (!card) continue;
      for (const [name, { change, change_percent: percent, high, low }] of Object.entries(windows)) {
        const row = card.querySelector(`[data-window="${name}"]`);
        for (const price of [high, low]) learnDigits(symbol, price);
        fill(row, {
          change: change === null ? "–" : `${withSign(inDigits(symbol, change))} (${withSign(percent)} %)`,
          high: high === null ? "–" : inDigits(symbol, high),
          low: low === null ? "–" : inDigits(symbol, low),
        });
        row.dataset.direction = !change || change === "0" ? "" : change.startsWith("-") ? "down" : "up";
      }
    }
  }

  /** Write each price's age on its card; return that of the newest, in milliseconds. */
  showAges(now) {
    let newest = Infinity;
    for (const card of this.list.children) {
      if (!card.dataset.timestamp) continue;
      const age = now - milliseconds(card.dataset.timestamp);
      card.classList.toggle("stale", age > this.staleAfterMs);
      fill(card, { age: age < 1000 ? "now" : `${inWords(age / 1000)} ago` });
      newest = Math.min(newest, age);
    }
    return newest;
  }

  /** The tab's title shows this symbol's price. */
  entitle(symbol) {
    this.titled = symbol;
    this.showTitle();
    for (const card of this.list.children) {
      card.querySelector(".symbol-name").setAttribute("aria-pressed", card.dataset.symbol === symbol);
    }
  }

  showTitle() {
    const { price, direction } = this.find(this.titled)?.dataset ?? {};
    const arrow = { up: " ▲", down: " ▼" }[direction] ?? "";
    document.title = price ? `${inDigits(this.titled, price)}${arrow} ${this.titled}` : TITLE;
  }

  async loadLine(card) {
    const { symbol } = card.dataset;
    try {
      const query = `?symbol=${symbol}&interval=1m&limit=${SPARKLINE_MINUTES}`;
      const response = await fetch(this.candlesUrl + query, {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!response.ok) return;
      const candles = await response.json();
      for (const { high, low } of candles) [high, low].forEach((price) => learnDigits(symbol, price));
      this.closes.set(symbol, candles.map(({ close }) => Number(close)));
      this.drawLine(card);
      if (card.dataset.price) fill(card, { symbol, price: card.dataset.price });
    } catch {
      // the next minute tries again
    }
  }

  drawLine(card) {
    const closes = this.closes.get(card.dataset.symbol);
    if (!closes?.length) return;
    const prices = card.dataset.price ? [...closes.slice(0, -1), Number(card.dataset.price)] : closes;
    const low = Math.min(...prices);
    const range = Math.max(...prices) - low || 1;
    const step = SPARKLINE_WIDTH / Math.max(1, prices.length - 1);
    const points = prices.map(
      (price, index) => `${(index * step).toFixed(1)},${(2 + (SPARKLINE_HEIGHT - 4) * (1 - (price - low) / range)).toFixed(1)}`,
    );
    card.querySelector("polyline").setAttribute("points", points.join(" "));
  }
}
