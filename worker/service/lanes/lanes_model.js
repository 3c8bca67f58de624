// What the page knows: lanes, and bars of each. No element of the page is touched here.
//
// Times are the worker's clock, in microseconds. A lane's bars are in two lists: `own`, which took its time, one after the other; and `apart`, of its jobs
// while they were in line or at their end, which may lie over each other.

export const KEPT_US = 60e6; // how long a bar is kept after its end
const KEPT_BARS = 2000; // of a lane, in each list

export class Model {
  constructor() {
    this.forgetAll();
  }

  forgetAll() {
    this.lanes = [];
    this.began = null; // when the worker's process did
    this.now = 0; // of the last answer; 0: none has come
    this.lost = 0; // bars that were written over before they could be asked for
    this.next = new Map(); // ring -> the number of the bar to come
  }

  // answer: /lanes.json. True: it is another process's than the last, of which nothing is known any more.
  take(answer) {
    const { now, names, steps } = answer;
    const isAnother = this.began !== null && this.began !== answer.began;
    if (isAnother) this.forgetAll();
    this.began = answer.began;
    const jobs = answer.jobs.map(([partition, offset, id]) => ({ partition, offset, id }));
    const name = (i) => (i < 0 ? null : names[i]);
    this.now = now;
    this.engine = answer.engine;
    this.alive = answer.alive;
    while (this.lanes.length < answer.lanes) this.lanes.push({ lane: this.lanes.length, own: [], apart: [], on: null });
    for (const lane of this.lanes) lane.on = null;
    for (let i = 0; i < answer.on.length; i += 6) {
      const [lane, step, wait, job, since, taken] = answer.on.slice(i, i + 6);
      this.lanes[lane].on = { step: steps[step], wait: name(wait), job: jobs[job], from: now - since, taken: now - taken, until: null };
    }
    for (const [ring, first, bars] of answer.rings) this.takeRing(ring, first, bars, now, steps, name, jobs);
    this.forget(now - KEPT_US);
    return isAnother;
  }

  takeRing(ring, first, bars, now, steps, name, jobs) {
    let number = first;
    const known = this.next.get(ring);
    let next = known ?? first;
    for (let i = 0; i < bars.length; i += 7) {
      const [after, lane, step, wait, job, ago, length] = bars.slice(i, i + 7);
      number += after;
      if (number < next) continue; // it came with the answer before
      if (number > next) this.lost += number - next;
      next = number + 1;
      const list = step < 100 ? this.lanes[lane].own : this.lanes[lane].apart;
      list.push({ step: steps[step % 100], wait: name(wait), job: jobs[job], from: now - ago - length, until: now - ago });
      if (list.length > KEPT_BARS) list.splice(0, list.length - KEPT_BARS);
    }
    this.next.set(ring, next);
  }

  forget(before) {
    for (const lane of this.lanes)
      for (const list of [lane.own, lane.apart]) {
        let n = 0;
        while (n < list.length && list[n].until < before) n++;
        if (n > 0) list.splice(0, n);
      }
  }

  // Busy lanes work, waiting ones wait for somebody: by name how many.
  totals() {
    const totals = { busy: 0, waiting: 0, idle: 0, waits: new Map() };
    for (const { on } of this.lanes) {
      if (on === null) totals.idle++;
      else if (on.wait === null) totals.busy++;
      else {
        totals.waiting++;
        totals.waits.set(on.wait, (totals.waits.get(on.wait) ?? 0) + 1);
      }
    }
    totals.elsewhere = Math.max(0, this.alive - totals.busy - totals.waiting);
    return totals;
  }

  // Lanes in the order to be shown. By start: the oldest job first, lanes of equal starts by number, idle ones last by number: so a row moves up only, when
  // an older job has ended, and a new job comes below all others.
  order(sort) {
    if (sort === "lane") return this.lanes;
    const start = ({ on }) => (on === null ? Infinity : on.taken);
    return [...this.lanes].sort((a, b) => (start(a) === start(b) ? a.lane - b.lane : start(a) - start(b)));
  }

  // All bars of a job that are known, by their begin.
  barsOf(job) {
    const bars = [];
    const same = (bar) => bar.job.partition === job.partition && bar.job.offset === job.offset;
    for (const lane of this.lanes)
      for (const bar of [...lane.own, ...lane.apart, ...(lane.on ? [lane.on] : [])]) if (same(bar)) bars.push({ ...bar, lane: lane.lane });
    return bars.sort((a, b) => a.from - b.from);
  }
}
