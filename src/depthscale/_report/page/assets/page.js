// What a page does: draws its charts, fills its tables, and keeps one selected place (a layer, an operation) in all of them.
"use strict";
const views = {};
let selected = -1;

const shown = (v) =>
  v === null || v === undefined ? "–"
  : typeof v === "string" ? v
  : v === 0 || Number.isInteger(v) && Math.abs(v) < 1e6 ? String(v)
  : Math.abs(v) >= 1e4 || Math.abs(v) < 1e-3 ? v.toExponential(2)
  : v.toPrecision(4);

function select(at) {
  selected = at;
  for (const view of Object.values(views))
    if ("selected" in view.getState().signals) view.signal("selected", at).runAsync();
  for (const table of tables) table.mark(at);
  document.dispatchEvent(new CustomEvent("selected", { detail: at }));
  for (const out of document.querySelectorAll("output.readout:not(#explored)")) out.textContent = reading(at) ?? out.dataset.hint;
}

// The selected row of the first table, in words.
function reading(at) {
  const { columns, rows } = page.table ?? { rows: [] };
  const row = rows.find((r) => r[0] === at);
  return row && columns.map((name, i) => `${name} ${shown(row[i])}`).join(" · ");
}

async function draw(id, spec) {
  const place = document.getElementById(id);
  const { view } = await vegaEmbed(place, spec, { ast: true, actions: false, renderer: "svg", tooltip: { disableDefaultStyle: true } });
  views[id] = view;
  place.querySelector("svg").setAttribute("aria-hidden", "true"); // the figure carries the text alternative
  const ends = place.dataset.axis === "block" ? page.ends : null; // its places are blocks: each stands for its last operation
  const pick = (event, item) => {
    let at = item?.datum?.at;
    if (at === undefined && place.dataset.axis !== "y" && event.offsetX !== undefined)
      at = Math.round(view.scale("x").invert(event.offsetX - view.origin()[0]));
    if (ends) at = ends[at];
    if (at >= 0 && at <= page.last) select(at);
  };
  if (place.dataset.axis) view.addEventListener("click", pick);
}

// Arrow keys on a chart go from layer to layer; Escape lets go.
function keys(event) {
  const step = { ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1 }[event.key];
  if (event.key === "Escape") select(-1);
  else if (step && event.currentTarget.dataset.axis === "block") {
    const here = page.ends.findIndex((end) => selected <= end);
    select(page.ends[selected < 0 ? 0 : Math.min(page.ends.length - 1, Math.max(0, here + step))]);
  } else if (step) select(Math.min(page.last, Math.max(0, selected < 0 ? 0 : selected + step)));
  else return;
  event.preventDefault();
}

// A table whose rows exist only where they are seen. Sorts by a column, filters by text or by a condition such as "gradient > 2".
class Table {
  static ROW = 30; // pixels
  static MOST_PRINTED = 400;
  static LONG = 16; // letters of a name that a printed column has room for

