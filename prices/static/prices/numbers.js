// Exact numbers as text. In: prices as the API writes them, without trailing zeros. Out: differences, and the same
// digits for every price of a symbol. Nothing here becomes a float; only the chart's pixels do.

const DECIMALS = 8; // as many as the tape keeps
const digitsOf = new Map();

/** Remember how many digits after the point a symbol's prices have: the most ever seen. True when there are more now. */
export function learnDigits(symbol, price) {
  const digits = price?.split(".")[1]?.length ?? 0;
  if (digits <= (digitsOf.get(symbol) ?? 0)) return false;
  digitsOf.set(symbol, digits);
  return true;
}

export function digits(symbol) {
  return digitsOf.get(symbol) ?? 0;
}

/** 61930 as 61930.00 where the symbol has prices like 61928.31. */
export function inDigits(symbol, price) {
  if (!/^[+−-]?[\d.]+$/.test(price ?? "")) return price;
  const [whole, fraction = ""] = price.split(".");
  const padded = fraction.padEnd(digits(symbol), "0");
  return padded ? `${whole}.${padded}` : whole;
}

/** The price as a whole number of its smallest unit. */
export function scaled(price) {
  const [whole, fraction = ""] = price.split(".");
  return BigInt(whole + fraction.padEnd(DECIMALS, "0"));
}

/** +2.5, −0.01: a minus sign as wide as the plus. */
export function withSign(change) {
  return change.replace("-", "−");
}

/** What stands before a number that the exchange's own candles tell, whose trades are not all here yet. */
export function about(source) {
  return source === "exchange" ? "≈ " : "";
}

/** 1 s, 5 min, 3 h, 4 days. */
export function inWords(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

/** Three decimals, as a date has in JavaScript: not every browser reads six. */
export function milliseconds(time) {
  return Date.parse(`${time.slice(0, 23)}${time.length < 17 ? ":00" : ""}Z`);
}
