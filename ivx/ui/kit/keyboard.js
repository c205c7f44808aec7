// Every chart by keyboard: arrows walk from mark to mark, Enter clicks one, and what is clicked is outlined at once.

const CHART = '[data-testid="stVegaLiteChart"]';
const SVG = "http://www.w3.org/2000/svg";
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ASIDE = 3; // how much dearer a pixel across is than one along
const SETTLED = 250; // ms after the server has answered until its own outline is drawn
const UNANSWERED = 3000; // ms after which a click that asked nothing of the server loses its outline
const HOW = ". Arrow keys walk its cells, Enter opens one, ? lists the keys.";
const KEYS = [
  ["Tab", "to the next chart or control"],
  ["← → ↑ ↓", "walk over the cells of a chart"],
  ["Home, End", "to the first or last cell of a row"],
  ["Enter, Space", "open the cell’s card"],
  ["Esc", "leave the cell, or presenting"],
  ["← →", "while presenting: through a lesson’s steps or a page’s pictures"],
  ["?", "these keys"],
];

export default function ({ parentElement }) {
  const gone = new AbortController();
  const { signal } = gone;
  const said = parentElement.querySelector("span");
  said.className = "ivx-heard";
  said.setAttribute("aria-live", "polite");
  let waiting = null;

  const dress = () => {
    for (const chart of document.querySelectorAll(CHART)) {
      const walked = marks(chart).length > 0;
      if (walked !== chart.classList.contains("ivx-walk") || (walked && chart.role !== "application")) reach(chart, walked);
      if (walked && document.activeElement === chart && chart.dataset.ivxAt && !chart.querySelector(".cursor")) {
        draw(chart, "cursor", nearest(chart, at(chart)));
      }
    }
  };
  const watcher = new MutationObserver(() => {
    waiting ??= requestAnimationFrame(() => {
      waiting = null;
      dress();
    });
  });
  watcher.observe(document.body, { childList: true, subtree: true });
  dress();

  document.addEventListener("click", (event) => echo(event), { capture: true, signal });
  document.addEventListener("pointerover", (event) => light(markAt(event)), { signal });
  document.addEventListener("focusin", ({ target }) => entered(target, said), { signal });
  document.addEventListener("focusout", ({ target }) => left(target), { signal });
  document.addEventListener("keydown", (event) => pressed(event, said), { capture: true, signal });
  return () => {
    gone.abort();
    watcher.disconnect();
  };
}

// A chart that can be walked is one stop of the Tab key, and says what it is. Vega names a chart anew with its marks.
function reach(chart, walked) {
  chart.classList.toggle("ivx-walk", walked);
  if (!walked) {
    chart.removeAttribute("tabindex");
    return;
  }
  chart.tabIndex = 0;
  chart.setAttribute("role", "application");
  chart.setAttribute("aria-roledescription", "chart");
  const name = (chart.getAttribute("aria-label") ?? "Chart").split(HOW)[0];
  chart.setAttribute("aria-label", name + HOW);
}

// The marks that can be clicked: those over which the pointer is a hand, by Vega's own item behind each.
const clickable = (mark) => mark.__data__?.cursor === "pointer" && mark.matches("path, line");

function marks(chart) {
  return [...chart.querySelectorAll("svg path, svg line")].filter(clickable);
}

function middle(mark) {
  const box = mark.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}

// The walk's place is kept as a place in the chart, since the server may draw its marks anew.
function at(chart) {
  const [x, y] = chart.dataset.ivxAt.split(" ").map(Number);
  const box = chart.getBoundingClientRect();
  return [box.left + x, box.top + y];
}

function keep(chart, mark) {
  const [x, y] = middle(mark);
  const box = chart.getBoundingClientRect();
  chart.dataset.ivxAt = `${x - box.left} ${y - box.top}`;
}

function nearest(chart, [x, y]) {
  return least(marks(chart), (mark) => {
    const [left, top] = middle(mark);
    return Math.hypot(left - x, top - y);
  });
}

function least(found, cost) {
  let best = null;
  let lowest = Infinity;
  for (const one of found) {
    const now = cost(one);
    if (now < lowest) [best, lowest] = [one, now];
  }
  return best;
}

function current(chart) {
  return chart.dataset.ivxAt ? nearest(chart, at(chart)) : (chosen(chart) ?? marks(chart)[0]);
}

const isChosen = ({ __data__: item }) => item?.datum?.selected === true || item?.datum?.chosen === true;

// A chosen mark says so itself, or an outline that is drawn where it is says so.
function chosen(chart) {
  const said = [...chart.querySelectorAll("svg path, svg line")].find(isChosen);
  return said && nearest(chart, middle(said));
}

