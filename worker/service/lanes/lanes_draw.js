// Draws lanes on a canvas, and finds what stands where. Only rows and bars in view are touched, whatever their number: a bar that would lie in a pixel that
// another of its step has is passed over.
//
// A row, from the top: what its next job does in line, what the lane does, what its former jobs do at their end. The strips above and below overlap in time
// with the lane's own bars, since they aren't the lane's time. Low rows have the lane's own bars alone.

const AXIS = 22;
const LABEL = 76;
const STRIPS_FROM = 10; // px of a row

const ABOVE = new Set(["queued", "begin"]);

export function colourOf(step, wait) {
  return step !== "queued" && wait === null ? "busy" : step;
}

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.rows = 0; // drawn in the last frame
    this.bars = 0;
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    this.colours = {};
    for (const name of ["back", "text", "faint", "line", "row", "queued", "begin", "context", "ask", "finish", "publish", "busy", "chosen"])
      this.colours[name] = style.getPropertyValue(`--${name}`).trim();
  }

  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  // view: { end, span, top, height, order, now, chosen, wallOf }; times in us, top and height in px.
  draw(view) {
    const c = this.context;
    this.view = view;
    this.rows = this.bars = 0;
    c.fillStyle = this.colours.back;
    c.fillRect(0, 0, this.width, this.height);
    const first = Math.max(0, Math.floor(view.top / view.height));
    const last = Math.min(view.order.length, Math.ceil((view.top + this.height - AXIS) / view.height));
    const marks = this.marks();
    c.fillStyle = this.colours.line;
    for (const at of marks.times) c.fillRect(this.x(at), 0, 1, this.height);
    c.save();
    c.beginPath();
    c.rect(0, AXIS, this.width, this.height - AXIS);
    c.clip();
    for (let i = first; i < last; i++) this.drawRow(view.order[i], i, AXIS + i * view.height - view.top);
    c.restore();
    this.drawTimes(marks);
  }

  x(at) {
    return LABEL + ((at - this.view.end) / this.view.span + 1) * (this.width - LABEL);
  }

  at(x) {
    return this.view.end + ((x - LABEL) / (this.width - LABEL) - 1) * this.view.span;
  }

  // The bands of a row: [bars, offset from its top, height]. The last one lies on top.
  bands(lane) {
    const h = this.view.height;
    const own = lane.on ? [...lane.own, lane.on] : lane.own;
    if (h < STRIPS_FROM) return [[own, 0.5, h - 1]];
    const strip = Math.max(2, Math.floor(h * 0.18));
    const above = lane.apart.filter((bar) => ABOVE.has(bar.step)).reverse(); // of two that were in line the one taken first is on top
    return [[above, 1, strip], [lane.apart.filter((bar) => !ABOVE.has(bar.step)), h - 1 - strip, strip], [own, 1 + strip, h - 2 - 2 * strip]];
  }

  drawRow(lane, index, y) {
    const c = this.context;
    const { height } = this.view;
    this.rows++;
    if (index % 2 === 1) {
      c.fillStyle = this.colours.row;
      c.fillRect(LABEL - 6, y, this.width, height);
    }
    for (const [bars, offset, size] of this.bands(lane)) this.drawBars(bars, y + offset, size);
    if (height >= STRIPS_FROM || index % Math.ceil(12 / height) === 0) {
      c.fillStyle = this.colours.back;
      c.fillRect(0, y, LABEL - 6, height);
      c.fillStyle = this.colours.faint;
      c.font = "11px system-ui, sans-serif";
      c.textBaseline = "middle";
      c.fillText(`${this.view.engine === "loop" ? "slot" : "chat"}-${lane.lane}`, 8, y + height / 2);
    }
  }

  drawBars(bars, y, size) {
    const c = this.context;
    const { chosen, now } = this.view;
    let before = -1;
    let colourBefore = "";
    for (const bar of bars) {
      const from = Math.max(LABEL, this.x(bar.from));
      const until = Math.min(this.width, this.x(bar.until ?? now));
      if (until < LABEL || from > this.width) continue;
      const colour = colourOf(bar.step, bar.wait);
      if (until - from < 1 && Math.floor(from) === before && colour === colourBefore) continue;
      before = Math.floor(from);
      colourBefore = colour;
      this.bars++;
      c.fillStyle = this.colours[colour];
      c.fillRect(from, y, Math.max(until - from - 0.5, 0.75), size);
      if (chosen && bar.job.partition === chosen.partition && bar.job.offset === chosen.offset) {
        c.strokeStyle = this.colours.chosen;
        c.strokeRect(from + 0.5, y + 0.5, Math.max(until - from - 1, 1), size - 1);
      }
      if (bar.wait !== null && size >= 10 && until - from > 60) {
        c.save();
        c.beginPath();
        c.rect(from, y, until - from - 4, size);
        c.clip();
        c.fillStyle = "#fff";
        c.font = "10px system-ui, sans-serif";
        c.textBaseline = "middle";
        c.fillText(`${bar.step} ${bar.wait}`, from + 4, y + size / 2 + 0.5);
        c.restore();
      }
    }
  }

  // Round times, as far from each other as their texts want.
  marks() {
    const { end, span } = this.view;
    const steps = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7].flatMap((unit) => [1, 2, 5].map((n) => n * unit));
    const step = steps.find((s) => (s / span) * (this.width - LABEL) > 90) ?? 1e8;
    const times = [];
    for (let at = Math.ceil((end - span) / step) * step; at <= end; at += step) times.push(at);
    return { step, times };
  }

  drawTimes({ step, times }) {
    const c = this.context;
    c.fillStyle = this.colours.faint;
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    for (const at of times) c.fillText(this.view.wallOf(at, step), this.x(at) + 4, AXIS / 2);
    c.fillStyle = this.colours.line;
    c.fillRect(0, AXIS - 1, this.width, 1);
  }

  // The bar at this point of the canvas, or of those within 2 px the nearest; null: none.
  find(x, y) {
    const { view } = this;
    if (!view || y < AXIS || x < LABEL) return null;
    const inRow = (y - AXIS + view.top) % view.height;
    const lane = view.order[Math.floor((y - AXIS + view.top) / view.height)];
    if (!lane) return null;
    const near = (bar) => Math.max(this.x(bar.from) - x, x - Math.max(this.x(bar.until ?? view.now), this.x(bar.from) + 1), 0);
    for (const [bars, offset, size] of this.bands(lane)) {
      if (inRow < offset || inRow > offset + size) continue;
      let found = null;
      for (const bar of bars) if (near(bar) <= (found ? near(found) : 2)) found = bar;
      if (found) return { lane: lane.lane, ...found };
    }
    return null;
  }

  // Where on the canvas a lane's bar has its middle: the part that is in view.
  middleOf(index, bar) {
    const from = Math.max(LABEL, this.x(bar.from));
    const until = Math.min(this.width, this.x(bar.until ?? this.view.now));
    return { x: (from + until) / 2, y: AXIS + index * this.view.height - this.view.top + this.view.height / 2 };
  }
}

export const AXIS_PX = AXIS;
