// Rows of an answer. In: the API's objects. Out: copies of the page's own <template>s, so that all words stand in HTML.

const TIMES = new Set(["timestamp", "actual_timestamp", "minute"]);

/** Parse an answer of the API and keep every digit: JSON.parse would bend the numbers of /minmax into floats. */
export function parseExactly(text) {
  return JSON.parse(text.replace(/("(?:high|low)":\s*)(-?[\d.]+)/g, '$1"$2"'));
}

/** A copy of the template's only element, filled. */
export function makeRow(template, row) {
  const element = template.content.firstElementChild.cloneNode(true);
  fill(element, row);
  return element;
}

/** Write the row's values into the elements that name them in data-slot; data-none is what stands there without one. */
export function fill(element, row) {
  for (const [name, value] of Object.entries(readable(row))) {
    const slot = element.querySelector(`[data-slot="${name}"]`);
    if (slot) slot.textContent = value ?? slot.dataset.none ?? "";
  }
}

function readable(row) {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      TIMES.has(name) && value ? `${value.replace("T", " ")} UTC` : value,
    ]),
  );
}
