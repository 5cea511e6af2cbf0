// The lines of a long table, of which only those near the view are in the page. In: symbols in order, where the box stands,
// keys. Out: one element a symbol, made by `make`; rows of space stand for all others, so that the box scrolls as if all
// were there.

const BEYOND = 5; // lines kept above and below the view
const KEYS = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };

export class Lines {
  /** `make(symbol)` gives a new line, `choose(symbol)` is what Enter and a click do, `moved()` hears of a new view. */
  constructor(box, { make, choose, moved }) {
    this.box = box;
    this.make = make;
    this.moved = moved;
    this.body = box.querySelector("tbody");
    this.head = box.querySelector("thead");
    this.height = this.body.rows[0].getBoundingClientRect().height;
    this.order = [];
    this.drawn = new Map(); // by symbol
    this.active = null; // the symbol that the keyboard stands on
    this.above = space();
    this.below = space();
    this.body.replaceChildren(this.above, this.below);
    box.tabIndex = -1; // its lines are what Tab leads to
    box.addEventListener("scroll", () => this.draw());
    box.addEventListener("keydown", (event) => this.press(event));
    this.body.addEventListener("focusin", (event) => this.activate(symbolOf(event.target)));
    this.body.addEventListener("click", (event) => symbolOf(event.target) && choose(symbolOf(event.target)));
    new ResizeObserver(() => this.measure()).observe(box);
  }

  measure() {
    const [line] = this.drawn.values();
    if (line) this.height = line.getBoundingClientRect().height || this.height;
    this.draw();
  }

  setOrder(symbols) {
    this.order = symbols;
    this.box.querySelector("table").ariaRowCount = symbols.length + 1;
    this.draw();
  }

  draw() {
    const [first, last] = this.range(BEYOND);
    const wanted = this.order.slice(first, last);
    const hadFocus = this.body.contains(document.activeElement);
    this.keep(this.below, this.order.length); // were it shorter for a moment, the box would scroll back
    this.forget(new Set(wanted));
    let previous = this.above;
    wanted.forEach((symbol, index) => {
      const line = this.drawLine(symbol, first + index);
      if (previous.nextSibling !== line) previous.after(line);
      previous = line;
    });
    this.keep(this.above, first);
    this.keep(this.below, this.order.length - last);
    this.setTabStop();
    if (hadFocus && !this.body.contains(document.activeElement)) {
      (this.button(this.active) ?? this.box).focus({ preventScroll: true });
    }
    this.moved();
  }

  drawLine(symbol, index) {
    let line = this.drawn.get(symbol);
    if (!line) {
      line = this.make(symbol);
      line.dataset.symbol = symbol;
      this.drawn.set(symbol, line);
    }
    line.ariaRowIndex = index + 2; // the first is the head
    return line;
  }

  /** Room for so many lines. */
  keep(space, lines) {
    space.firstChild.style.height = `${lines * this.height}px`;
  }

  forget(wanted) {
    for (const [symbol, line] of this.drawn) {
      if (wanted.has(symbol)) continue;
      line.remove();
      this.drawn.delete(symbol);
    }
  }

  /** The first of the lines in view and the one after the last, and so many more at both ends. */
  range(more) {
    const top = this.box.scrollTop;
    const bottom = top + this.box.clientHeight - this.head.clientHeight;
    const first = Math.max(0, Math.floor(top / this.height) - more);
    return [Math.min(first, this.order.length), Math.min(this.order.length, Math.ceil(bottom / this.height) + more)];
  }

  visible() {
    return this.order.slice(...this.range(0));
  }

  button(symbol) {
    return this.drawn.get(symbol)?.querySelector("button");
  }

  activate(symbol) {
    this.active = symbol;
    this.setTabStop();
  }

  /** Tab comes to one line only; arrow keys go on from there. */
  setTabStop() {
    const stop = this.drawn.has(this.active) ? this.active : this.visible()[0];
    for (const symbol of this.drawn.keys()) this.button(symbol).tabIndex = symbol === stop ? 0 : -1;
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.head.contains(event.target)) return;
    const page = Math.max(1, this.visible().length - 2);
    const by = { ...KEYS, PageUp: -page, PageDown: page }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const at = this.order.indexOf(this.active);
    this.goTo(at === -1 ? this.range(0)[0] : at + by);
  }

  /** Focus the line at this place in the order, or the nearest that there is. */
  goTo(place) {
    if (!this.order.length) return;
    const index = Math.max(0, Math.min(this.order.length - 1, place));
    const top = index * this.height;
    const room = this.box.clientHeight - this.head.clientHeight - this.height;
    this.box.scrollTop = Math.min(top, Math.max(this.box.scrollTop, top - room));
    this.active = this.order[index];
    this.draw();
    this.button(this.active).focus({ preventScroll: true });
  }
}

function symbolOf(element) {
  return element.closest("tr")?.dataset.symbol;
}

function space() {
  const row = document.createElement("tr");
  row.className = "space";
  row.ariaHidden = "true";
  row.insertCell();
  return row;
}
