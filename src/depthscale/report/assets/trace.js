// Blocks of operations: coloured by gain, filled from the table's rows when they are opened, in step with the selection.
const GAIN = page.table.columns.indexOf("log2 contribution");

function tint(element, gain) {
  const share = Math.round(Math.min(1, Math.abs(gain) / 2) * 60);
  element.style.background = `color-mix(in srgb, var(${gain > 0 ? "--vermilion" : "--blue"}) ${share}%, transparent)`;
}

function openBlock(block) {
  if (block.querySelector(".ops")) return;
  const list = Object.assign(document.createElement("ul"), { className: "ops" });
  for (const row of page.table.rows.slice(+block.dataset.first, +block.dataset.last + 1)) {
    const line = Object.assign(document.createElement("li"), { tabIndex: 0 });
    line.dataset.at = row[0];
    const gain = document.createElement("span");
    gain.className = "gain";
    gain.textContent = row[GAIN] === null ? "–" : `×${Math.abs(row[GAIN]) < 40 ? (2 ** row[GAIN]).toPrecision(3) : `2^${row[GAIN].toFixed(0)}`}`;
    if (row[GAIN] !== null) tint(gain, row[GAIN]);
    line.append(...[row[1], row[2]].map((text) => Object.assign(document.createElement("span"), { textContent: text })), gain);
    line.addEventListener("click", () => select(row[0]));
    line.addEventListener("keydown", (event) => event.key === "Enter" && select(row[0]));
    list.append(line);
  }
  block.append(list);
  markOps(block, selected);
}

function markOps(place, at) {
  for (const line of place.querySelectorAll(".ops li")) line.setAttribute("aria-selected", +line.dataset.at === at);
}

const blocks = [...document.querySelectorAll("details.block")];
for (const block of blocks) {
  const gain = block.querySelector(".gain");
  tint(gain, +gain.dataset.gain);
  block.addEventListener("toggle", () => block.open && openBlock(block));
}
for (const button of document.querySelectorAll("button.op")) button.addEventListener("click", () => select(+button.dataset.at));
document.addEventListener("selected", ({ detail: at }) => {
  for (const block of blocks)
    if (+block.dataset.first <= at && at <= +block.dataset.last) { openBlock(block); block.open = true; }
  markOps(document, at);
});
