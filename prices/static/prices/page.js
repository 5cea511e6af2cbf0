// The page's entry: prices above, the chart, what it is worth, and questions. Without it the page still answers, through
// plain GET forms.

import { makeChart } from "./chart.js";
import { Feed } from "./live.js";
import { inDigits, milliseconds } from "./numbers.js";
import { Cards } from "./prices.js";
import { answerInPlace } from "./questions.js";
import { inUtc, showLocalTime } from "./rows.js";
import { Trust } from "./trust.js";
import { Watchlist } from "./watchlist.js";

const TICK_MS = 250;
const RELOAD_WITHOUT_PAGE_MS = 2000;
const CHOICE = "chart"; // what was last looked at, in this browser
const TITLE = document.title;

const find = (selector) => document.querySelector(selector);
const urls = document.body.dataset;

if (find("#prices")) begin();
else reloadWhenBack(); // the page was made without the database

async function reloadWhenBack() {
  try {
    const signal = AbortSignal.timeout(RELOAD_WITHOUT_PAGE_MS);
    if ((await fetch(urls.latest, { cache: "no-store", signal })).ok) return location.reload();
  } catch {
    // not yet
  }
  setTimeout(reloadWhenBack, RELOAD_WITHOUT_PAGE_MS);
}

function begin() {
  const staleAfterMs = Number(urls.staleAfterS) * 1000;
  const show = (symbol) => chosen.show(symbol);
  const showAndLook = (symbol) => {
    show(symbol);
    bringIntoView(find("#chart"));
  };
  const see = (symbols) => feed.see(symbols);
  const trust = new Trust(find("#trust"), find(".state"), staleAfterMs);
  const feed = new Feed(urls, {
    prices(prices) {
      list.show(prices);
      showTitle();
      tick();
    },
    movements: (movements) => list.showMovements(movements),
    candles: (candles) => chart.update(candles),
    status(status) {
      const isBack = status.database && trust.status?.database === false;
      trust.show(status);
      if (status.database) chart.setGaps(status);
      if (isBack) chart.reload();
    },
    came(how) {
      if (["stream", "polling"].includes(how) && [null, "later"].includes(trust.came)) catchUp();
      trust.setCame(how);
    },
  });
  const list = find(".watchlist")
    ? new Watchlist(find("#prices"), urls, staleAfterMs, { show: showAndLook, see })
    : new Cards(find("#prices"), urls.candles, staleAfterMs, show);
  const chart = makeChart(find("#chart"), urls.candles, {
    watch: (symbol, interval) => feed.watch(symbol, interval),
    now: () => feed.now(),
  });
  const catchUp = () => {
    chart.reload();
    list.loadLines();
  };
  const showTitle = () => entitle(find("#chart-symbol").value, list);
  const chosen = chartChoice(chart, (symbol) => {
    list.choose(symbol);
    showTitle();
  });
  const mark = (kind, answer) => markAnswer(chart, chosen.choose, kind, answer);

  document.querySelectorAll(".question:has([data-api])").forEach((question) => answerInPlace(question, mark));
  document.querySelectorAll(".time").forEach((time) => {
    const iso = time.textContent.trim().replace(" UTC", "").replace(" ", "T");
    if (/^\d{4}-/.test(iso)) showLocalTime(time, iso);
  });
  const tick = () => trust.showState(list.showAges(feed.now()));
  setInterval(tick, TICK_MS);
  feed.start();
}

/** On a phone the chart lies below the list. */
function bringIntoView(element) {
  if (element.getBoundingClientRect().top < innerHeight / 2) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
  element.scrollIntoView({ block: "nearest", behavior });
}

/** The tab's title shows the price of the chart's symbol. */
function entitle(symbol, list) {
  const { price, direction } = list.priceOf(symbol);
  const arrow = { up: " ▲", down: " ▼" }[direction] ?? "";
  document.title = price ? `${inDigits(symbol, price)}${arrow} ${symbol}` : TITLE;
}

/** The symbol and the interval: chosen above the chart or among the prices, kept for the next visit. */
function chartChoice(chart, chosen) {
  const symbols = find("#chart-symbol");
  const intervals = [...document.querySelectorAll("[name=interval]")];
  const interval = () => intervals.find((input) => input.checked).value;

  function choose(symbol) {
    if (![...symbols.options].some((option) => option.value === symbol)) symbols.add(new Option(symbol));
    symbols.value = symbol;
    chosen(symbol);
    keep({ symbol, interval: interval() });
  }

  function show(symbol) {
    choose(symbol);
    chart.show(symbol, interval());
  }

  const kept = recall();
  const known = intervals.find((input) => input.value === kept.interval);
  if (known) known.checked = true;
  symbols.addEventListener("change", () => show(symbols.value));
  for (const input of intervals) input.addEventListener("change", () => show(symbols.value));
  show([...symbols.options].some(({ value }) => value === kept.symbol) ? kept.symbol : symbols.value);
  return { choose, show };
}

function markAnswer(chart, choose, kind, answer) {
  const { symbol } = answer;
  if (kind === "price-at-second" && answer.actual_timestamp) {
    choose(symbol);
    const price = inDigits(symbol, answer.price);
    const text = `${symbol} ${price} at ${inUtc(answer.actual_timestamp)}`;
    chart.showAnswer(symbol, milliseconds(answer.actual_timestamp), { price, text, position: "atPriceMiddle" });
  } else if (kind === "minmax" && answer.high !== null) {
    choose(symbol);
    const [low, high] = [answer.low, answer.high].map((price) => inDigits(symbol, price));
    const text = `${symbol} from ${low} to ${high} in the minute ${inUtc(answer.minute)}`;
    chart.showAnswer(symbol, milliseconds(answer.minute), { price: answer.high, text, position: "atPriceTop", label: "" });
  } else {
    chart.clearMark();
  }
}

function keep(choice) {
  try {
    localStorage.setItem(CHOICE, JSON.stringify(choice));
  } catch {
    // a private window keeps nothing
  }
}

function recall() {
  try {
    return JSON.parse(localStorage.getItem(CHOICE)) ?? {};
  } catch {
    return {};
  }
}
