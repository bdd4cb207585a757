// The curve of any setting and depth, from the page's table of predicted factors: logarithms are added, nothing else is computed.
const controls = document.getElementById("controls");

function levels({ steps, top }, depth) {
  const found = [0];
  for (let k = depth; k > 0; k--)
    found.unshift(found[0] + (k === depth && top !== null ? top : steps[Math.min(k, steps.length) - 1]));
  return found;
}

function setting() {
  const { activation, normalizer, batch, depth } = controls.elements;
  const normed = normalizer.value.startsWith("Batch");
  return { key: `${activation.value}|${normalizer.value}|${normed ? page.batches[+batch.value] : "inf"}`, depth: +depth.value, normed, batch: page.batches[+batch.value] };
}

function explore() {
  const { key, depth, normed, batch } = setting();
  const curve = page.grid[key];
  document.getElementById("batch-value").textContent = normed ? batch.replace("inf", "∞") : "no matter";
  controls.elements.batch.disabled = !normed;
  document.getElementById("depth-value").textContent = depth;
  const zero = curve.top === "zero";
  const rms = zero ? [1] : levels(curve, depth).map((level) => 2 ** (level / 2));
  const rate = 2 ** curve.steps.at(-1);
  document.getElementById("explored").textContent = zero
    ? "The gradient below the last layer is exactly 0: with this loss, a last Batch Norm deletes it all."
    : `×${rate.toPrecision(5)} per layer in mean square (×${Math.sqrt(rate).toPrecision(5)} in RMS); from the last layer to the first, ×${shown(rms[1] / rms.at(-1))} in RMS`;
  const points = page.points[key]?.depth === depth ? page.points[key].rms.map((y, at) => ({ at, y })) : [];
  const room = 1.1, { explorer: view } = views;
  view.signal("xLow", -0.02 * depth).signal("xHigh", 1.02 * depth);
  view.signal("yLow", Math.min(...rms) / room).signal("yHigh", Math.max(...rms) * room);
  view.data("curve", rms.map((y, i) => ({ at: zero ? depth : i, y }))).data("points", points).runAsync();
}

controls.addEventListener("input", explore);
drawn.then(explore);
