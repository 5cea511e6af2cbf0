// The three forms, answered in place. In: a form's fields. Out: the API's answer below it, or its errors beside the
// fields they belong to; and an address that gives the same answer to whoever opens it.

import { makeRow, parseExactly } from "./rows.js";

const TIMEOUT_MS = 10_000;

export function answerInPlace(section) {
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
      answer.replaceChildren(...answerRows(section, body, fields), linkTo(call));
    } else {
      answer.replaceChildren(...(body.detail ? [sentence(body.detail)] : []));
    }
  });
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

function linkTo(call) {
  const link = document.createElement("a");
  link.href = call;
  link.textContent = call;
  const paragraph = document.createElement("p");
  paragraph.className = "call";
  paragraph.append(link);
  return paragraph;
}

function sentence(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "error";
  paragraph.textContent = text;
  return paragraph;
}
