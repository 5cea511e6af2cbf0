// The watchlist: a table with a line for each of many symbols. In: rows as in /latest and /movements. Out: prices, changes,
// ages and lines of the last hour, sorted and filtered; the symbols in view, since nothing else needs to be pushed.

import { Lines } from "./lines.js";
import { about, inWords, learnDigits, milliseconds, scaled, withSign } from "./numbers.js";
import { fill, makeRow, markSource } from "./rows.js";
import { Closes, drawLine } from "./sparkline.js";

const WINDOWS = ["minute", "hour", "day"];
// What is sorted by must be known of the lines that are not in view too.
const REFRESH_EVERY_MS = 10_000;
const LOOK_FOR_NEW_EVERY_MS = 60_000;
const TIMEOUT_MS = 10_000;

export class Watchlist {
  /** `urls`: latest, movements, candles. `show(symbol)` puts one into the chart, `see(symbols)` hears what is in view. */
  constructor(section, urls, staleAfterMs, { show, see }) {
    this.section = section;
    this.urls = urls;
    this.staleAfterMs = staleAfterMs;
    this.see = see;
    this.table = section.querySelector("table");
    this.filter = section.querySelector("input");
    this.note = section.querySelector(".note");
    this.closes = new Closes(urls.candles, "3m", 20);
    this.chosen = null;
    this.sort = { key: "symbol", descending: false };
    this.rows = new Map([...this.table.tBodies[0].rows].map(readRow).map((row) => [row.symbol, row]));
    const make = (symbol) => this.write(makeRow(section.querySelector("template"), { symbol }), this.rows.get(symbol));
    const moved = () => this.moved();
    this.lines = new Lines(section.querySelector(".watch-box"), { make, choose: show, moved });
    this.listen(show);
    this.arrange();
  }

  listen(show) {
    for (const head of this.table.tHead.querySelectorAll("[data-sort]")) this.makeSortable(head);
    this.filter.addEventListener("input", () => this.arrange({ fromTop: true }));
    this.filter.addEventListener("keydown", (event) => {
      const [first] = this.lines.order;
      if (event.key === "ArrowDown") this.lines.goTo(0);
      else if (event.key === "Enter" && first) show(first);
      else return;
      event.preventDefault();
    });
    document.addEventListener("keydown", (event) => this.press(event));
    const choice = this.section.querySelector("select");
    choice.addEventListener("change", () => this.showWindow(choice.value));
    setInterval(() => document.hidden || this.refresh(), REFRESH_EVERY_MS);
    setInterval(() => document.hidden || this.ask(this.urls.latest), LOOK_FOR_NEW_EVERY_MS);
    setInterval(() => document.hidden || this.loadLines(), LOOK_FOR_NEW_EVERY_MS);
  }