  constructor(place, { columns, rows }) {
    Object.assign(this, { place, columns, all: rows, rows, by: -1, down: false });
    this.box = place.querySelector(".rows");
    this.head = place.querySelector("thead tr");
    this.body = place.querySelector("tbody");
    columns.forEach((name, i) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.addEventListener("click", () => this.sort(i));
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.dataset.name = name;
      cell.className = typeof rows[0]?.[i] === "string" ? "name" : "";
      cell.append(button);
      this.head.append(cell);
    });
    place.querySelector("input").addEventListener("input", (event) => this.filter(event.target.value));
    this.box.addEventListener("scroll", () => this.fill());
    this.box.addEventListener("keydown", (event) => this.key(event));
    addEventListener("resize", () => this.fill());
    this.fill();
  }

  sort(i) {
    this.down = this.by === i && !this.down;
    this.by = i;
    [...this.head.children].forEach((cell, j) => cell.setAttribute("aria-sort", j !== i ? "none" : this.down ? "descending" : "ascending"));
    this.order();
  }

  filter(text) {
    const condition = text.match(/^\s*(.+?)\s*([<>])\s*([-+.\deE]+)\s*$/);
    const column = condition ? this.columns.findIndex((name) => name.toLowerCase().startsWith(condition[1].toLowerCase())) : -1;
    const wanted = text.trim().toLowerCase();
    this.kept = column >= 0
      ? (row) => row[column] !== null && (condition[2] === ">" ? row[column] > +condition[3] : row[column] < +condition[3])
      : (row) => row.some((cell, i) => (i === 0 ? String(cell) : shown(cell)).toLowerCase().startsWith(wanted) || (typeof cell === "string" && cell.toLowerCase().includes(wanted)));
    this.order();
  }

  order() {
    this.rows = this.kept ? this.all.filter(this.kept) : [...this.all];
    const { by } = this, sign = this.down ? -1 : 1;
    if (by >= 0) this.rows.sort((a, b) => (a[by] === null) - (b[by] === null) || sign * (a[by] < b[by] ? -1 : a[by] > b[by] ? 1 : 0));
    this.place.querySelector(".count").textContent = this.rows.length === this.all.length ? "" : `${this.rows.length} of ${this.all.length} rows`;
    this.fill();
  }

  fill(first = Math.max(0, Math.floor(this.box.scrollTop / Table.ROW) - 10), number = Math.ceil(this.box.clientHeight / Table.ROW) + 20) {
    const gap = (rows) => Object.assign(document.createElement("tr"), { className: "gap", ariaHidden: "true", style: `height:${rows * Table.ROW}px` });
    const part = this.rows.slice(first, first + number).map((row) => {
      const line = document.createElement("tr");
      for (const cell of row) line.append(Table.cell(cell));
      line.dataset.at = row[0];
      line.setAttribute("aria-selected", row[0] === selected);
      line.addEventListener("click", () => select(row[0]));
      return line;
    });
    this.body.replaceChildren(gap(Math.min(first, this.rows.length)), ...part, gap(Math.max(0, this.rows.length - first - number)));
  }

  // Of a name too long for its column the beginning is cut: the end tells names apart.
  static cell(value) {
    const cell = document.createElement("td");
    if (typeof value !== "string") return Object.assign(cell, { textContent: shown(value) });
    cell.append(Object.assign(document.createElement("bdi"), { textContent: value }));
    return Object.assign(cell, { className: value.length > Table.LONG ? "name long" : "name", title: value });
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !this.rows.length) return;
    const here = this.rows.findIndex((row) => row[0] === selected);
    const next = Math.min(this.rows.length - 1, Math.max(0, here + step));
    select(this.rows[next][0]);
    event.preventDefault();
  }

  mark(at) {
    const i = this.rows.findIndex((row) => row[0] === at);
    if (i >= 0) {
      const top = i * Table.ROW, seen = this.box.clientHeight - 2 * Table.ROW;
      if (top < this.box.scrollTop || top > this.box.scrollTop + seen) this.box.scrollTop = top - seen / 2;
    }
    this.fill();
  }

  print() {
    this.fill(0, Table.MOST_PRINTED);
    this.body.lastChild.style.height = "0";
    if (this.rows.length > Table.MOST_PRINTED) {
      const cell = Object.assign(document.createElement("td"), { colSpan: this.columns.length, textContent: `${this.rows.length - Table.MOST_PRINTED} more rows are in the page itself` });
      this.body.lastChild.append(cell);
    }
  }
}

const tables = [...document.querySelectorAll(".layers")].map((place) => new Table(place, page[place.dataset.table]));
for (const place of document.querySelectorAll(".chart[data-axis]")) place.addEventListener("keydown", keys);
// A chart behind a switch takes its width when it is first seen.
const switches = [...document.querySelectorAll("details.more")];
for (const more of switches) more.addEventListener("toggle", () => dispatchEvent(new Event("resize")));
addEventListener("beforeprint", () => switches.forEach((more) => { more.open = true; }));
addEventListener("beforeprint", () => tables.forEach((table) => table.print()));
addEventListener("afterprint", () => tables.forEach((table) => table.fill()));
const drawn = Promise.all(Object.entries(page.charts).map(([id, spec]) => draw(id, spec))).then(() => {
  document.documentElement.dataset.drawn = "true";
});
