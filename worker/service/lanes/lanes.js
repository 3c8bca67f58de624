// The page /lanes: asks /lanes.json now and then, draws what it knows at each frame. While it is paused it asks nothing, and the worker records nothing for it.
import { Drawing, AXIS_PX, colourOf } from "./lanes_draw.js";
import { Model } from "./lanes_model.js";

const POLL_MS = 500;
const POLL_MS_LANE = 0.25; // and for each lane so much more: each answer has all of them
const LAG_US = 300e3; // the right edge is so far behind: by then most bars have come
const SPAN_US = { min: 1e3, max: 60e6, initial: 10e6 };

const by = (id) => document.getElementById(id);
const model = new Model();
const drawing = new Drawing(by("canvas"));
const state = { paused: false, span: SPAN_US.initial, end: 0, height: 18, sort: "lane", chosen: null, failed: "", frames: 0 };
const clock = { offset: null, wall: 0 }; // the worker's clock less performance.now; Unix time less the worker's clock

// ---- asking ----

function takeAnswer(answer, askedMs) {
  if (model.take(answer)) {
    clock.offset = null;
    state.order = null;
    choose(null);
  }
  const offset = answer.now - askedMs * 1e3;
  clock.offset = clock.offset === null ? offset : clock.offset * 0.9 + offset * 0.1;
  clock.wall = Date.now() * 1e3 - answer.now;
  showTotals();
}

async function ask() {
  const began = performance.now();
  try {
    const answer = await fetch(`lanes.json?since=${model.now}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).trim()}`);
    const parsed = await answer.json();
    if (!state.paused) takeAnswer(parsed, (began + performance.now()) / 2);
    state.failed = "";
  } catch (failed) {
    state.failed = `no answer: ${failed.message}`;
  }
  showState();
  const took = performance.now() - began;
  if (!state.paused) setTimeout(ask, Math.max(POLL_MS + POLL_MS_LANE * model.lanes.length, 3 * took));
  else state.asks = false;
}

function startAsking() {
  if (state.asks) return;
  state.asks = true;
  ask();
}

// ---- what stands in elements ----

function showTotals() {
  const totals = model.totals();
  for (const id of ["busy", "waiting", "idle", "elsewhere"]) by(id).textContent = totals[id].toLocaleString("en");
  by("waits").textContent = [...totals.waits].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${count.toLocaleString("en")} for ${name}`).join(" · ");
}

function showState() {
  const lost = model.lost > 0 ? ` · ${model.lost.toLocaleString("en")} bars lost` : "";
  by("state").textContent = state.failed || `${state.paused ? "paused" : "live"} · ${(state.span / 1e6).toPrecision(2)} s${lost}`;
  by("pause").textContent = state.paused ? "Go on" : "Pause";
}

function showLegend() {
  for (const name of ["queued", "begin", "context", "ask", "finish", "publish", "busy"]) {
    const item = document.createElement("span");
    item.className = name;
    item.textContent = name;
    by("legend").append(item);
  }
}

const duration = (us) => (us < 1e3 ? `${Math.round(us)} µs` : us < 1e6 ? `${(us / 1e3).toFixed(1)} ms` : `${(us / 1e6).toFixed(2)} s`);

function wallOf(at, step) {
  const date = new Date((at + clock.wall) / 1e3);
  const text = date.toTimeString().slice(0, 8);
  return step >= 1e6 ? text : `${text.slice(3)}.${String(Math.floor(at / 1e2) % 1e4).padStart(4, "0").slice(0, step >= 1e3 ? 3 : 4)}`;
}

function showJob() {
  by("job").hidden = state.chosen === null;
  if (state.chosen === null) return;
  const bars = model.barsOf(state.chosen);
  by("job_id").textContent = state.chosen.id;
  by("job_place").textContent = `partition ${state.chosen.partition}, offset ${state.chosen.offset}`;
  const rows = bars.map((bar) => {
    const row = document.createElement("tr");
    const cells = [bar.step === "queued" ? "queued" : `${bar.step}, lane ${bar.lane}`, bar.wait ?? "nobody", `${duration(bar.from - bars[0].from)} in`, duration((bar.until ?? nowUs()) - bar.from)];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  });
  by("job_steps").replaceChildren(...rows);
}

// ---- the view ----

const nowUs = () => (clock.offset === null ? 0 : performance.now() * 1e3 + clock.offset);

function size() {
  const scroll = by("scroll");
  drawing.resize(scroll.clientWidth, scroll.clientHeight);
}

function frame() {
  const scroll = by("scroll");
  if (drawing.width !== scroll.clientWidth || drawing.height !== scroll.clientHeight) size();
  if (!state.paused) state.end = nowUs() - LAG_US;
  if (!state.paused || !state.order || state.order.length !== model.lanes.length) state.order = model.order(state.sort);
  by("all").style.height = `${model.lanes.length * state.height + AXIS_PX + 8}px`;
  const now = Math.max(state.paused ? state.stopped : nowUs(), model.now);
  drawing.draw({ end: state.end, span: state.span, top: scroll.scrollTop, height: state.height, order: state.order, engine: model.engine, now, chosen: state.chosen, wallOf });
  state.frames++;
  requestAnimationFrame(frame);
}

function pause(paused) {
  if (state.paused === paused) return;
  state.paused = paused;
  state.stopped = nowUs();
  if (!paused) startAsking();
  showState();
}

// around: a time that stays where it is.
function zoom(factor, around) {
  const span = Math.min(SPAN_US.max, Math.max(SPAN_US.min, state.span * factor));
  if (state.paused) state.end = around + ((state.end - around) * span) / state.span;
  state.span = span;
  showState();
}

const middle = () => state.end - state.span / 2;

// ---- what a person does ----

function listen() {
  by("pause").addEventListener("click", () => pause(!state.paused));
  by("in").addEventListener("click", () => zoom(0.5, middle()));
  by("out").addEventListener("click", () => zoom(2, middle()));
  by("sort").addEventListener("change", (event) => {
    state.sort = event.target.value;
    state.order = model.order(state.sort);
  });
  by("height").addEventListener("input", (event) => (state.height = Number(event.target.value)));
  by("close").addEventListener("click", () => choose(null));
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("select, input, button")) return;
    if (event.key === " ") pause(!state.paused);
    else if (event.key === "+") zoom(0.5, middle());
    else if (event.key === "-") zoom(2, middle());
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
  by("canvas").addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // else the rows scroll
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, drawing.at(event.offsetX));
  }, { passive: false });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawing.readColours());
}

function choose(bar) {
  state.chosen = bar ? bar.job : null;
  showJob();
}

// A click is a bar's; a drag moves the time, and pauses.
function listenToPointer() {
  const canvas = by("canvas");
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    from = { x: event.offsetX, end: state.end, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const bar = drawing.find(event.offsetX, event.offsetY);
    canvas.title = bar ? `${bar.job.id}: ${bar.step}${bar.wait ? `, for ${bar.wait}` : ""}, ${duration((bar.until ?? nowUs()) - bar.from)}` : "";
    if (from === null || (!from.moved && Math.abs(event.offsetX - from.x) < 5)) return;
    if (!from.moved) pause(true);
    from.moved = true;
    state.end = from.end + drawing.at(from.x) - drawing.at(event.offsetX);
    from.end = state.end;
    from.x = event.offsetX;
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && !from.moved) choose(drawing.find(event.offsetX, event.offsetY));
    from = null;
  });
}

// For a console, and for tests: canvases say little of what stands in them.
window.lanes = { model, drawing, state, colourOf };

showLegend();
listen();
listenToPointer();
showState();
startAsking();
requestAnimationFrame(frame);
