"use strict";
/* The chart of the tape around an event. Times are milliseconds from the start of the event's minute. `sheet.js` calls
   `showTape`, and has the helpers that are used here. */

const TAPE_SPACE = { left: 12, right: 66, top: 32, bottom: 24, gap: 20, volume: 0.16, imbalance: 0.14 };
const KNOWN_AT = 60000;  // the end of the event's minute
const NARROWEST = 1000;  // a zoom shows at least so many milliseconds
const PRICES_PER_DOLLAR = 10000;
const [NORMAL, LOCKED, CROSSED] = [0, 1, 2];
const SIDE_CLASS = ["unsigned", "buy", "sell"];
const SIDE_WORDS = ["no side", "buyer's side", "seller's side"];
const STATE_WORDS = ["", "locked", "crossed", "one side only", "empty", "no quote yet"];
const view = { event: null, from: 0, to: 0, whole: true };
const decoded = new Map();

/* ---------------------------------------------------------------- the data of an event */

/* Values from steps; a null stays, and the next step counts from the last value. */
function fromSteps(steps, unit = 1) {
  let value = 0;
  return steps.map((step) => (step === null ? null : (value += step) / unit));
}

function tapeOf(event) {
  if (decoded.has(event.id)) return decoded.get(event.id);
  const { trades, book, volumes } = event.tape;
  const marks = trades ? { of: trades.of, t: fromSteps(trades.t), p: fromSteps(trades.p, PRICES_PER_DOLLAR), s: trades.s, k: trades.k } : { of: 0, t: [], p: [], s: [], k: [] };
  const steps = book ? { of: book.of, t: fromSteps(book.t), b: fromSteps(book.b, PRICES_PER_DOLLAR), a: fromSteps(book.a, PRICES_PER_DOLLAR), k: book.k } : { of: 0, t: [], b: [], a: [], k: [] };
  const flow = volumes ? { at: fromSteps(volumes.at), buy: volumes.buy, sell: volumes.sell, other: volumes.other } : { at: [], buy: [], sell: [], other: [] };
  const sizes = [...marks.s].sort((one, other) => one - other);
  const tape = { ...event.tape, marks, book: steps, flow, large: sizes[Math.floor(sizes.length * 0.98)] || 1 };
  decoded.set(event.id, tape);
  return tape;
}

const hidesAfter = () => $("hide").checked;
// that trading stopped for long is known when it resumes
const haltsOf = (tape) => tape.halts.filter((halt) => !hidesAfter() || halt.to <= KNOWN_AT);
const endOf = (tape) => (hidesAfter() ? Math.min(KNOWN_AT, tape.to) : tape.to);
const nyTime = (event, ms, digits = 0) => {
  const seconds = event.clock * 60 + ms / 1000;
  const rest = seconds % 60;
  return `${clock(Math.floor(seconds / 60))}:${(digits ? rest.toFixed(digits) : String(Math.floor(rest))).padStart(digits ? 3 + digits : 2, "0")}`;
};

/* ---------------------------------------------------------------- the chart and what belongs to it */

function showTape(event) {
  const tape = event && event.tape && !event.tape.damage ? tapeOf(event) : null;
  document.body.classList.toggle("has-tape", tape !== null);
  $("tape-note").textContent = tape ? "" : !event ? "" : event.tape ? `The tape of this event cannot be shown: ${event.tape.damage}` : "No tape of this event is captured.";
  $("tape-note").hidden = !$("tape-note").textContent;
  for (const id of ["tape-known", "tape-hindsight"]) $(id).replaceChildren();
  if (!tape) {
    view.event = null;
    return void $("tape").replaceChildren();
  }
  if (view.event !== event || view.whole) Object.assign(view, { event, from: tape.from, to: endOf(tape), whole: true });
  view.to = Math.min(view.to, endOf(tape));
  view.from = Math.max(tape.from, Math.min(view.from, view.to - NARROWEST));
  figuresOf(tape);
  tapeLegend(tape);
  drawTape(event, tape);
}

function moveTape(from, to) {
  const tape = view.event && tapeOf(view.event);
  if (!tape) return;
  const length = Math.max(NARROWEST, Math.min(to - from, endOf(tape) - tape.from));
  view.from = Math.max(tape.from, Math.min(from, endOf(tape) - length));
  view.to = view.from + length;
  view.whole = length >= endOf(tape) - tape.from;
  drawTape(view.event, tape);
}

