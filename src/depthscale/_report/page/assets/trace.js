// Blocks of operations: coloured by gain, filled from the table's rows when they are opened, in step with the selection.
const GAIN = page.table.columns.indexOf("log2 contribution");

function tint(element, gain) {
  const share = Math.round(Math.min(1, Math.abs(gain) / 2) * 60);
  element.style.background = `color-mix(in srgb, var(${gain > 0 ? "--vermilion" : "--blue"}) ${share}%, transparent)`;
}

function openBlock(block) {
  if (block.querySelector(".ops")) return;
  const list = Object.assign(document.createElement("ul"), { className: "ops" });
  const prefix = `${block.dataset.name}.`;
  for (const row of page.table.rows.slice(+block.dataset.first, +block.dataset.last + 1)) {
    const line = Object.assign(document.createElement("li"), { tabIndex: 0 });
    line.dataset.at = row[0];
    const gain = document.createElement("span");
    gain.className = "gain";
    const log2 = row[GAIN] ?? null;  // without a ledger there is no such column
    gain.textContent = log2 === null ? "–" : `×${Math.abs(log2) < 40 ? (2 ** log2).toPrecision(3) : `2^${log2.toFixed(0)}`}`;
    if (log2 !== null) tint(gain, log2);
    const name = row[1].startsWith(prefix) ? row[1].slice(prefix.length) : row[1];
    line.title = row[1];
    line.append(...[name, row[2]].map((text) => Object.assign(document.createElement("span"), { textContent: text })), gain);
    line.addEventListener("click", () => select(row[0]));
    line.addEventListener("keydown", (event) => event.key === "Enter" && select(row[0]));
    list.append(line);
  }
  block.append(list);
  new ResizeObserver(() => wire(list, +block.dataset.first)).observe(list);
  markOps(block, selected);
}

// What feeds what, beside a block's operations: a dot for each, coloured by its gain, and lines from those that it reads.
const GUTTER = 52, DOT = 4;

function wire(list, first) {
  const lines = [...list.querySelectorAll("li")];
  const heights = lines.map((line) => line.offsetTop + line.offsetHeight / 2);
  const drawing = svg("svg", { class: "wires", width: GUTTER, height: list.offsetHeight, "aria-hidden": "true" });
  const x = GUTTER - 2 * DOT;
  lines.forEach((line, to) => {
    for (const from of new Set(page.sources[+line.dataset.at].map((source) => Math.max(-1, source - first)))) {
      const start = from < 0 ? 0 : heights[from], end = heights[to];
      const reach = to - from === 1 ? 0 : Math.min(10 + 5 * (to - from), (x - 2) / 0.75);  // an arc takes 3/4 of it
      const path = svg("path", { d: `M${x} ${start}C${x - reach} ${start} ${x - reach} ${end} ${x} ${end}` });
      Object.assign(path.dataset, { from: from < 0 ? "" : first + from, to: line.dataset.at });
      drawing.append(path);
    }
  });
  lines.forEach((line, i) => {
    const dot = svg("circle", { cx: x, cy: heights[i], r: DOT });
    const gain = page.table.rows[+line.dataset.at][GAIN] ?? 0;
    dot.style.fill = Math.abs(gain) < 0.1 ? "var(--axis)" : `var(${gain > 0 ? "--vermilion" : "--blue"})`;
    drawing.append(dot);
  });
  list.querySelector(".wires")?.remove();
  list.prepend(drawing);
}

function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function markOps(place, at) {
  for (const line of place.querySelectorAll(".ops li")) line.setAttribute("aria-selected", +line.dataset.at === at);
}

const blocks = [...document.querySelectorAll("details.block")];
for (const block of blocks) {
  const gain = block.querySelector(".gain");
  if (gain) tint(gain, +gain.dataset.gain);
  block.addEventListener("toggle", () => block.open && openBlock(block));
}
for (const button of document.querySelectorAll("button.op")) button.addEventListener("click", () => select(+button.dataset.at));
document.addEventListener("selected", ({ detail: at }) => {
  for (const block of blocks)
    if (+block.dataset.first <= at && at <= +block.dataset.last) { openBlock(block); block.open = true; }
  markOps(document, at);
});
