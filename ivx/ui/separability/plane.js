// The plane of wordings: points glide from layer to layer on the same axes, and a lasso picks those it is drawn around.

const SVG = "http://www.w3.org/2000/svg";
const CLICK = 4; // pixels: a shorter stroke is a click
const NEAR = 9; // pixels from a click to the point that it means

export default function ({ parentElement, data, setTriggerValue }) {
  const figure = parentElement.querySelector("figure");
  const svg = figure.querySelector("svg");
  svg.style.height = `${data.height}px`;
  svg.setAttribute("aria-label", data.alt);
  place(figure.querySelector(".zero"), data.zero);
  dots(svg.querySelector("g"), data);
  names(figure.querySelector(".names"), data.names);
  lasso(svg, data, (numbers) => setTriggerValue("picked", numbers));
}

// Points that are there already move; others are drawn anew.
function dots(group, { dots, chosen }) {
  const key = dots.map(([number, , , kind]) => `${number}${kind}`).join();
  if (group.dataset.key !== key) {
    group.replaceChildren(...dots.map(dot));
    group.dataset.key = key;
  }
  const ringed = new Set(chosen);
  dots.forEach(([number, x, y, , told], i) => {
    const circle = group.children[i];
    place(circle, [x, y]);
    circle.classList.toggle("chosen", ringed.has(number));
    circle.firstChild.textContent = told;
  });
}

function dot([, , , kind]) {
  const circle = document.createElementNS(SVG, "circle");
  circle.setAttribute("class", kind);
  circle.append(document.createElementNS(SVG, "title"));
  return circle;
}

function names(box, names) {
  box.replaceChildren(
    ...names.map(([x, y, text, kind]) => {
      const name = document.createElement("span");
      name.className = kind;
      name.textContent = text;
      place(name, [x, y]);
      return name;
    }),
  );
}

function place(element, [x, y]) {
  element.style.setProperty("--x", `${x}%`);
  element.style.setProperty("--y", `${y}%`);
}

// A stroke around points picks them, a click the point beneath it; with shift held they are added, or let go.
function lasso(svg, { dots, chosen }, pick) {
  const line = svg.querySelector("path");
  let stroke = null;
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  svg.onpointerdown = (event) => {
    if (event.button !== 0) return;
    stroke = [at(event)];
    svg.setPointerCapture(event.pointerId);
  };
  svg.onpointermove = (event) => {
    if (!stroke) return;
    stroke.push(at(event));
    line.setAttribute("d", `M${stroke.join("L")}Z`);
  };
  svg.onpointercancel = () => {
    stroke = null;
    line.setAttribute("d", "");
  };
  svg.onpointerup = (event) => {
    if (!stroke) return;
    const drawn = stroke;
    svg.onpointercancel();
    const { width, height } = svg.getBoundingClientRect();
    const points = dots.map(([number, x, y]) => [number, (x / 100) * width, (y / 100) * height]);
    const clicked = drawn.every((point) => distance(point, drawn[0]) < CLICK);
    const found = clicked ? nearest(points, drawn[0]) : inside(points, drawn);
    if (found.length === 0) return;
    pick(event.shiftKey ? exchanged(chosen, found) : found);
  };
}

const distance = ([a, b], [c, d]) => Math.hypot(a - c, b - d);

function nearest(points, at) {
  const near = points.map(([number, ...point]) => [distance(point, at), number]).filter(([far]) => far < NEAR);
  return near.sort((one, other) => one[0] - other[0]).slice(0, 1).map(([, number]) => number);
}

// Even and odd: a point is inside where a ray from it crosses the stroke an odd number of times.
function inside(points, stroke) {
  const holds = (x, y) =>
    stroke.reduce((odd, [x1, y1], i) => {
      const [x2, y2] = stroke[(i || stroke.length) - 1];
      const crosses = y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1;
      return crosses ? !odd : odd;
    }, false);
  return points.filter(([, x, y]) => holds(x, y)).map(([number]) => number);
}

function exchanged(chosen, found) {
  const all = found.every((number) => chosen.includes(number));
  return all ? chosen.filter((number) => !found.includes(number)) : [...new Set([...chosen, ...found])];
}
