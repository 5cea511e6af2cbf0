// The trust panel and the sentence above the prices. In: the status, pushed or asked for; how it came; the newest age.
// Out: words first, colour second. No news is bad news, and is said.

import { inWords } from "./numbers.js";
import { fill, showLocalTime } from "./rows.js";

const UNREACHABLE = {
  level: "red",
  word: "Not now.",
  sentence: "The server does not answer: nothing here is new. This page goes on by itself when it is back.",
};

const ASKING = { level: "amber", word: "Asking.", sentence: "This page was in the background." };

export class Trust {
  constructor(panel, sentences, staleAfterMs) {
    this.panel = panel;
    this.sentences = sentences;
    this.staleAfterMs = staleAfterMs;
    this.status = null;
    this.came = "snapshot";
  }

  show(status) {
    this.status = status;
    this.showVerdict(status);
    if (!status.database) return;
    const { trades_per_second: rate, lag_s: lag, open_gaps: gaps, missing_trades: missing } = status;
    const { unavailable_trades: unavailable, last_audit: audit, last_gap: gap } = status;
    fill(this.panel, {
      rate: rate === null ? "–" : grouped(rate, 1),
      lag: lag === null ? "–" : `${lag.toFixed(2)} s`,
      gaps: grouped(gaps),
      missing: grouped(missing) + (unavailable ? `, and ${grouped(unavailable)} the exchange lacks` : ""),
      audit: audit
        ? `${audit.proven ? "proven" : "NOT proven"}, ${inWords(audit.age_s)} ago`
        : `never: run ${document.body.dataset.command} audit_prices`,
      gap: gap ? gapInWords(gap) : "none ever",
    });
    showLocalTime(this.panel.querySelector('[data-slot="audit"]'), audit?.finished_at);
  }

  showVerdict({ level, word, sentence }) {
    this.panel.dataset.level = level;
    fill(this.panel, { word, sentence });
  }

  /** `how` the newest came: stream, polling, null when nothing comes; "later" in the background. */
  setCame(how) {
    if (how === this.came) return;
    this.came = how;
    if (how === "later") this.showVerdict(ASKING);
    else if (how === null) this.showVerdict(UNREACHABLE);
    else if (this.status) this.showVerdict(this.status);
  }

  showAge(age) {
    fill(this.panel, { age: age === Infinity ? "none yet" : age < 1000 ? "now" : `${inWords(age / 1000)} ago` });
    const state = this.state(age);
    for (const sentence of this.sentences.querySelectorAll("[data-state]")) {
      sentence.hidden = sentence.dataset.state !== state;
    }
    if (state === "stale") fill(this.sentences, { "quiet-for": inWords(age / 1000) });
  }

  state(age) {
    if (this.came === "snapshot" || this.came === "later") return this.came;
    if (this.came === null) return "offline";
    if (this.status?.database === false) return "database";
    if (age === Infinity) return "empty";
    if (age > this.staleAfterMs) return "stale";
    return this.came === "polling" ? "polling" : "live";
  }
}

function gapInWords({ trades, outcome, age_s: age }) {
  const become = { healed: "healed", unavailable: "not at the exchange," }[outcome] ?? "found";
  return `${grouped(trades)} trade${trades === 1 ? "" : "s"}, ${become} ${inWords(age)} ago`;
}

function grouped(number, decimals = 0) {
  return number.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}
