const panels = [...document.querySelectorAll(".panel")], dots = [...document.querySelectorAll(".dot")];
const drawn = [...document.querySelectorAll("svg [data-step]")], last = panels.length - 1;
const circuit = document.querySelector(".circuit"), back = document.getElementById("back"), next = document.getElementById("next");
let at = 0;
function show(panel) {
  at = Math.max(0, Math.min(last, panel));
  const step = last - at;
  [panels, dots].forEach(all => all.forEach(each => each.classList.toggle("on", Number(each.dataset.panel) === at)));
  drawn.forEach(each => {
    const own = Number(each.dataset.step);
    each.classList.toggle("on", at > 0 && own === step);
    each.classList.toggle("seen", at > 0 && own >= step);
  });
  back.disabled = at === 0;
  next.disabled = at === last;
  const current = document.querySelector("svg .node.on, svg .leaf.on"), frame = circuit.getBoundingClientRect();
  const middle = current ? current.getBoundingClientRect().left - frame.left + circuit.scrollLeft : 0;
  circuit.scrollTo({ left: middle - frame.width / 2, behavior: "smooth" });
}
document.documentElement.classList.add("js");
back.onclick = () => show(at - 1);
next.onclick = () => show(at + 1);
dots.forEach(dot => dot.onclick = () => show(Number(dot.dataset.panel)));
drawn.filter(each => each.matches(".node, .leaf")).forEach(each => each.onclick = () => show(last - Number(each.dataset.step)));
document.addEventListener("keydown", event => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  show(to);
});
show(0);