function next(chart, mark, [dx, dy]) {
  const [x, y] = middle(mark);
  return least(marks(chart), (other) => {
    const [left, top] = middle(other);
    const along = (left - x) * dx + (top - y) * dy;
    const across = Math.abs((left - x) * dy) + Math.abs((top - y) * dx);
    return along > 1 && across <= 2 * along ? along + ASIDE * across : Infinity;
  });
}

function end(chart, mark, way) {
  let found = mark;
  for (let on = mark; on; on = next(chart, on, way)) if (Math.abs(middle(on)[1] - middle(mark)[1]) < 1) found = on;
  return found;
}

function pressed(event, said) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "?" && !target.closest("input, textarea, [contenteditable=true]")) {
    event.preventDefault();
    list();
    return;
  }
  const here = target.matches?.(`${CHART}.ivx-walk`) ? current(target) : null;
  if (key === "Escape" && document.querySelector(".cursor-set")) {
    clear("cursor");
    return;
  }
  if (!here) {
    presented(event);
    return;
  }
  const ways = { Home: () => end(target, here, [-1, 0]), End: () => end(target, here, [1, 0]) };
  if (key === "Enter" || key === " ") click(here);
  else if (STEPS[key] || ways[key]) go(target, (STEPS[key] ? next(target, here, STEPS[key]) : ways[key]()) ?? here, said);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// While a page is presented its buttons have keys, unless what has the focus needs them itself.
const BUTTONS = { Escape: ".st-key-ivx-leave", ArrowLeft: ".st-key-step-back", ArrowRight: ".st-key-step-on" };
const OPEN = '[role="dialog"], [role="listbox"], [role="menu"], [data-testid="stPopoverBody"]';
const OWN = "input, textarea, [contenteditable=true], [role=slider], :is([role=radio], [role=tab]):focus-visible";

function presented(event) {
  if (!BUTTONS[event.key] || !document.querySelector(BUTTONS.Escape) || document.querySelector(OPEN)) return;
  if (event.target.closest(OWN)) return;
  const lesson = document.querySelector(BUTTONS.ArrowRight);
  const button = document.querySelector(`${BUTTONS[event.key]} button:enabled`);
  if (button) button.click();
  else if (lesson || !STEPS[event.key]) return;
  else turn(STEPS[event.key][0]);
  event.preventDefault();
  event.stopPropagation();
}

// A page is turned picture by picture: to the next row of panels that does not yet stand wholly on the screen.
function turn(by) {
  const page = document.querySelector('[data-testid="stMain"]');
  const stops = stopsOf(page);
  const at = stops.findLastIndex((top) => top <= page.scrollTop + 1);
  page.scrollTo({ top: stops[Math.max(0, Math.min(stops.length - 1, at + by))] });
}

function stopsOf(page) {
  const up = page.getBoundingClientRect().top - page.scrollTop;
  const shown = [...page.querySelectorAll(".ivx-head, .ivx-glossary > div")].filter((head) => head.checkVisibility());
  const tops = [...new Set(shown.map((head) => Math.round(head.getBoundingClientRect().top - up)))].sort((a, b) => a - b);
  const last = page.scrollHeight - page.clientHeight;
  const stops = [0];
  tops.forEach((top, k) => {
    const end = tops[k + 1] ?? page.scrollHeight;
    if (end > stops.at(-1) + page.clientHeight) stops.push(Math.min(top, last));
  });
  return [...new Set(stops)];
}

function go(chart, mark, said) {
  keep(chart, mark);
  draw(chart, "cursor", mark);
  mark.scrollIntoView({ block: "nearest", inline: "nearest" });
  light(mark);
  tell(mark, "pointermove");
  said.textContent = words(mark);
}

function entered(target, said) {
  if (!target.matches?.(`${CHART}.ivx-walk`) || !target.matches(":focus-visible")) return;
  const mark = chosen(target) ?? current(target);
  if (mark) go(target, mark, said);
}

function left(target) {
  if (!target.matches?.(`${CHART}.ivx-walk`)) return;
  const mark = current(target);
  if (mark) tell(mark, "pointerout");
  clear("cursor");
  clear("lit");
}

// What a mark's tooltip says, or else what Vega calls it.
function words(mark) {
  const datum = mark.__data__?.datum ?? {};
  return datum.told || mark.getAttribute("aria-label") || "";
}

function tell(mark, kind, told = mark) {
  const [clientX, clientY] = middle(mark);
  told.dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX, clientY, view: window }));
}

// Where the nearest mark is meant, Vega listens to the cells around the marks and not to the marks.
const around = (mark) => document.elementsFromPoint(...middle(mark)).find((one) => one.__data__?.isVoronoi);
const click = (mark) => tell(mark, "click", around(mark));