  /** A slash leads to the filter from wherever it is not text. */
  press(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target !== document.body && !event.target.closest("#prices, #chart-canvas")) return;
    if (event.target === this.filter || event.target.matches("select")) return;
    event.preventDefault();
    this.filter.focus();
    this.filter.select();
  }

  makeSortable(head) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => this.sortBy(head.dataset.sort));
  }

  /** Names begin with A, numbers with the highest; the same once more turns it round. */
  sortBy(key) {
    const descending = this.sort.key === key ? !this.sort.descending : key !== "symbol";
    this.sort = { key, descending };
    this.arrange({ fromTop: true });
    this.refresh();
  }

  /** Where there is room for one change only, it is this one; a list sorted by the other is sorted by it. */
  showWindow(name) {
    this.table.dataset.window = name;
    if (!WINDOWS.includes(this.sort.key)) return;
    this.sort.key = name;
    this.arrange({ fromTop: true });
    this.refresh();
  }

  refresh() {
    if (this.sort.key === "symbol") return;
    this.ask(this.sort.key === "price" ? this.urls.latest : this.urls.movements);
  }

  async ask(url) {
    try {
      const response = await fetch(url, {
        headers: { Accept: "application/json" },
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!response.ok) return;
      const rows = await response.json();
      if (url === this.urls.latest) this.show(rows);
      else this.showMovements(rows);
      this.arrange();
    } catch {
      // the next time tries again
    }
  }

  /** Which lines there are, in which order. */
  arrange({ fromTop = false } = {}) {
    const { key, descending } = this.sort;
    const part = this.filter.value.trim().toUpperCase();
    const rows = [...this.rows.values()].filter(({ symbol }) => symbol.includes(part));
    for (const head of this.table.tHead.querySelectorAll("[data-sort]")) {
      head.ariaSort = head.dataset.sort !== key ? "none" : descending ? "descending" : "ascending";
    }
    const count = part ? `${rows.length} of ${this.rows.size} symbols` : `${this.rows.size} symbols`;
    const note = rows.length ? count : "No symbol has that in its name.";
    if (this.note.textContent !== note) this.note.textContent = note;
    if (fromTop) this.lines.box.scrollTop = 0;
    this.lines.setOrder(sorted(rows, key, descending).map(({ symbol }) => symbol));
  }

  moved() {
    if (!this.lines) return;
    this.see(this.lines.visible());
    this.loadLines();
  }

  show(prices) {
    for (const { symbol, price, timestamp } of prices) {
      const row = this.rows.get(symbol) ?? this.add(symbol);
      if (row.at > milliseconds(timestamp)) continue; // an answer that was overtaken
      const change = row.price ? scaled(price) - scaled(row.price) : 0n;
      if (change !== 0n) row.direction = change > 0n ? "up" : "down";
      learnDigits(symbol, price);
      Object.assign(row, { price, at: milliseconds(timestamp) });
      this.rewrite(row);
    }
  }

  add(symbol) {
    this.rows.set(symbol, { symbol });
    this.arrange();
    return this.rows.get(symbol);
  }

  showMovements(movements) {
    for (const { symbol, ...windows } of movements) {
      const row = this.rows.get(symbol);
      if (!row) continue;
      for (const name of WINDOWS) row[name] = windows[name].change_percent;
      row.sources = Object.fromEntries(WINDOWS.map((name) => [name, windows[name].source]));
      this.rewrite(row);
    }
  }

  rewrite(row) {
    const line = this.lines.drawn.get(row.symbol);
    if (line) this.write(line, row);
  }

  write(line, row) {
    fill(line, { symbol: row.symbol, price: row.price ?? null });
    setData(line, "direction", row.direction ?? "");
    for (const name of WINDOWS) {
      const cell = line.querySelector(`[data-window="${name}"]`);
      const percent = row[name];
      const source = row.sources?.[name];
      markSource(cell, source);
      const text = percent ? `${about(source)}${withSign(percent)} %` : "–";
      if (cell.textContent !== text) cell.textContent = text;
      setData(cell, "direction", /[1-9]/.test(percent ?? "") ? (percent.startsWith("-") ? "down" : "up") : "");
    }
    drawLine(line, this.closes.of(row.symbol), row.price);
    line.querySelector("button").setAttribute("aria-pressed", row.symbol === this.chosen);
    return line;
  }

  /** Write the ages of the lines in view; return that of the newest price of all, in milliseconds. */
  showAges(now) {
    for (const [symbol, line] of this.lines.drawn) {
      const { at } = this.rows.get(symbol);
      const age = now - at;
      line.classList.toggle("stale", age > this.staleAfterMs);
      fill(line, { age: !at ? "" : age < 1000 ? "now" : inWords(age / 1000) });
    }
    return now - Math.max(-Infinity, ...[...this.rows.values()].map(({ at }) => at ?? -Infinity));
  }

  /** This symbol is in the chart. */
  choose(symbol) {
    this.chosen = symbol;
    for (const row of this.rows.values()) this.rewrite(row);
  }

  /** Its price and direction, where they are known. */
  priceOf(symbol) {
    return this.rows.get(symbol) ?? {};
  }

  /** The lines of the last hour, one after the other, of what is in view by then. */
  async loadLines() {
    if (this.isLoading) return;
    this.isLoading = true;
    let symbol;
    while ((symbol = this.lines.visible().find((each) => this.closes.isOld(each)))) {
      if (await this.closes.load(symbol)) this.rewrite(this.rows.get(symbol));
    }
    this.isLoading = false;
  }
}

/** What the server wrote. */
function readRow(line) {
  const [symbol, price, time] = [...line.cells].map((cell) => cell.textContent.trim());
  if (!/\d/.test(price)) return { symbol };
  learnDigits(symbol, price);
  return { symbol, price, at: milliseconds(time.replace(" UTC", "").replace(" ", "T")) };
}

/** By a key of theirs, those without one last. */
function sorted(rows, key, descending) {
  const byName = [...rows].sort((one, other) => (one.symbol < other.symbol ? -1 : 1));
  if (key === "symbol") return descending ? byName.reverse() : byName;
  const known = byName.filter((row) => row[key]).map((row) => [scaled(row[key]), row]);
  known.sort(([one], [other]) => (one === other ? 0 : one < other === descending ? 1 : -1));
  return [...known.map(([, row]) => row), ...byName.filter((row) => !row[key])];
}

function setData(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}
