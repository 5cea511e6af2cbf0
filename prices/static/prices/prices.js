// The cards of the latest prices. In: rows as in /latest, and how far each price has moved. Out: price, direction, age,
// the windows' change, high and low, a line of the last hour.

import { about, inDigits, inWords, learnDigits, milliseconds, scaled, withSign } from "./numbers.js";
import { fill, makeRow, markSource } from "./rows.js";
import { Closes, drawLine } from "./sparkline.js";

const LINES_EVERY_MS = 60_000;

export class Cards {
  /** `show(symbol)` puts one into the chart. */
  constructor(section, candlesUrl, staleAfterMs, show) {
    this.section = section;
    this.staleAfterMs = staleAfterMs;
    this.list = section.querySelector(".prices");
    this.closes = new Closes(candlesUrl, "1m", 60);
    for (const card of this.list.children) this.prepare(card, card.dataset.symbol);
    this.list.addEventListener("click", (event) => {
      const card = event.target.closest(".symbol-name") && event.target.closest(".price");
      if (card) show(card.dataset.symbol);
    });
    setInterval(() => document.hidden || this.loadLines(), LINES_EVERY_MS);
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
        if (this.list.children.length >= this.list.dataset.most) return location.reload(); // it becomes a watchlist
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
  }

  showMovements(movements) {
    for (const { symbol, ...windows } of movements) {
      const card = this.find(symbol);
      if (!card) continue;
      for (const [name, { change, change_percent: percent, high, low, source }] of Object.entries(windows)) {
        const row = card.querySelector(`[data-window="${name}"]`);
        const turned = markSource(row, source);
        if (turned && name === "hour") this.loadLine(card); // there is more to draw now
        for (const price of [high, low]) learnDigits(symbol, price);
        fill(row, {
          change: change === null ? "–" : `${about(source)}${withSign(inDigits(symbol, change))} (${withSign(percent)} %)`,
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

  /** This symbol is in the chart. */
  choose(symbol) {
    for (const card of this.list.children) {
      card.querySelector(".symbol-name").setAttribute("aria-pressed", card.dataset.symbol === symbol);
    }
  }

  /** Its price and direction, where they are known. */
  priceOf(symbol) {
    return this.find(symbol)?.dataset ?? {};
  }

  async loadLine(card) {
    const { symbol } = card.dataset;
    if (!(await this.closes.load(symbol))) return;
    this.drawLine(card);
    if (card.dataset.price) fill(card, { symbol, price: card.dataset.price });
  }

  drawLine(card) {
    drawLine(card, this.closes.of(card.dataset.symbol), card.dataset.price);
  }
}
