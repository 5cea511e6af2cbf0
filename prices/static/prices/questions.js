// The three forms, answered in place. In: a form's fields. Out: the API's answer below it, or its errors beside the
// fields they belong to; an address that gives the same answer to whoever opens it, the curl line, a mark on the chart.

import { makeRow, parseExactly } from "./rows.js";

const TIMEOUT_MS = 10_000;
const COPIED_FOR_MS = 2000;

/** `mark(kind, row)` shows an answer on the chart. */
export function answerInPlace(section, mark) {
  const form = section.querySelector("form");
  let latestQuestion = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const question = ++latestQuestion;
    const fields = enteredFields(form);
    const call = apiCall(form, fields);
    form.ariaBusy = "true";
    const { status, body } = await ask(call);
    if (question !== latestQuestion) return; // asked again in the meantime
    form.ariaBusy = null;
    history.replaceState(null, "", `${location.pathname}?${encode(fields)}#${section.id}`);
    showErrors(form, status === 400 ? body : {});
    const answer = section.querySelector(".answer");
    if (status === 200) {
      answer.replaceChildren(...answerRows(section, body, fields), callLine(call));
      mark(section.id, body);
    } else {
      answer.replaceChildren(...(body.detail ? [sentence(body.detail)] : []));
    }
  });
  // The address was that of an answer: it is there already, and the script's own adds the mark and the curl line.
  if (new URLSearchParams(location.search).get("ask") === section.id) form.requestSubmit();
}

function enteredFields(form) {
  return new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
}

function apiCall(form, fields) {
  const parameters = new URLSearchParams(fields);
  parameters.delete("ask");
  return [form.dataset.api, encode(parameters)].filter(Boolean).join("?");
}

function encode(parameters) {
  return parameters.toString().replaceAll("%3A", ":");
}

/** Never throws: a server that can't be reached has an answer in words too. */
async function ask(call) {
  try {
    const response = await fetch(call, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return { status: response.status, body: parseExactly(await response.text()) };
  } catch {
    return { status: 0, body: { detail: "The server does not answer. Try again in a few seconds." } };
  }
}

function answerRows(section, body, fields) {
  const rows = Array.isArray(body) ? body : [body];
  const none = { symbol: fields.get("symbol") ?? "No symbol", price: null, timestamp: null };
  return (rows.length ? rows : [none]).map((row) => makeRow(section.querySelector("template"), row));
}

/** Each error stands beside its field and is tied to it by aria-describedby; the first wrong field gets the focus. */
function showErrors(form, errors) {
  for (const field of form.querySelectorAll("[aria-describedby]")) {
    const error = document.getElementById(field.getAttribute("aria-describedby"));
    const wrong = field.name in errors;
    error.textContent = wrong ? errors[field.name].join(" ") : "";
    error.hidden = !wrong;
    if (wrong) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
  form.querySelector("[aria-invalid]")?.focus();
}

/** The API's own address of the answer, and the line that asks for it elsewhere. */
function callLine(call) {
  const line = document.createElement("p");
  line.className = "call";
  const link = document.createElement("a");
  link.href = call;
  link.textContent = call;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Copy as curl";
  button.addEventListener("click", () => copy(`curl '${new URL(call, location.href)}'`, button));
  line.append(link, " ", button);
  return line;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    prompt("Copy this line:", text); // a page without TLS, from another machine, has no clipboard
  }
  setTimeout(() => (button.textContent = "Copy as curl"), COPIED_FOR_MS);
}

function sentence(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "error";
  paragraph.textContent = text;
  return paragraph;
}