function markAt({ target, clientX, clientY }) {
  const chart = target.closest?.(CHART);
  if (!chart || !target.closest("svg")) return null;
  if (clickable(target)) return target;
  if (target.__data__?.isVoronoi) return nearest(chart, [clientX, clientY]);
  const under = document.elementsFromPoint(clientX, clientY);
  return under.find((one) => clickable(one) && chart.contains(one)) ?? null;
}

// The clicked mark is outlined until the server's own outline is there: the chart says no more than the server knows.
function echo(event) {
  const mark = markAt(event);
  if (!mark) return;
  const chart = mark.closest(CHART);
  keep(chart, mark);
  draw(chart, "echo", mark);
  for (const one of chart.querySelectorAll("svg path")) if (isChosen(one) && !clickable(one)) one.classList.add("ivx-past");
  const app = document.querySelector('[data-testid="stApp"]');
  const drop = () => {
    watcher.disconnect();
    clearTimeout(late);
    setTimeout(() => clear("echo"), SETTLED);
  };
  let asked = false;
  const watcher = new MutationObserver(() => {
    const running = app.dataset.testScriptState === "running";
    if (running) {
      asked = true;
      clearTimeout(late);
    } else if (asked) drop();
  });
  watcher.observe(app, { attributeFilter: ["data-test-script-state"] });
  const late = setTimeout(drop, UNANSWERED);
}

function clear(kind) {
  for (const one of document.querySelectorAll(`.ivx-over.${kind}-set`)) one.remove();
  if (kind === "echo") for (const one of document.querySelectorAll(".ivx-past")) one.classList.remove("ivx-past");
}

function draw(chart, kind, mark) {
  clear(kind);
  if (mark) outline(mark, kind, kind === "echo" ? ["under", "over"] : [kind]);
}

function outline(mark, kind, strokes) {
  const svg = mark.ownerSVGElement;
  const set = document.createElementNS(SVG, "g");
  set.setAttribute("class", `ivx-over ${kind}-set`);
  set.setAttribute("aria-hidden", "true");
  const { a, b, c, d, e, f } = svg.getScreenCTM().inverse().multiply(mark.getScreenCTM());
  set.setAttribute("transform", `matrix(${a} ${b} ${c} ${d} ${e} ${f})`);
  for (const stroke of strokes) {
    const line = document.createElementNS(SVG, mark.tagName);
    for (const name of ["d", "transform", "x1", "x2", "y1", "y2"]) {
      if (name !== "transform" && mark.hasAttribute(name)) line.setAttribute(name, mark.getAttribute(name));
    }
    line.setAttribute("class", stroke);
    set.append(line);
  }
  svg.append(set);
}

// One layer through all panels: the marks that share the layer of the one under the pointer, as one band in each chart.
function light(mark) {
  clear("lit");
  const layer = mark?.__data__?.datum?.layer;
  if (layer === undefined) return;
  const charts = [...document.querySelectorAll(`${CHART}.ivx-walk`)];
  if (charts.length < 2) return;
  for (const chart of charts) {
    const same = marks(chart).filter((one) => one.__data__?.datum?.layer === layer);
    if (same.length > 0) band(same);
  }
}

function band(same) {
  const svg = same[0].ownerSVGElement;
  const boxes = same.map((one) => one.getBoundingClientRect());
  const frame = svg.getBoundingClientRect();
  const [left, top] = [Math.min(...boxes.map((b) => b.left)), Math.min(...boxes.map((b) => b.top))];
  const [right, bottom] = [Math.max(...boxes.map((b) => b.right)), Math.max(...boxes.map((b) => b.bottom))];
  const set = document.createElementNS(SVG, "g");
  set.setAttribute("class", "ivx-over lit-set");
  const line = document.createElementNS(SVG, "rect");
  const said = { x: left - frame.left, y: top - frame.top, width: right - left, height: bottom - top, rx: 2, class: "lit" };
  for (const [name, value] of Object.entries(said)) line.setAttribute(name, value);
  set.append(line);
  svg.append(set);
}

function list() {
  document.querySelector(".ivx-keys")?.remove();
  const box = document.createElement("dialog");
  box.className = "ivx-keys";
  box.setAttribute("aria-label", "Keys");
  const heading = document.createElement("h2");
  heading.textContent = "Keys";
  const rows = document.createElement("dl");
  for (const [key, does] of KEYS) {
    const [term, what] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = key;
    what.textContent = does;
    rows.append(term, what);
  }
  const close = document.createElement("button");
  close.textContent = "Close";
  close.onclick = () => box.close();
  box.onclose = () => box.remove();
  box.append(heading, rows, close);
  document.body.append(box);
  box.showModal();
}
