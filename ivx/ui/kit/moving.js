// The patch, moving: a dot travels from the source's token to its cell, what it can reach lights layer by layer, and the
// answer changes. Whoever asked for less motion sees the end at once.

const SVG = "http://www.w3.org/2000/svg";
const TRAVEL = 850; // ms, and so the two below
const CONE = 900;
const FLIP = 360;
const STEPS = 24; // key frames along the way
const RISE = 0.35; // how far the way bends aside, as a share of its length
const LOOK = 100; // ms between two looks for a chart that is still to be drawn
const PATIENCE = 8000; // ms
const moved = new Set(); // occasions on which it has moved unasked

export default function ({ parentElement, data }) {
  const stage = parentElement.querySelector(".ivx-moving");
  const [button, answer] = [stage.querySelector("button"), stage.querySelector(".answer")];
  const same = stage.dataset.told === JSON.stringify(data);
  const gone = new AbortController();
  const place = () => beside(stage);
  place();
  addEventListener("resize", place, { signal: gone.signal });
  if (!same) {
    stage.dataset.told = JSON.stringify(data);
    clear(stage);
    answer.hidden = true;
  }
  button.onclick = () => play(stage, answer, data);
  if (data.at_once && !moved.has(data.at_once)) {
    moved.add(data.at_once);
    const until = performance.now() + PATIENCE;
    const look = () => {
      if (gone.signal.aborted || performance.now() > until) return;
      place();
      if (cellOf(stage, data)) play(stage, answer, data);
      else setTimeout(look, LOOK);
    };
    look();
  }
  return () => {
    gone.abort();
    clear(stage);
  };
}

// The control stands behind the name of its panel, on the same line.
const column = (stage) => stage.closest('[data-testid="stColumn"]') ?? document;
const chartOf = (stage) => column(stage).querySelector('[data-testid="stVegaLiteChart"] svg');

function beside(stage) {
  const name = column(stage).querySelector(".ivx-head .name");
  if (!name) return;
  const range = document.createRange();
  range.selectNodeContents(name);
  stage.style.setProperty("--left", `${range.getBoundingClientRect().right - stage.getBoundingClientRect().left}px`);
}

function clear(stage) {
  for (const one of column(stage).querySelectorAll(".ivx-moved")) one.remove();
}

// Cells are Vega's marks, known by their own data; one of which nothing is known yet is not there.
function cells(svg) {
  const there = ({ __data__: item }) => item?.datum?.layer !== undefined && item.datum.state !== "empty";
  return [...svg.querySelectorAll("path")].filter((mark) => mark.__data__?.cursor === "pointer" && there(mark));
}

function cellOf(stage, { layer, column }) {
  const svg = chartOf(stage);
  const is = ({ __data__: { datum } }) => datum.layer === layer && datum.column === column;
  return svg ? cells(svg).find(is) : undefined;
}

function play(stage, answer, data) {
  const [svg, cell] = [chartOf(stage), cellOf(stage, data)];
  if (!cell) return;
  clear(stage);
  const drawn = document.createElementNS(SVG, "g");
  drawn.setAttribute("class", "ivx-moved");
  drawn.setAttribute("aria-hidden", "true");
  svg.append(drawn);
  const frame = svg.getBoundingClientRect();
  const box = (mark) => {
    const { left, top, width, height } = mark.getBoundingClientRect();
    return [left - frame.left, top - frame.top, width, height];
  };
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const travelled = still ? 0 : TRAVEL;
  if (!still) travel(drawn, box(cell), frame);
  const layers = reach(svg, data).map((marks) => around(marks.map(box)));
  layers.forEach((band, k) => {
    const lit = rect(drawn, band, "band");
    const delay = travelled + (CONE * k) / layers.length;
    if (!still) lit.animate({ opacity: [0, 1, 0.25] }, { delay, duration: CONE / 2, fill: "both" });
  });
  const edges = [box(cell), ...(layers.length > 1 ? [around(layers.slice(1))] : [])];
  for (const one of edges) appear(rect(drawn, one, "edge"), still ? 0 : travelled + CONE * 0.9, still);
  flip(answer, data, still ? 0 : travelled + CONE, still);
}

