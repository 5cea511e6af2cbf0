// The chart: what is shown of a symbol's candles, and how one gets around in it. In: pages of candles, the newest as they
// are pushed, an answer to mark. Out: TradingView's Lightweight Charts, its legend in words. Only here do prices become
// floats, for pixels; every number that is read stands as text.
// https://tradingview.github.io/lightweight-charts/

import { Candles, SECONDS, isTheirs } from "./candles.js";
import { digits, inDigits, learnDigits, milliseconds } from "./numbers.js";
import { fill, inUtc, showLocalTime } from "./rows.js";

const { createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries } = window.LightweightCharts ?? {};

const LOAD_WITHIN = 30; // candles from the edge
const GROWING = "Still growing, not proven whole yet.";
const YOUNG = "Not proven whole yet: its last trades or its neighbours' may still be on their way.";
const THEIRS = "The exchange's own: its trades are not all here yet.";
const SOME_ARE_THEIRS = "Grey candles are the exchange's own: their trades are not all here yet.";
const SHOWN_AT_FIRST = 120;
const FEWEST_SHOWN = 30;
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
const ZOOM = { "+": 0.7, "=": 0.7, "-": 1.4 };

/** The chart; or, without the library, what says so and lets the rest of the page be. */
export function makeChart(section, candlesUrl, feed) {
  if (createChart) return new Chart(section, candlesUrl, feed);
  section.querySelector("#chart-note").textContent = "The chart could not be loaded. Reload the page.";
  const nothing = () => {};
  return { show: nothing, update: nothing, setGaps: nothing, reload: nothing, showAnswer: nothing, clearMark: nothing };
}

class Chart {
  /** `watch(symbol, interval)` asks for its newest candles to be pushed; `now()` is the server's time. */
  constructor(section, candlesUrl, { watch, now }) {
    this.section = section;
    this.url = candlesUrl;
    this.watch = watch;
    this.now = now;
    this.canvas = section.querySelector("#chart-canvas");
    this.legend = section.querySelector("#chart-legend");
    this.note = section.querySelector("#chart-note");
    this.spoken = section.querySelector("#chart-spoken");
    this.nowButton = section.querySelector("#chart-now");
    this.candles = null;
    this.mark = null;
    this.gaps = { open: 0, missing: 0, newest: null, unavailable: 0 };
    this.cursor = null; // the start of the candle that the keyboard stands on
    this.hovered = null; // of the one under the pointer
    this.pushed = null; // what came while a page was being loaded
    this.loading = null; // the candles of which older or newer ones are
    this.reloading = null; // those that are read again
    this.draw();
    this.listen();
  }

