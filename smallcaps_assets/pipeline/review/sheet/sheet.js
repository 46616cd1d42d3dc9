"use strict";
/* The page of a review sheet. Values from the data are inserted as text, never as markup. */

const sheet = JSON.parse(document.getElementById("data").textContent);
const events = sheet.events;
const byId = new Map(events.map((event) => [event.id, event]));
const key = `smallcaps review/${sheet.manifest_id}/${sheet.sample_id}`;
const $ = (id) => document.getElementById(id);
const words = (name) => name.replaceAll("_", " ");
const arrow = (event) => (event.direction === "up" ? "▲" : "▼");

/* ---------------------------------------------------------------- figures */

const plain = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const dollars = (value) => `$${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 })}`;
const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
const KINDS = {
  "0.000": (value) => plain(value, 3),
  x: (value) => `${plain(value, 1)}×`,
  $: dollars,
  "#": (value) => plain(value, 0),
  "$#": (value) => `$${plain(value, 0)}`,
  "": String,
};
const written = (value, kind) => (value === null ? "–" : KINDS[kind](value));

function element(name, attributes = {}, text = null, parent = null) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

/* ---------------------------------------------------------------- labels: {event_id: {mark, at}}; `mark` is null where a label was withdrawn */

const STRENGTH = { good: 1, bad: 2 };
let labels = {};
let exported = true;
let storage = true;

function later(one, other) {
  if (!one || !other) return one || other;
  const ages = [Date.parse(one.at), Date.parse(other.at)];
  if (ages[0] !== ages[1]) return ages[0] > ages[1] ? one : other;
  return (STRENGTH[one.mark] || 0) >= (STRENGTH[other.mark] || 0) ? one : other;
}

function merge(others) {
  for (const [id, entry] of Object.entries(others)) if (byId.has(id)) labels[id] = later(labels[id], entry);
}

function restore() {
  if (history.state && history.state.key === key) merge(history.state.marks);
  try {
    merge(JSON.parse(localStorage.getItem(key) || "{}"));
    localStorage.setItem(key, JSON.stringify(labels));
  } catch {
    storage = false;
  }
}

/* In the browser's storage, and in the page's history state, which survives a reload if storage is blocked. */
function keep() {
  exported = false;
  history.replaceState({ key, marks: labels }, "");
  try {
    merge(JSON.parse(localStorage.getItem(key) || "{}"));  // the page may be open twice
    localStorage.setItem(key, JSON.stringify(labels));
  } catch {
    storage = false;
    notify("This browser does not keep the labels of this page. Export them before you close it.");
  }
}

const labelOf = (event) => (labels[event.id] || {}).mark || null;

function set(event, mark) {
  labels[event.id] = { mark, at: new Date().toISOString() };
  keep();
}

function label(word) {
  if (!current) return;
  const again = labelOf(current) === word;
  set(current, again ? null : word);
  if (again || !step(1)) show(current);
}

function undo() {
  const labeled = events.filter(labelOf).sort((a, b) => Date.parse(labels[a.id].at) - Date.parse(labels[b.id].at));
  const last = labeled.pop();
  if (!last) return;
  set(last, null);
  show(last);
}

