// Pages of candles from /candles. In: where the chart stands. Out: candles by the beginning of their interval, in order,
// with prices as text; what is kept has no hole between two pages. Those of source "exchange" stand for trades to come.

import { milliseconds } from "./numbers.js";

const PAGE = 500;
const TIMEOUT_MS = 10_000;
const BESIDE = PAGE / 2;
// The newest candles are not proven whole yet: that takes a neighbour which is whole itself, and some seconds more.
const PROVEN_AFTER_S = 180;

export const SECONDS = { "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14400, "1d": 86400 };

export class Candles {
  constructor(url, symbol, interval) {
    this.url = url;
    this.symbol = symbol;
    this.interval = interval;
    this.rows = [];
    this.reachesBeginning = false;
    this.reachesNow = true;
  }

  /** The newest page; or that around `time` (milliseconds), from which on newer() goes towards now. */
  async load(time = null) {
    const length = SECONDS[this.interval] * 1000;
    const end = time === null || time + BESIDE * length >= Date.now() ? null : time + BESIDE * length;
    const rows = await this.ask(end === null ? {} : { end: iso(end) });
    if (end !== null && rows.length === 0) return this.load();
    this.rows = rows;
    this.reachesBeginning = false;
    this.reachesNow = end === null;
  }

  /** What is known now of the newest ones, and of those from the row `seen` on: some may have become complete. */
  async reload(seen = 0) {
    if (!this.rows.length) return this.load();
    const start = this.rows[Math.max(0, Math.min(seen, this.rows.length - 1))].start;
    const [newest, looked] = await Promise.all([this.reachesNow ? this.ask({}) : [], this.ask({ start })]);
    if (newest.length && newest[0].start > this.rows.at(-1).start) {
      this.rows = newest; // so much was missed that there may be others between
      this.reachesBeginning = false;
    }
    const before = newest.filter((row) => row.start < this.rows[0].start);
    if (before.length) {
      this.rows = [...before, ...this.rows]; // the past of a symbol that is new
      this.reachesBeginning = false;
    }
    for (const row of [...looked, ...newest]) this.put(row);
  }

  async older() {
    const rows = this.rows.length ? await this.ask({ end: this.rows[0].start }) : [];
    this.reachesBeginning = rows.length === 0;
    this.rows = [...rows, ...this.rows];
  }

  /** Towards now; having come there, the last one is read again, since it was growing. */
  async newer() {
    const rows = await this.ask({ start: iso(milliseconds(this.rows.at(-1).start) + SECONDS[this.interval] * 1000) });
    for (const row of rows) this.put(row);
    if (rows.length) return;
    this.reachesNow = true;
    await this.reload(this.rows.length - 1);
  }

  /** Insert or replace one, unless it is older news; one that lies before what is kept is left to older().
   *  True when something is different now. */
  put(row) {
    let index = this.rows.length;
    while (index > 0 && this.rows[index - 1].start > row.start) index -= 1;
    const kept = this.rows[index - 1];
    if (kept?.start === row.start) {
      const isNews = row.trade_count > kept.trade_count || (row.trade_count === kept.trade_count && !kept.complete);
      if (isNews) this.rows[index - 1] = row;
      return isNews && (row.trade_count !== kept.trade_count || row.complete || row.source !== kept.source);
    }
    const belongs = index > 0 || this.rows.length === 0;
    if (belongs) this.rows.splice(index, 0, row);
    return belongs;
  }

  /** Not complete so long after it began that it is not merely waiting for its last trades and its neighbours'. */
  lacksTrades(row, now) {
    const wait = Math.max(2 * SECONDS[this.interval], PROVEN_AFTER_S);
    return !row.complete && !isTheirs(row) && now - milliseconds(row.start) > wait * 1000;
  }

  async ask(parameters) {
    const query = new URLSearchParams({ symbol: this.symbol, interval: this.interval, limit: PAGE, ...parameters });
    const response = await fetch(`${this.url}?${query}`, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(response.status === 503 ? "The database is out of reach." : "No candles came.");
    return response.json();
  }
}

/** The exchange's own, whose trades are not here yet. */
export function isTheirs({ source }) {
  return source === "exchange";
}

function iso(time) {
  return new Date(time).toISOString().slice(0, 16);
}