// What a state can reach, layer by layer: its own cell; above it, of the same and of all later tokens. Every head reads
// at the answer's position, so that a head reaches all heads above it.
function reach(svg, { layer, column, heads }) {
  const byLayer = new Map();
  for (const mark of cells(svg)) {
    const at = mark.__data__.datum;
    const above = at.layer > layer && (heads || at.column >= column);
    if (!above && !(at.layer === layer && at.column === column)) continue;
    byLayer.set(at.layer, [...(byLayer.get(at.layer) ?? []), mark]);
  }
  return [...byLayer.keys()].sort((a, b) => a - b).map((one) => byLayer.get(one));
}

function around(boxes) {
  const [left, top] = [Math.min(...boxes.map(([x]) => x)), Math.min(...boxes.map(([, y]) => y))];
  const right = Math.max(...boxes.map(([x, , width]) => x + width));
  return [left, top, right - left, Math.max(...boxes.map(([, y, , height]) => y + height)) - top];
}

function rect(drawn, [x, y, width, height], kind) {
  const one = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ x, y, width, height, rx: 2, class: kind })) one.setAttribute(name, value);
  drawn.append(one);
  return one;
}

function appear(one, delay, still) {
  if (!still) one.animate({ opacity: [0, 1] }, { delay, duration: 150, fill: "both" });
}

function travel(drawn, [x, y, width, height], frame) {
  const chip = [...document.querySelectorAll(".ivx-chip.t")].at(-1);
  if (!chip) return;
  const from = chip.getBoundingClientRect();
  const start = [from.left + from.width / 2 - frame.left, from.bottom - frame.top];
  const end = [x + width / 2, y + height / 2];
  const [dx, dy] = [end[0] - start[0], end[1] - start[1]];
  const bend = [(start[0] + end[0]) / 2 + RISE * dy, (start[1] + end[1]) / 2 - RISE * dx * 0.3];
  const dot = document.createElementNS(SVG, "circle");
  dot.setAttribute("r", 7);
  dot.setAttribute("class", "dot");
  drawn.append(dot);
  const way = Array.from({ length: STEPS + 1 }, (_, k) => {
    const t = k / STEPS;
    const on = (i) => (1 - t) ** 2 * start[i] + 2 * t * (1 - t) * bend[i] + t ** 2 * end[i];
    return { transform: `translate(${on(0)}px, ${on(1)}px)` };
  });
  chip.animate({ boxShadow: ["0 0 0 0 var(--ivx-orange)", "0 0 0 8px transparent"] }, { duration: TRAVEL / 2 });
  dot.animate(way, { duration: TRAVEL, easing: "ease-in-out", fill: "both" }).onfinish = () => dot.remove();
}

// The likeliest token before, then after; in orange where that is the answer.
function flip(said, { query, answer, before, after }, delay, still) {
  const [was, is] = [document.createElement("span"), document.createElement("b")];
  const asked = document.createElement("i");
  asked.textContent = `${query}: `;
  const what = before === after ? "the likeliest token stays" : "the likeliest token before → after";
  said.title = `Asked of “${query}”: ${what}`;
  was.textContent = is.textContent = before.trim() || before;
  said.replaceChildren(asked, is);
  said.hidden = false;
  const end = () => {
    was.textContent += before === after ? " =" : " →";
    is.textContent = after.trim() || after;
    is.className = after === answer ? "answered" : "";
    said.replaceChildren(asked, was, " ", is);
  };
  if (still) {
    end();
    return;
  }
  const half = { duration: FLIP / 2, fill: "forwards" };
  is.animate({ transform: ["rotateX(0)", "rotateX(90deg)"] }, { ...half, delay }).onfinish = ({ target }) => {
    target.cancel();
    if (!is.isConnected) return;
    end();
    is.animate({ transform: ["rotateX(-90deg)", "rotateX(0)"] }, { duration: FLIP / 2 });
  };
}
