// What is new, as it comes. In: /stream, or once a second /latest and /status when the stream has no place or is cut
// off. Out: calls of the handlers. A hidden tab lets its place go and asks for prices alone, now and then, for its title.

import { milliseconds } from "./numbers.js";

const POLL_EVERY_MS = 1000;
const POLL_HIDDEN_EVERY_MS = 2000;
const TIMEOUT_MS = 4000;
// A stream says something each second: so long without a word, and it is dead.
const SILENT_AFTER_MS = 3000;
const STREAM_AGAIN_AFTER_MS = 10_000;
// Somebody who scrolls sees other lines all the time.
const SEE_OTHERS_AFTER_MS = 500;
const MOST_SYMBOLS = 100; // that the server takes
const CANDLES_POLLED = 4;

const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

export class Feed {
  /** `urls`: latest, status, stream, candles. `handlers`: prices, movements, candles, status, came (how, "later", or null). */
  constructor(urls, handlers) {
    this.urls = urls;
    this.handlers = handlers;
    this.chart = null;
    this.seen = null; // the symbols that are in view; null: all
    this.seenAt = 0; // when that was said
    this.source = null; // the stream that speaks
    this.next = null; // one that is to take its place when it speaks
    this.query = ""; // what was asked of the newest of the two
    this.heardAt = -Infinity;
    this.streamNotBefore = 0;
    this.ahead = 0; // the server's clock, in milliseconds: an age must not depend on how this machine's is set
    this.wake = () => {}; // ends a hidden tab's pause
  }

  start() {
    document.addEventListener("visibilitychange", () => this.visibilityChanged());
    this.run();
  }

  /** Send this chart's newest candles too. */
  watch(symbol, interval) {
    this.chart = { symbol, interval };
    if (this.source || this.next) this.openStream();
  }

  /** Only these symbols are in view. */
  see(symbols) {
    this.seen = symbols;
    this.seenAt = performance.now();
  }

  visibilityChanged() {
    this.wake();
    if (!document.hidden) {
      this.streamNotBefore = 0;
      return;
    }
    this.closeStream();
    this.handlers.came("later");
  }

  /** For ever: open a stream when there is none and may be one, and ask while none speaks. */
  async run() {
    for (;;) {
      if (document.hidden) {
        await this.poll(["prices"]);
        await this.pauseHidden();
        continue;
      }
      if (Date.now() >= this.streamNotBefore) this.keepStream();
      if ((this.source || this.next) && this.silence() < SILENT_AFTER_MS) {
        await pause(POLL_EVERY_MS / 4);
        continue;
      }
      // Half a connection may stay open for ever.
      if ((this.source || this.next) && this.silence() > STREAM_AGAIN_AFTER_MS) {
        this.closeStream();
        this.openStream();
      }
      const answered = await this.poll(["prices", "status", "candles"]);
      if (this.silence() >= SILENT_AFTER_MS && !document.hidden) this.handlers.came(answered ? "polling" : null);
      await pause(POLL_EVERY_MS);
    }
  }

  /** For how long the stream has said nothing, in milliseconds. */
  silence() {
    return performance.now() - this.heardAt;
  }

  /** One there is, or is to be; and what it sends is what is wanted now. */
  keepStream() {
    if (this.next) return;
    const isCalm = performance.now() - this.seenAt > SEE_OTHERS_AFTER_MS;
    if (!this.source || (isCalm && this.streamQuery() !== this.query)) this.openStream();
  }

  /** What to ask of the stream: the chart's candles, and prices of what is in view and of the chart's symbol. */
  streamQuery() {
    const parameters = [];
    if (this.seen) {
      const symbols = new Set([this.chart?.symbol, ...this.seen].filter(Boolean));
      parameters.push(`symbols=${[...symbols].slice(0, MOST_SYMBOLS).sort().join()}`);
    }
    if (this.chart) parameters.push(`candles=${this.chart.symbol}`, `interval=${this.chart.interval}`);
    return parameters.join("&");
  }

  /** A stream that speaks goes on until the new one does: nothing is missed, nothing flickers. */
  openStream() {
    this.next?.close();
    this.query = this.streamQuery();
    const source = new EventSource([this.urls.stream, this.query].filter(Boolean).join("?"));
    this.next = source;
    if (!this.source) this.heardAt = performance.now(); // it gets its time to begin
    for (const name of ["prices", "movements", "candles", "status"]) {
      source.addEventListener(name, (event) => {
        if (source === this.next) this.takeOver();
        if (source !== this.source) return;
        this.heardAt = performance.now();
        this.pass(name, JSON.parse(event.data));
        this.handlers.came("stream");
      });
    }
    source.addEventListener("error", () => {
      // Cut off: the browser tries again by itself. Refused (no place, or a proxy's word): it does not.
      if (source.readyState === EventSource.CLOSED) this.refuse(source);
    });
  }

  takeOver() {
    this.source?.close();
    this.source = this.next;
    this.next = null;
  }

  /** The other one, if there is one, goes on. */
  refuse(source) {
    if (source === this.next) this.next = null;
    else if (source === this.source) this.source = null;
    else return;
    this.query = "";
    if (!this.source) this.heardAt = -Infinity;
    this.streamNotBefore = Date.now() + STREAM_AGAIN_AFTER_MS;
  }

  closeStream() {
    this.source?.close();
    this.next?.close();
    this.source = this.next = null;
    this.heardAt = -Infinity;
  }

  pass(name, news) {
    if (name === "status") {
      const ahead = milliseconds(news.time) - Date.now(); // it counts whole seconds
      this.ahead = Math.abs(ahead) > 2000 ? ahead : 0;
    }
    this.handlers[name](news);
  }

  now() {
    return Date.now() + this.ahead;
  }

  async pauseHidden() {
    const shown = new Promise((resume) => (this.wake = resume));
    if (document.hidden) await Promise.race([pause(POLL_HIDDEN_EVERY_MS), shown]);
  }

  /** Ask for these, side by side; true when the server answered. */
  async poll(what) {
    const answers = await Promise.all(what.map((name) => this.ask(name)));
    return answers.some(Boolean);
  }

  async ask(name) {
    const { symbol, interval } = this.chart ?? {};
    const url = {
      prices: document.hidden && symbol ? `${this.urls.latest}?symbol=${symbol}` : this.urls.latest,
      status: this.urls.status,
      candles: symbol && `${this.urls.candles}?symbol=${symbol}&interval=${interval}&limit=${CANDLES_POLLED}`,
    }[name];
    if (!url) return false;
    try {
      const response = await fetch(url, {
        headers: { Accept: "application/json" },
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (!response.ok) return response.status === 503; // the server lives; /status says what is wrong
      const body = await response.json();
      this.pass(name, name === "candles" ? { symbol, interval, candles: body } : body);
      return true;
    } catch {
      return false;
    }
  }
}