function exportLabels() {
  const head = { format: sheet.format, version: sheet.version, profile: sheet.profile };
  const whose = { manifest_id: sheet.manifest_id, sample_id: sheet.sample_id, exported_at: new Date().toISOString() };
  const text = JSON.stringify({ ...head, ...whose, marks: labels }, null, 1);
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  element("a", { href: url, download: `${sheet.manifest_id}_labels.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  exported = true;
}

async function importLabels(file) {
  try {
    const read = JSON.parse(await file.text());
    if (read.format !== sheet.format) throw new Error("it is not an export of a review sheet");
    for (const name of ["manifest_id", "sample_id"])
      if (read[name] !== sheet[name]) throw new Error(`its ${name} is ${read[name]}, this page has ${sheet[name]}`);
    const valid = (entry) => [null, "good", "bad"].includes(entry.mark) && !Number.isNaN(Date.parse(entry.at));
    if (!Object.values(read.marks).every(valid)) throw new Error("it has labels other than good and bad");
    merge(read.marks);
    keep();
    notify(`${file.name}: ${Object.keys(read.marks).length} labels imported; the later label of an event wins.`, true);
  } catch (error) {
    notify(`${file.name} cannot be imported: ${error.message}.`);
  }
  show(current);
}

function notify(text, good = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("success", good);
  $("notice").hidden = false;
}

/* ---------------------------------------------------------------- filter and current event */

let current = null;
let shown = [];

function chosen(event) {
  const [byLabel, byType, bySession] = ["by-label", "by-type", "by-session"].map((id) => $(id).value);
  const fits = byLabel === "" || (byLabel === "open" ? !labelOf(event) : labelOf(event) === byLabel);
  return fits && (byType === "" || event.type === byType) && (bySession === "" || event.session === bySession);
}

/* Steps in the list as it was before the last label, so that an event that its new label filters out has a next one. */
function step(by, wanted = () => true) {
  const at = shown.indexOf(current);
  for (let place = at + by; place >= 0 && place < shown.length; place += by)
    if (wanted(shown[place])) return show(shown[place]);
  return false;
}

function show(event) {
  // an event is judged without hindsight, whatever was shown of the one before
  if (event && event !== current && !labelOf(event)) $("hide").checked = true;
  current = event;
  list();
  counts();
  document.body.classList.toggle("empty", !event);
  if (event) describe(event);
  redraw();
  return true;
}

function list() {
  shown = events.filter((event) => chosen(event) || event === current);
  const rows = shown.map((event) => {
    const row = element("li", { class: labelOf(event) || "", tabindex: "0", "aria-current": String(event === current) });
    element("span", { class: "dot" }, { good: "✓", bad: "✗" }[labelOf(event)] || "○", row);
    element("b", {}, event.symbol, row);
    element("span", { class: "when" }, clock(event.clock), row);
    const kind = element("span", { class: "kind" }, null, row);
    element("span", { class: event.direction }, `${arrow(event)} `, kind);
    kind.append(words(event.type));
    element("span", { class: "when" }, `${event.session} ${event.date.slice(5)}`, row);
    row.addEventListener("click", () => show(event));
    return row;
  });
  $("list").replaceChildren(...rows);
  const row = $("list").querySelector('[aria-current="true"]');
  if (row) row.scrollIntoView({ block: "nearest" });
}

function counts() {
  const good = events.filter((event) => labelOf(event) === "good").length;
  const bad = events.filter((event) => labelOf(event) === "bad").length;
  $("count").textContent = `${good + bad} of ${events.length} labeled · ${good} good · ${bad} bad`;
  $("bar-good").style.width = `${(100 * good) / Math.max(events.length, 1)}%`;
  $("bar-bad").style.width = `${(100 * bad) / Math.max(events.length, 1)}%`;
  $("place").textContent = current ? `${shown.indexOf(current) + 1} of ${shown.length}` : "";
}

function describe(event) {
  const title = element("span", {}, `${event.symbol} `);
  const type = element("span", { class: event.direction }, `${arrow(event)} ${words(event.type)} `);
  const named = (sheet.names || {})[event.id];
  const when = element("small", {}, `${event.date} ${clock(event.clock)} New York · ${event.session}${named ? ` · ${named}` : ""}`);
  $("name").replaceChildren(title, type, when);
  $("meaning").textContent = sheet.meanings[event.type] || "";
  for (const word of ["good", "bad"]) $(word).setAttribute("aria-pressed", String(labelOf(event) === word));
  $("known").replaceChildren();
  $("hindsight").replaceChildren();
  sheet.figures.forEach((figure, place) => {
    const into = $(figure.hindsight ? "hindsight" : "known");
    element("dt", { title: figure.help }, figure.label, into);
    element("dd", {}, written(event.figures[place], figure.kind), into);
  });
  $("event-id").textContent = event.id;
}

/* ---------------------------------------------------------------- the chart */

const SPACE = { left: 12, right: 66, top: 30, bottom: 24, gap: 12, volume: 0.22 };

function svg(name, attributes, parent, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

/* About `about` round values between two values. */
function ticks(low, high, about) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const by = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let number = Math.ceil(low / by); number * by <= high + by * 1e-9; number += 1) found.push(number * by);
  const exact = [2, 3, 4].find((digits) => Math.abs(by - Number(by.toFixed(digits))) < by * 1e-6);
  return { found, digits: exact || 5 };
}

const TROUBLE = {
  no_bars: (event) =>
    `The lake has no bars of ${event.symbol} on ${event.date}, so there is no chart. ` +
    "Materialize its minute_bars, then this sheet again.",
  no_event_bar: () => "The bar of the event is no longer in the lake: the chart does not show its minute.",
  changed: () => "The bar of the event has changed since detection: its close or volume differs from the figures shown.",
};

function redraw() {
  const event = current;
  document.body.classList.toggle("hiding", $("hide").checked);
  showTape(event);
  outcomeFigures(event);
  if (!event) return void $("chart").replaceChildren(element("p", { class: "nothing" }, events.length ? "No event matches these filters." : "The manifest has no events."));
  const visible = rows(event).filter((row) => row.minute <= 0 || !$("hide").checked);
  if (!visible.length) {
    const why = TROUBLE[event.trouble] || (() => "No trades in this period.");
    return void $("chart").replaceChildren(element("p", { class: "nothing" }, why(event)));
  }
  legend(event);
  draw(event, visible);
}

/* The bars of an event, one object each. */
function rows(event) {
  const names = Object.keys(event.bars);
  return event.bars.minute.map((_, place) => Object.fromEntries(names.map((name) => [name, event.bars[name][place]])));
}

function scales(event, visible) {
  const { clientWidth: width, clientHeight: height } = $("chart");
  const minutes = event.bars.minute;
  const first = Math.min(minutes[0], -15);
  const last = Math.max(minutes[minutes.length - 1], 15);
  const slot = (width - SPACE.left - SPACE.right) / (last - first + 1);
  const floor = height - SPACE.bottom;
  const volumeTop = floor - (floor - SPACE.top) * SPACE.volume;
  const priceFloor = volumeTop - SPACE.gap;
  const prices = visible.flatMap((row) => [row.low, row.high]).concat(event.zone ? event.zone.slice(0, 2) : [], pricesOfOutcome(event));
  let [low, high] = [Math.min(...prices), Math.max(...prices)];
  const reach = high - low || high * 0.01;
  for (const { vwap_session: vwap } of visible)
    if (vwap !== null && vwap > low - reach * 0.5 && vwap < high + reach * 0.5) [low, high] = [Math.min(low, vwap), Math.max(high, vwap)];
  [low, high] = [low - reach * 0.04, high + reach * 0.06];
  const most = Math.max(...visible.map((row) => row.volume), 1);
  return {
    width, height, first, last, slot, floor, volumeTop, priceFloor, low, high, most,
    right: width - SPACE.right,
    x: (minute) => SPACE.left + (minute - first) * slot,
    y: (price) => SPACE.top + ((high - price) / (high - low)) * (priceFloor - SPACE.top),
    v: (volume) => floor - (volume / most) * (floor - volumeTop),
  };
}

function draw(event, visible) {
  const s = scales(event, visible);
  const root = svg("svg", { width: s.width, height: s.height, role: "img", "aria-label": `${event.symbol} around the event` });
  const clip = svg("clipPath", { id: "prices" }, svg("defs", {}, root));
  svg("rect", { x: SPACE.left, y: SPACE.top, width: s.right - SPACE.left, height: s.priceFloor - SPACE.top }, clip);
  drawSessions(root, s, visible);
  drawAxes(root, s, event);
  drawEvent(root, s, event);
  if (event.zone) drawZone(root, s, event);
  drawBars(root, s, visible);
  drawVwap(root, s, visible);
  drawOutcome(root, s, event);
  if (event.trouble) svg("text", { x: SPACE.left + 8, y: SPACE.top + 18, class: "event-tag" }, root, TROUBLE[event.trouble](event));
  drawCross(root, s, event, visible);
  $("chart").replaceChildren(root);
}

/* Pre-market and after-hours are shaded; a session begins with its first bar. */
function drawSessions(root, s, visible) {
  let began = s.first;
  visible.forEach((row, place) => {
    const next = visible[place + 1];
    if (next && next.session === row.session) return;
    const ends = next ? next.minute : s.last + 1;
    if (row.session !== "RTH") svg("rect", { x: s.x(began), y: SPACE.top, width: s.x(ends) - s.x(began), height: s.floor - SPACE.top, class: "other" }, root);
    const name = { PM: "pre-market", RTH: "regular hours", AH: "after-hours" }[row.session];
    if (s.x(ends) - s.x(began) > 70) svg("text", { x: s.x(began) + 6, y: s.volumeTop + 10 }, root, name);
    if (next) svg("line", { x1: s.x(ends), x2: s.x(ends), y1: SPACE.top, y2: s.floor, class: "edge" }, root);
    began = ends;
  });
}

function drawAxes(root, s, event) {
  const prices = ticks(s.low, s.high, (s.priceFloor - SPACE.top) / 46);
  for (const price of prices.found) {
    svg("line", { x1: SPACE.left, x2: s.right, y1: s.y(price), y2: s.y(price), class: "grid" }, root);
    svg("text", { x: s.right + 7, y: s.y(price) + 4 }, root, plain(price, prices.digits));
  }
  const by = [5, 10, 15, 30, 60, 120].find((minutes) => minutes * s.slot >= 64) || 240;
  for (let minute = Math.ceil((event.clock + s.first) / by) * by - event.clock; minute <= s.last; minute += by) {
    const x = s.x(minute) + s.slot / 2;
    svg("line", { x1: x, x2: x, y1: SPACE.top, y2: s.floor, class: "grid" }, root);
    svg("text", { x, y: s.height - 8, "text-anchor": "middle" }, root, clock(event.clock + minute));
  }
  for (const y of [s.priceFloor + SPACE.gap / 2, s.floor]) svg("line", { x1: 0, x2: s.width, y1: y, y2: y, class: "edge" }, root);
  svg("line", { x1: s.right, x2: s.right, y1: 0, y2: s.floor, class: "edge" }, root);
  svg("text", { x: s.right + 7, y: s.volumeTop + 10 }, root, short(s.most));
}

const short = (shares) => (shares >= 1e6 ? `${plain(shares / 1e6, 2)} M` : shares >= 1e3 ? `${plain(shares / 1e3, 0)} k` : plain(shares, 0));

function drawEvent(root, s, event) {
  const [x, width] = [s.x(0), Math.max(s.slot, 2)];
  svg("rect", { x, y: SPACE.top, width, height: s.floor - SPACE.top, class: "event" }, root);
  const text = `${arrow(event)} ${words(event.type)} ${clock(event.clock)}`;
  svg("text", { x: x + width / 2, y: 19, class: "event-tag", "text-anchor": "middle" }, root, text);
  svg("line", { x1: x + width / 2, x2: x + width / 2, y1: 23, y2: SPACE.top, class: "event-line" }, root);
  const [from, to] = [Math.max(-event.window[0], s.first), Math.min(event.window[1], s.last + 1)];
  svg("line", { x1: s.x(from), x2: s.x(to), y1: s.floor, y2: s.floor, class: "tape" }, root);
}

function drawZone(root, s, event) {
  const [low, high, start, end] = event.zone;
  const [from, to] = [Math.max(start, s.first), Math.min(end, s.last + 1)];
  if (to > from) svg("rect", { x: s.x(from), y: s.y(high), width: s.x(to) - s.x(from), height: Math.max(s.y(low) - s.y(high), 1), class: "zone" }, root);
  for (const price of [low, high]) svg("line", { x1: s.x(from < to ? from : s.first), x2: s.right, y1: s.y(price), y2: s.y(price), class: "zone-line" }, root);
  const name = event.type === "opening_range_break" ? "opening range" : "base";
  const text = `${name} ${clock(event.clock + start)}–${clock(event.clock + end)}`;
  svg("text", { x: s.right - 6, y: s.y(high) - 5, class: "zone-tag", "text-anchor": "end" }, root, `${text}, high ${dollars(high)}`);
  svg("text", { x: s.right - 6, y: s.y(low) + 13, class: "zone-tag", "text-anchor": "end" }, root, `low ${dollars(low)}`);
}

function drawBars(root, s, visible) {
  const body = Math.max(1, Math.min(13, s.slot * 0.72));
  let baseline = "";
  for (const row of visible) {
    const middle = s.x(row.minute) + s.slot / 2;
    const colour = row.close > row.open ? "up" : row.close < row.open ? "down" : "flat";
    const [top, bottom] = [Math.max(row.open, row.close), Math.min(row.open, row.close)];
    svg("line", { x1: middle, x2: middle, y1: s.y(row.high), y2: s.y(row.low), class: `candle ${colour}` }, root);
    svg("rect", { x: middle - body / 2, y: s.y(top), width: body, height: Math.max(s.y(bottom) - s.y(top), 1), class: `candle ${colour}` }, root);
    const atEvent = row.minute === 0 ? " at-event" : "";
    svg("rect", { x: middle - body / 2, y: s.v(row.volume), width: body, height: s.floor - s.v(row.volume), class: `candle volume ${colour}${atEvent}` }, root);
    if (row.volume_baseline !== null) baseline += `${baseline ? "L" : "M"}${middle} ${s.v(Math.min(row.volume_baseline, s.most))}`;
  }
  svg("path", { d: baseline, class: "baseline" }, root);
}

/* VWAP begins anew with regular hours. */
function drawVwap(root, s, visible) {
  let path = "";
  let before = null;
  for (const row of visible) {
    const begins = before === null || (before === "PM") !== (row.session === "PM");
    if (row.vwap_session !== null) path += `${begins ? "M" : "L"}${s.x(row.minute) + s.slot / 2} ${s.y(row.vwap_session)}`;
    before = row.session;
  }
  svg("path", { d: path, class: "vwap", "clip-path": "url(#prices)" }, root);
  const last = visible[visible.length - 1].vwap_session;
  if (last === null) return;
  const beyond = last < s.low ? " ↓" : last > s.high ? " ↑" : "";
  const y = Math.max(SPACE.top, Math.min(s.priceFloor - 17, s.y(last) - 8));
  svg("rect", { x: s.right + 1, y, width: SPACE.right - 2, height: 17, class: "vwap-box" }, root);
  svg("text", { x: s.right + 7, y: y + 12, class: "vwap-tag" }, root, `VWAP${beyond}`);
}

function drawCross(root, s, event, visible) {
  const line = svg("line", { y1: SPACE.top, y2: s.floor, class: "cross", visibility: "hidden" }, root);
  const level = svg("line", { x1: SPACE.left, x2: s.right, class: "cross", visibility: "hidden" }, root);
  const tag = svg("g", { visibility: "hidden" }, root);
  const box = svg("rect", { x: s.right + 1, width: SPACE.right - 2, height: 18, class: "price-tag" }, tag);
  const price = svg("text", { x: s.right + 7, class: "price" }, tag, "");
  const parts = [line, level, tag];
  const eventRow = visible.find((row) => row.minute === 0) || visible[visible.length - 1];
  readout(event, eventRow);
  root.addEventListener("pointermove", (pointer) => {
    const { left, top } = root.getBoundingClientRect();
    const [x, y] = [pointer.clientX - left, pointer.clientY - top];
    const minute = s.first + (x - SPACE.left) / s.slot - 0.5;
    const row = visible.reduce((best, other) => (Math.abs(other.minute - minute) < Math.abs(best.minute - minute) ? other : best));
    const middle = s.x(row.minute) + s.slot / 2;
    line.setAttribute("x1", middle);
    line.setAttribute("x2", middle);
    readout(event, row);
    const inside = y >= SPACE.top && y <= s.priceFloor;
    for (const attribute of ["y1", "y2"]) level.setAttribute(attribute, y);
    box.setAttribute("y", y - 9);
    price.setAttribute("y", y + 4);
    price.textContent = plain(s.high - ((y - SPACE.top) / (s.priceFloor - SPACE.top)) * (s.high - s.low), s.high < 10 ? 3 : 2);
    parts.forEach((part, place) => part.setAttribute("visibility", place && !inside ? "hidden" : "visible"));
  });
  root.addEventListener("pointerleave", () => {
    parts.forEach((part) => part.setAttribute("visibility", "hidden"));
    readout(event, eventRow);
  });
}

function readout(event, row) {
  const from = row.vwap_session === null ? "" : ` (${plain(100 * (row.close / row.vwap_session - 1), 1)} %)`;
  const times = row.volume_baseline ? ` (${plain(row.volume / row.volume_baseline, 1)}×)` : "";
  const figures = [
    ["", clock(event.clock + row.minute)],
    ["O", dollars(row.open)], ["H", dollars(row.high)], ["L", dollars(row.low)], ["C", dollars(row.close)],
    ["volume", plain(row.volume, 0) + times],
    ["VWAP", row.vwap_session === null ? "–" : dollars(row.vwap_session) + from],
  ];
  $("readout").replaceChildren();
  for (const [name, value] of figures) {
    $("readout").append(name ? ` ${name} ` : "");
    element("b", {}, value, $("readout"));
    $("readout").append("  ");
  }
}

function legend(event) {
  $("legend").replaceChildren();
  const entries = [["vwap", "VWAP of the session"], ["event", "the event's minute", "box"], ["event", `window of tape −${event.window[0]} to +${event.window[1]} min`], ["soft", "median volume of the bars before", "dots"]];
  if (event.zone) entries.splice(1, 0, ["zone", event.type === "opening_range_break" ? "opening range" : "base", "box"]);
  for (const [colour, text, look] of [...entries, ...legendOfOutcome(event)]) {
    const entry = element("span", {}, null, $("legend"));
    const sign = element("i", { class: look || "line" }, null, entry);
    sign.style[look === "box" ? "background" : "borderColor"] = `var(--${colour})`;
    entry.append(text);
  }
}

/* ---------------------------------------------------------------- buttons and keys */

const KEYS = {
  g: () => label("good"), b: () => label("bad"), u: undo, e: exportLabels, "?": () => $("help").showModal(),
  j: () => step(1), arrowright: () => step(1), arrowdown: () => step(1),
  k: () => step(-1), arrowleft: () => step(-1), arrowup: () => step(-1),
  n: () => step(1, (event) => !labelOf(event)),
  h: () => { $("hide").checked = !$("hide").checked; redraw(); },
  ...TAPE_KEYS,
};
// a page of one event has nothing to label
if (!sheet.sample_id) for (const name of "gbuejkn") delete KEYS[name];

function start() {
  restore();
  document.title = sheet.sample_id ? `Review ${sheet.profile} · ${sheet.manifest_id}` : `${events[0].id} · ${sheet.profile}`;
  document.body.classList.toggle("single", !sheet.sample_id);
  if (!sheet.sample_id) $("heading").textContent = "Event";
  $("profile").textContent = sheet.profile;
  $("manifest").textContent = `${sheet.manifest_id} · ${events.length} of ${plain(sheet.manifest_events, 0)} events`;
  $("command").textContent = `smallcaps review ${sheet.manifest_id}_labels.json`;
  for (const [id, name] of [["by-type", "type"], ["by-session", "session"]]) {
    for (const value of [...new Set(events.map((event) => event[name]))].sort()) element("option", { value }, words(value), $(id));
    $(id).addEventListener("change", () => show(events.find(chosen) || null));
  }
  $("by-label").addEventListener("change", () => show(events.find(chosen) || null));
  for (const [id, act] of [["good", () => label("good")], ["bad", () => label("bad")], ["undo", undo], ["next", () => step(1)], ["previous", () => step(-1)], ["export", exportLabels], ["help-open", KEYS["?"]], ["hide", redraw]])
    $(id).addEventListener("click", act);
  $("import").addEventListener("click", () => $("import-file").click());
  $("import-file").addEventListener("change", () => {
    const [file] = $("import-file").files;
    if (file) importLabels(file);
    $("import-file").value = "";
  });
  document.addEventListener("keydown", (pressed) => {
    const act = KEYS[(pressed.shiftKey && pressed.key.startsWith("Arrow") ? "shift " : "") + pressed.key.toLowerCase()];
    if (!act || pressed.ctrlKey || pressed.metaKey || pressed.altKey || $("help").open || pressed.target.tagName === "SELECT") return;
    pressed.preventDefault();
    // a key that is held down labels one event only
    if (!pressed.repeat || Object.values(TAPE_KEYS).includes(act)) act();
  });
  addEventListener("beforeunload", (leaving) => { if (!storage && !exported) leaving.preventDefault(); });
  new ResizeObserver(redraw).observe($("chart"));
  watchTape();
  if (!storage) notify("This browser does not keep the labels of this page. Export them before you close it.");
  show(events.find((event) => !labelOf(event)) || events[0] || null);
}

start();
