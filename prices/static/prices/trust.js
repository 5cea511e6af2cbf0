// The trust panel and the sentence above the prices. In: the status, pushed or asked for, with its words; how it came; the
// newest price's age. Out: words first, colour second. No news is bad news, and is said.

import { inWords } from "./numbers.js";
import { fill, showLocalTime } from "./rows.js";

const UNREACHABLE = {
  level: "red",
  word: "Not now.",
  sentence: "The server does not answer: nothing here is new. This page goes on by itself when it is back.",
};

// A number that nobody stands behind any more is not left standing.
const NOTHING_KNOWN = { age: "unknown" };
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
    fill(this.panel, status.words ?? NOTHING_KNOWN);
    const audit = this.panel.querySelector('[data-slot="audit"]');
    if (status.database) showLocalTime(audit, status.last_audit?.finished_at);
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
    else if (how === null) {
      this.showVerdict(UNREACHABLE);
      fill(this.panel, NOTHING_KNOWN);
    } else if (this.status) this.showVerdict(this.status);
  }

  /** The sentence above the prices; `age` is that of the newest one, in milliseconds. */
  showState(age) {
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