  draw() {
    this.chart = createChart(this.canvas, {
      autoSize: true,
      layout: { attributionLogo: false, background: { color: "transparent" } },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4 },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.24 } },
      crosshair: { mode: 0 },
    });
    this.prices = this.chart.addSeries(CandlestickSeries, {});
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.markers = createSeriesMarkers(this.prices, []);
    this.paint();
  }

  listen() {
    this.chart.subscribeCrosshairMove(({ time, sourceEvent }) => {
      if (this.cursor !== null && !sourceEvent) return; // the chart's own doing; the keyboard's candle stays
      this.cursor = null;
      this.hovered = this.candles.rows[this.indexAt(time)]?.start ?? null;
      this.showLegend();
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (!range) return;
      this.showWayBack(range);
      this.loadMore(range);
    });
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.canvas.addEventListener("blur", () => this.leave());
    this.nowButton.addEventListener("click", () => this.goToNow());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  /** The colours of the page, light or dark. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const names = ["up", "down", "muted", "line", "volume", "marker"];
    this.colours = Object.fromEntries(names.map((name) => [name, colour(`--${name}`)]));
    const { up, down, muted, line, volume } = this.colours;
    this.chart.applyOptions({
      layout: { textColor: muted, fontSize: 0.75 * parseFloat(style.fontSize) },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.prices.applyOptions({
      upColor: up,
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
    this.volumes.applyOptions({ color: volume });
    if (this.candles) this.setData();
  }

  /** Show a symbol from now back; or, with `time` (milliseconds), around then. */
  async show(symbol, interval, time = null) {
    const candles = new Candles(this.url, symbol, interval);
    this.candles = candles;
    this.cursor = this.hovered = this.mark = this.pushed = null;
    this.section.ariaBusy = "true";
    this.watch(symbol, interval);
    await this.try(candles, async () => {
      await candles.load(time);
      if (candles !== this.candles) return; // another was chosen meanwhile
      this.setData();
      if (time === null) this.lookAt(candles.rows.length - 1);
    });
    if (candles !== this.candles) return;
    this.section.ariaBusy = null;
    if (this.pushed) this.update(this.pushed);
  }

  async try(candles, work) {
    try {
      await work();
      if (candles !== this.candles) return;
      this.say(candles.rows.length ? (this.mark?.note ?? this.remark()) : "No trade of this symbol is stored yet.");
    } catch (error) {
      if (candles !== this.candles) return;
      if (!candles.rows.length) this.setData(); // not another symbol's under this one's name
      this.say(`${error.message} The chart goes on by itself.`);
    }
  }

  /** What is to be said of the candles when there is nothing else to say. */
  remark() {
    return this.candles.rows.some(isTheirs) ? SOME_ARE_THEIRS : "";
  }

  say(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  /** Mark an answer: a price (or none) at a time, on the candle that holds it. */
  async showAnswer(symbol, time, { price, text, position, label = price }) {
    const { interval } = this.candles;
    if (symbol !== this.candles.symbol || this.indexAt(this.startOf(time)) === -1) await this.show(symbol, interval, time);
    if (symbol !== this.candles.symbol) return; // another was chosen meanwhile
    const index = this.indexAt(this.startOf(time));
    this.mark = null;
    if (index === -1) return this.drawMark();
    this.mark = { time: seconds(this.candles.rows[index]), price: Number(price), text: label, position, note: `Marked: ${text}` };
    this.drawMark();
    this.lookAt(index + SHOWN_AT_FIRST / 3, { onlyIfHidden: index });
    this.say(this.mark.note);
  }

  clearMark() {
    this.mark = null;
    this.drawMark();
    this.say(this.remark());
  }

  drawMark() {
    const { marker } = this.colours;
    const { time, price, text, position } = this.mark ?? {};
    this.markers.setMarkers(this.mark ? [{ time, price, text, position, color: marker, shape: "circle", size: 1.5 }] : []);
  }

  /** The beginning of the interval that holds `time` (milliseconds), in seconds as the chart counts. */
  startOf(time) {
    const length = SECONDS[this.candles.interval];
    return Math.floor(time / 1000 / length) * length;
  }

  /** Candles as they are pushed. */
  update(pushed) {
    const { symbol, interval, candles: rows } = pushed;
    const { candles } = this;
    if (!candles || symbol !== candles.symbol || interval !== candles.interval) return;
    this.pushed = pushed;
    if (!rows.length || !candles.reachesNow || this.section.ariaBusy === "true") return;
    const wasEmpty = candles.rows.length === 0;
    const before = candles.rows.at(-1)?.start;
    if (before && rows[0].start > before) return this.reload(); // what lies between may have become complete, or was missed
    if (before && rows[0].start < candles.rows[0].start) return this.reload(); // there is more of the past by now
    const changed = rows.filter((row) => candles.put(row));
    const isLastOnly = changed.every((row) => row.start === before) && this.countHollow() === this.hollow;
    if (wasEmpty || !isLastOnly) return this.setData(); // the chart takes no update of the past
    if (this.learn(changed)) this.setPrecision();
    for (const row of changed) {
      this.prices.update(this.bar(row));
      this.volumes.update(volume(row));
    }
    this.showLegend();
  }

  /** What the status says of gaps: when one was found or closed, candles may have become whole. */
  setGaps({ open_gaps: open, missing_trades: missing, last_gap: gap, unavailable_trades: unavailable }) {
    const before = this.gaps;
    const newest = gap?.id ?? null;
    this.gaps = { open, missing, newest, unavailable };
    if (open !== before.open || newest !== before.newest || unavailable !== before.unavailable) this.reload();
  }

  async reload() {
    const { candles } = this;
    if (!candles || candles === this.reloading) return;
    this.reloading = candles;
    await this.try(candles, async () => {
      const first = candles.rows[0]?.start;
      await candles.reload(Math.floor(this.chart.timeScale().getVisibleLogicalRange()?.from ?? 0));
      if (candles !== this.candles) return;
      const seen = this.chart.timeScale().getVisibleLogicalRange();
      this.setData();
      if (first) this.keepInView(seen, this.indexOf(first));
    });
    if (this.reloading === candles) this.reloading = null;
  }

  /** So many candles have come before those that were `seen`. */
  keepInView(seen, added) {
    const { rows, reachesNow } = this.candles;
    if (added <= 0 || !seen) return;
    if (reachesNow && seen.to >= rows.length - added - 1) this.lookAt(rows.length - 1);
    else this.chart.timeScale().setVisibleLogicalRange({ from: seen.from + added, to: seen.to + added });
  }

  setData() {
    const { rows } = this.candles;
    this.learn(rows);
    this.setPrecision();
    this.prices.setData(rows.map((row) => this.bar(row)));
    this.volumes.setData(rows.map(volume));
    this.hollow = this.countHollow();
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range) this.showWayBack(range);
    this.drawMark();
    this.describe();
    if (this.cursor === null) this.showLegend();
    else this.showCursor();
  }

  /** What is drawn, for whoever looks at the element and not at the pixels: how many, how many of them hollow or the
   *  exchange's own, from when to when. */
  describe() {
    const { rows } = this.candles;
    this.canvas.dataset.candles = rows.length;
    this.canvas.dataset.hollow = this.hollow;
    this.canvas.dataset.theirs = rows.filter(isTheirs).length;
    this.canvas.dataset.first = rows[0]?.start ?? "";
    this.canvas.dataset.last = rows.at(-1)?.start ?? "";
  }

  learn(rows) {
    const { symbol } = this.candles;
    return rows.flatMap(({ high, low }) => [high, low]).map((price) => learnDigits(symbol, price)).some(Boolean);
  }

  setPrecision() {
    const precision = digits(this.candles.symbol);
    this.prices.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
  }

  countHollow() {
    return this.candles.rows.filter((row) => this.candles.lacksTrades(row, this.now())).length;
  }

  /** One that lacks trades is hollow; one of the exchange's own is grey, darker where it fell. */
  bar(row) {
    const { open, high, low, close } = row;
    const bar = { time: seconds(row), open: +open, high: +high, low: +low, close: +close };
    const { muted, volume } = this.colours;
    if (isTheirs(row)) return { ...bar, ...inColour(bar.close < bar.open ? muted : volume) };
    return this.candles.lacksTrades(row, this.now()) ? { ...bar, ...inColour(muted), color: "transparent" } : bar;
  }

  indexAt(time) {
    return this.candles.rows.findIndex((row) => seconds(row) === time);
  }

  indexOf(start) {
    return this.candles.rows.findLastIndex((row) => row.start === start);
  }

  /** The numbers in words: of the candle that the keyboard or the pointer is on, else of the newest. */
  showLegend() {
    const { rows, symbol, interval } = this.candles;
    const row = rows[this.indexOf(this.cursor ?? this.hovered)] ?? rows.at(-1);
    const start = this.legend.querySelector('[data-slot="start"]');
    const incomplete = this.legend.querySelector('[data-slot="incomplete"]');
    if (!row) {
      start.textContent = "\u00a0";
      fill(this.legend, { values: "" });
      incomplete.hidden = true;
      return;
    }
    const [open, high, low, close] = [row.open, row.high, row.low, row.close].map((price) => inDigits(symbol, price));
    const count = row.trade_count.toLocaleString("en-US");
    const text = `${inUtc(row.start)}, ${interval}`;
    if (start.textContent !== text) start.textContent = text;
    showLocalTime(start, row.start);
    fill(this.legend, { values: `Open ${open} High ${high} Low ${low} Close ${close} Volume ${row.volume} Trades ${count}` });
    const reason = row.complete ? "" : this.reason(row);
    if (incomplete.textContent !== reason) incomplete.textContent = reason;
    incomplete.classList.toggle("growing", [GROWING, YOUNG, THEIRS].includes(reason));
    incomplete.hidden = row.complete;
  }

  reason(row) {
    const { rows, reachesNow, reachesBeginning, interval } = this.candles;
    if (isTheirs(row)) return THEIRS;
    if ((seconds(row) + SECONDS[interval]) * 1000 > this.now()) return GROWING;
    if (row === rows[0] && reachesBeginning) return "Not complete: the tape begins in it.";
    if (!this.candles.lacksTrades(row, this.now())) return YOUNG;
    if (reachesNow && row === rows.at(-1)) return "Not complete: no later trade has shown yet that it is.";
    if (this.gaps.open || this.gaps.missing) return "Not complete: trades of it are missing, and being fetched.";
    if (this.gaps.unavailable) return "Not complete: it lacks trades that the exchange itself no longer has.";
    return "Not complete: its trades or its neighbours' are not all here yet.";
  }

  /** Look at what stands at the right edge; or leave the view as it is when `onlyIfHidden` is in it. */
  lookAt(right, { onlyIfHidden = null } = {}) {
    const scale = this.chart.timeScale();
    const seen = scale.getVisibleLogicalRange();
    if (onlyIfHidden !== null && seen && seen.from < onlyIfHidden && onlyIfHidden < seen.to) return;
    const { length } = this.candles.rows;
    const shown = Math.max(FEWEST_SHOWN, Math.min(SHOWN_AT_FIRST, this.canvas.clientWidth / 8, length));
    scale.setVisibleLogicalRange({ from: right - shown, to: right + 4 });
  }

  /** The newest candle is not in view: there is a button. */
  showWayBack({ to }) {
    const { rows, reachesNow } = this.candles;
    this.nowButton.hidden = !rows.length || (reachesNow && to >= rows.length - 1);
  }

  goToNow() {
    const { symbol, interval, rows, reachesNow } = this.candles;
    if (reachesNow) this.lookAt(rows.length - 1);
    else this.show(symbol, interval);
  }

  async loadMore({ from, to }) {
    const { candles } = this;
    if (!candles?.rows.length || this.loading === candles || this.section.ariaBusy === "true") return;
    const older = from < LOAD_WITHIN && !candles.reachesBeginning;
    const newer = to > candles.rows.length - LOAD_WITHIN && !candles.reachesNow;
    if (!older && !newer) return;
    this.loading = candles;
    const count = candles.rows.length;
    let looked = null; // where, when it was loaded
    await this.try(candles, async () => {
      if (older) await candles.older();
      else await candles.newer();
      if (candles !== this.candles) return;
      const range = this.chart.timeScale().getVisibleLogicalRange();
      const added = older ? candles.rows.length - count : 0;
      this.setData();
      if (!range) return;
      looked = { from: range.from + added, to: range.to + added };
      this.chart.timeScale().setVisibleLogicalRange(looked);
    });
    if (this.loading === candles) this.loading = null;
    if (looked) this.loadMore(looked); // somebody may have gone on meanwhile
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.candles?.rows.length) return;
    if (event.key === "Escape") this.leave();
    else if (event.key in KEYS) this.step(KEYS[event.key]);
    else if (event.key in ZOOM) this.zoom(ZOOM[event.key]);
    else return;
    event.preventDefault();
  }

  step(by) {
    const { rows } = this.candles;
    const last = rows.length - 1;
    const from = this.cursor === null ? last + (by < 0 ? 1 : 0) : this.indexOf(this.cursor);
    const index = Math.max(0, Math.min(last, from + by));
    this.cursor = rows[index].start;
    this.lookAt(index + 10, { onlyIfHidden: index });
    this.showCursor();
    this.spoken.textContent = this.legend.textContent;
  }

  showCursor() {
    const row = this.candles.rows[this.indexOf(this.cursor)];
    if (row) this.chart.setCrosshairPosition(Number(row.close), seconds(row), this.prices);
    this.showLegend();
  }

  /** The keyboard stands on no candle any more. */
  leave() {
    this.cursor = null;
    this.chart.clearCrosshairPosition();
    this.showLegend();
  }

  zoom(factor) {
    const scale = this.chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    scale.setVisibleLogicalRange({ from: to - Math.max(10, (to - from) * factor), to });
  }
}

function seconds({ start }) {
  return milliseconds(start) / 1000;
}

function inColour(colour) {
  return { color: colour, borderColor: colour, wickColor: colour };
}

function volume(row) {
  return { time: seconds(row), value: Number(row.volume) };
}