function zoomTape(factor, at = (view.from + view.to) / 2) {
  moveTape(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

const panTape = (share) => moveTape(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
const resetTape = () => moveTape(-1e12, 1e12);

function tapeScales(event, tape) {
  const { clientWidth: width, clientHeight: height } = $("tape");
  const [left, right, floor] = [TAPE_SPACE.left, width - TAPE_SPACE.right, height - TAPE_SPACE.bottom];
  const room = floor - TAPE_SPACE.top;
  const imbalanceTop = floor - room * TAPE_SPACE.imbalance;
  const volumeFloor = imbalanceTop - TAPE_SPACE.gap;
  const volumeTop = volumeFloor - room * TAPE_SPACE.volume;
  const priceFloor = volumeTop - TAPE_SPACE.gap;
  const [low, high] = priceRange(tape);
  // what is written about halts and restriction covers no trade
  const priceTop = TAPE_SPACE.top + (tape.ssr ? 30 : haltsOf(tape).length ? 15 : 0);
  return {
    width, height, left, right, floor, imbalanceTop, volumeFloor, volumeTop, priceFloor, low, high,
    x: (ms) => left + ((Math.max(view.from, Math.min(view.to, ms)) - view.from) / (view.to - view.from)) * (right - left),
    y: (price) => priceTop + ((high - price) / (high - low)) * (priceFloor - priceTop),
    ms: (x) => view.from + ((x - left) / (right - left)) * (view.to - view.from),
  };
}

/* Of signed trades and of the normal book in view; other trades may lie beyond, and are shown at the edge. */
function priceRange(tape) {
  const { marks, book } = tape;
  let [low, high] = [Infinity, -Infinity];
  const take = (price) => { low = Math.min(low, price); high = Math.max(high, price); };
  for (const signed of [true, false]) {
    if (low <= high) break;
    marks.t.forEach((t, i) => { if (t >= view.from && t < view.to && (!signed || (marks.k[i] < 6 && marks.k[i] % 3))) take(marks.p[i]); });
    eachStep(tape, (i) => { if (book.k[i] === NORMAL) { take(book.b[i]); take(book.a[i]); } });
  }
  if (low > high) [low, high] = [0, 1];
  const reach = high - low || high * 0.01 || 1;
  return [low - reach * 0.06, high + reach * 0.06];
}

/* Calls `act(step, from, to)` for the steps of the book in view. */
function eachStep(tape, act) {
  const { t } = tape.book;
  for (let i = 0; i < t.length; i += 1) {
    const [from, to] = [Math.max(t[i], view.from), Math.min(i + 1 < t.length ? t[i + 1] : tape.to, view.to)];
    if (from < to) act(i, from, to);
  }
}

function drawTape(event, tape) {
  const s = tapeScales(event, tape);
  const spoken = `Tape of ${event.symbol} from ${nyTime(event, view.from)} to ${nyTime(event, view.to)} New York time: ${$("tape-count").textContent}`;
  const root = svg("svg", { width: s.width, height: s.height, role: "img", "aria-label": spoken });
  const clip = svg("clipPath", { id: "tape-prices" }, svg("defs", {}, root));
  svg("rect", { x: s.left, y: TAPE_SPACE.top, width: s.right - s.left, height: s.priceFloor - TAPE_SPACE.top }, clip);
  drawHalts(root, s, event, tape);
  drawTapeAxes(root, s, event);
  drawEventMinute(root, s, event);
  drawBook(svg("g", { "clip-path": "url(#tape-prices)" }, root), s, tape);
  drawTrades(root, s, tape);
  drawFlow(root, s, tape);
  drawNames(root, s, event, tape);
  $("tape").replaceChildren(root);
  readTape(event, tape, null);
  root.addEventListener("pointermove", (pointer) => readTape(event, tape, nearestTrade(tape, s, pointer, root)));
  root.addEventListener("pointerleave", () => readTape(event, tape, null));
}

function drawTapeAxes(root, s, event) {
  const prices = ticks(s.low, s.high, (s.priceFloor - TAPE_SPACE.top) / 42);
  for (const price of prices.found) {
    svg("line", { x1: s.left, x2: s.right, y1: s.y(price), y2: s.y(price), class: "grid" }, root);
    svg("text", { x: s.right + 7, y: s.y(price) + 4 }, root, plain(price, prices.digits));
  }
  const perMs = (s.right - s.left) / (view.to - view.from);
  const by = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((seconds) => seconds * 1000 * perMs >= 74) || 7200;
  const start = event.clock * 60;
  for (let second = Math.ceil((start + view.from / 1000) / by) * by; second <= start + view.to / 1000; second += by) {
    const x = s.x((second - start) * 1000);
    svg("line", { x1: x, x2: x, y1: TAPE_SPACE.top, y2: s.floor, class: "grid" }, root);
    const text = by < 60 ? nyTime(event, (second - start) * 1000) : clock(second / 60);
    if (x > s.left + 20 && x < s.right - 26) svg("text", { x, y: s.height - 8, "text-anchor": "middle" }, root, text);
  }
  for (const y of [s.priceFloor + 4, s.volumeFloor + 4, s.floor]) svg("line", { x1: 0, x2: s.width, y1: y, y2: y, class: "edge" }, root);
  svg("line", { x1: s.right, x2: s.right, y1: 0, y2: s.floor, class: "edge" }, root);
  svg("text", { x: s.right + 7, y: s.height - 8 }, root, "New York");
}

function drawEventMinute(root, s, event) {
  const [from, to] = [s.x(0), s.x(KNOWN_AT)];
  if (to > from) svg("rect", { x: from, y: TAPE_SPACE.top, width: to - from, height: s.floor - TAPE_SPACE.top, class: "event" }, root);
}

function drawHalts(root, s, event, tape) {
  for (const halt of haltsOf(tape)) {
    const [from, to] = [s.x(halt.from), s.x(Math.min(halt.to, endOf(tape)))];
    if (to > from) svg("rect", { x: from, y: TAPE_SPACE.top, width: to - from, height: s.floor - TAPE_SPACE.top, class: "halt" }, root);
  }
}

/* What is written over the chart: one line of its own for each kind, so that none covers another. */
function drawNames(root, s, event, tape) {
  const write = (x, y, text, attributes) => svg("text", { x, y, ...attributes }, root, text);
  if (view.from < KNOWN_AT && view.to > 0) {
    const middle = Math.max(s.left + 90, Math.min(s.right - 90, (s.x(0) + s.x(KNOWN_AT)) / 2));
    write(middle, 21, `${arrow(event)} ${words(event.type)} ${clock(event.clock)}`, { class: "event-tag", "text-anchor": "middle" });
  }
  for (const halt of haltsOf(tape)) {
    const to = Math.min(halt.to, endOf(tape));
    if (s.x(to) <= s.x(halt.from)) continue;
    const until = nyTime(event, halt.to);
    write(Math.min(s.x(halt.from) + 5, s.right - 205), TAPE_SPACE.top + 13, `halt ${nyTime(event, halt.from)}–${until} (${halt.by})`, { class: "halt-tag haloed" });
  }
  if (tape.ssr && tape.ssr.from < view.to && tape.ssr.from < endOf(tape)) {
    const x = s.x(tape.ssr.from);
    svg("line", { x1: x, x2: s.right, y1: TAPE_SPACE.top + 1, y2: TAPE_SPACE.top + 1, class: "ssr-line" }, root);
    const since = tape.ssr.by === "prior_day" ? "since the day before" : `since ${clock(event.clock + tape.ssr.from / 60000)}`;
    write(Math.min(x + 5, s.right - 255), TAPE_SPACE.top + 28, `short sale restriction ${since}`, { class: "ssr-tag haloed" });
  }
}

function drawBook(root, s, tape) {
  const { b, a, k } = tape.book;
  const paths = { band: "", locked: "", crossed: "", bid: "", ask: "" };
  const last = { bid: -1, ask: -1 };
  eachStep(tape, (i, from, to) => {
    const [x1, x2] = [s.x(from).toFixed(1), s.x(to).toFixed(1)];
    for (const [side, prices] of [["bid", b], ["ask", a]]) {
      if (prices[i] === null) continue;
      paths[side] += `${last[side] === i - 1 && i > 0 ? "V" : `M${x1} `}${s.y(prices[i]).toFixed(1)}H${x2}`;
      last[side] = i;
    }
    if (k[i] > CROSSED) return;
    const [top, bottom] = [s.y(Math.max(a[i], b[i])), s.y(Math.min(a[i], b[i]))].map((y) => y.toFixed(1));
    if (k[i] === LOCKED) paths.locked += `M${x1} ${top}H${x2}`;
    else paths[k[i] === CROSSED ? "crossed" : "band"] += `M${x1} ${top}H${x2}V${bottom}H${x1}Z`;
  });
  for (const [name, d] of Object.entries(paths)) if (d) svg("path", { d, class: `book ${name}` }, root);
}

const radius = (tape, size) => Math.max(1.4, Math.min(11, 5.5 * Math.sqrt(size / tape.large)));

function drawTrades(root, s, tape) {
  const { t, p, s: sizes, k } = tape.marks;
  const paths = {};
  const add = (name, d) => { paths[name] = (paths[name] || "") + d; };
  t.forEach((ms, i) => {
    if (ms < view.from || ms >= Math.min(view.to, endOf(tape))) return;
    const [x, y, r] = [s.x(ms).toFixed(1), s.y(p[i]), radius(tape, sizes[i]).toFixed(1)];
    const side = SIDE_CLASS[k[i] % 3];
    if (y < TAPE_SPACE.top) add(`beyond ${side}`, `M${x} ${TAPE_SPACE.top + 2}l-4 7h8Z`);
    else if (y > s.priceFloor) add(`beyond ${side}`, `M${x} ${s.priceFloor - 1}l-4 -7h8Z`);
    else if (k[i] >= 6) add("uncounted", `M${x} ${y.toFixed(1)}m-3 -3l6 6m0 -6l-6 6`);
    else add(`${k[i] % 6 >= 3 ? "trf" : "exchange"} ${side}`, `M${(x - r).toFixed(1)} ${y.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`);
  });
  for (const [name, d] of Object.entries(paths)) svg("path", { d, class: `trades ${name}` }, root);
}

/* Volume by side, and its imbalance, in steps of at least three pixels. */
function drawFlow(root, s, tape) {
  const { at, buy, sell, other } = tape.flow;
  const seconds = stepSeconds(s, tape);
  const sums = new Map();
  at.forEach((bucket, i) => {
    const ms = tape.from + bucket * tape.step * 1000;
    if (ms >= endOf(tape)) return;
    const key = Math.floor((ms - tape.from) / (seconds * 1000));
    const sum = sums.get(key) || [0, 0, 0];
    sums.set(key, [sum[0] + buy[i], sum[1] + sell[i], sum[2] + other[i]]);
  });
  const bars = [...sums].map(([key, sum]) => ({ from: tape.from + key * seconds * 1000, sum })).filter(({ from }) => from + seconds * 1000 > view.from && from < view.to);
  const most = Math.max(1, ...bars.map(({ sum }) => sum[0] + sum[1] + sum[2]));
  const paths = { buy: "", sell: "", unsigned: "", more: "", less: "" };
  const middle = (s.imbalanceTop + s.floor) / 2;
  for (const { from, sum } of bars) {
    const [x1, x2] = [s.x(from), s.x(Math.min(from + seconds * 1000, endOf(tape)))];
    const across = `H${Math.max(x1 + 0.7, x2 - 0.6).toFixed(1)}`;
    let y = s.volumeFloor;
    for (const [name, shares] of [["sell", sum[1]], ["buy", sum[0]], ["unsigned", sum[2]]]) {
      const top = y - (shares / most) * (s.volumeFloor - s.volumeTop);
      if (shares) paths[name] += `M${x1.toFixed(1)} ${y.toFixed(1)}${across}V${top.toFixed(1)}H${x1.toFixed(1)}Z`;
      y = top;
    }
    const share = sum[0] + sum[1] ? (sum[0] - sum[1]) / (sum[0] + sum[1]) : 0;
    if (share) paths[share > 0 ? "more" : "less"] += `M${x1.toFixed(1)} ${middle.toFixed(1)}${across}V${(middle - share * (s.floor - s.imbalanceTop) / 2).toFixed(1)}H${x1.toFixed(1)}Z`;
  }
  for (const [name, d] of Object.entries(paths)) if (d) svg("path", { d, class: `flow ${name}` }, root);
  svg("line", { x1: s.left, x2: s.right, y1: middle, y2: middle, class: "edge" }, root);
  const per = seconds === 1 ? "second" : `${seconds} s`;
  svg("text", { x: s.right + 7, y: s.volumeTop + 10 }, root, short(most));
  svg("text", { x: s.left + 4, y: s.volumeTop - 3 }, root, `shares per ${per}`);
  svg("text", { x: s.left + 4, y: s.imbalanceTop - 3 }, root, `imbalance per ${per}`);
  svg("text", { x: s.right + 7, y: s.imbalanceTop + 9 }, root, "buyers");
  svg("text", { x: s.right + 7, y: s.floor - 2 }, root, "sellers");
}

function stepSeconds(s, tape) {
  const perSecond = ((s.right - s.left) / (view.to - view.from)) * 1000;
  const times = [1, 2, 5, 10, 15, 30, 60, 120, 300].find((factor) => factor * tape.step * perSecond >= 3) || 600;
  return times * tape.step;
}
