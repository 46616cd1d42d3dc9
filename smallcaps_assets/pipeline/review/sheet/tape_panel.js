"use strict";
/* What surrounds the chart of the tape: the line under the pointer, the legend, the count, the figures, and the keys. */

const LEGEND = [
  ["dot buy", "buyer's side (Lee-Ready)"], ["dot sell", "seller's side"], ["dot unsigned", "no side"],
  ["ring", "off-exchange"], ["cross", "not counted for volume"], ["triangle", "price beyond the chart"],
  ["band", "between bid and ask"], ["locked", "bid equal to ask"], ["crossed", "bid above ask"], ["halt", "halt"],
];
const UNIT_DIGITS = { bps: 1, USD: 0, trades: 0, shares: 0, ms: 0, "trades/s": 2, s: 1, Hz: 0 };

/* ---------------------------------------------------------------- the line under the pointer */

function nearestTrade(tape, s, pointer, root) {
  const { left, top } = root.getBoundingClientRect();
  const [x, y] = [pointer.clientX - left, pointer.clientY - top];
  let [best, distance] = [null, Infinity];
  tape.marks.t.forEach((t, i) => {
    if (t < view.from || t >= Math.min(view.to, endOf(tape))) return;
    const away = (s.x(t) - x) ** 2 + (s.y(tape.marks.p[i]) - y) ** 2 * 0.25;
    if (away < distance) [best, distance] = [i, away];
  });
  return { trade: distance < 2500 ? best : null, ms: Math.max(view.from, Math.min(view.to, s.ms(x))) };
}

const priceText = (price) => (price === null || price === undefined ? "–" : dollars(price));

function bookAt(tape, ms, strictly) {
  const { t, b, a, k } = tape.book;
  let at = -1;
  for (let i = 0; i < t.length && (strictly ? t[i] < ms : t[i] <= ms); i += 1) at = i;
  return at < 0 ? "no quote" : `bid ${priceText(b[at])} ask ${priceText(a[at])}${STATE_WORDS[k[at]] ? ` (${STATE_WORDS[k[at]]})` : ""}`;
}

function readTape(event, tape, pointed) {
  const line = $("tape-readout");
  if (!pointed) {
    line.textContent = `${nyTime(event, view.from)} to ${nyTime(event, view.to)} New York · wheel or + − zoom, drag to move`;
    return;
  }
  const { marks } = tape;
  line.replaceChildren();
  if (pointed.trade === null) {
    element("b", {}, nyTime(event, pointed.ms, 1), line);
    line.append(`  ${bookAt(tape, pointed.ms, false)}`);
    return;
  }
  const i = pointed.trade;
  const kind = marks.k[i];
  element("b", {}, `${nyTime(event, marks.t[i], 3)}  ${plain(marks.s[i], 0)} at ${dollars(marks.p[i])}`, line);
  const notes = [SIDE_WORDS[kind % 3], kind % 6 >= 3 ? "off-exchange" : "on exchange", ...(kind >= 6 ? ["not counted for volume"] : []), bookAt(tape, marks.t[i], true)];
  line.append(`  ${notes.join(" · ")}`);
}

/* ---------------------------------------------------------------- legend and count */

function tapeLegend(tape) {
  $("tape-legend").replaceChildren();
  const has = { ring: tape.marks.k.some((kind) => kind % 6 >= 3), cross: tape.marks.k.some((kind) => kind >= 6), locked: tape.book.k.includes(LOCKED), crossed: tape.book.k.includes(CROSSED), halt: haltsOf(tape).length > 0 };
  for (const [sign, text] of LEGEND) {
    if (has[sign] === false) continue;
    const entry = element("span", {}, null, $("tape-legend"));
    element("i", { class: `sign ${sign}` }, null, entry);
    entry.append(text);
  }
  $("tape-count").textContent = countText(tape);
}

function countText(tape) {
  const [trades, quotes] = tape.state;
  const isCaptured = (state) => state === "complete" || state === "empty";
  const without = (state) => (state === "missing" ? "are not captured" : `are not captured (${state})`);
  const shown = (rows, of, what) => (rows < of ? `showing ${plain(rows, 0)} of ${plain(of, 0)} ${what}` : `all ${plain(of, 0)} ${what}`);
  const parts = [];
  parts.push(!isCaptured(trades) ? `trades ${without(trades)}` : shown(tape.marks.t.length, tape.marks.of, "trades"));
  parts.push(!isCaptured(quotes) ? `quotes ${without(quotes)}, so that no trade has a side` : shown(tape.book.t.length, tape.book.of, "changes of bid or ask"));
  const thinned = tape.marks.t.length < tape.marks.of || tape.book.t.length < tape.book.of;
  return `${parts.join(", ")}${thinned ? ": of every part of the window the largest trades and the last quotes; volume, imbalance and figures are of all" : ""}`;
}

/* ---------------------------------------------------------------- figures, by segment */

function figuresOf(tape) {
  for (const [id, hindsight] of [["tape-known", false], ["tape-hindsight", true]]) {
    const segments = sheet.tape.segments.filter((segment) => segment.hindsight === hindsight && tape.figures[segment.name]);
    $(id).replaceChildren();
    if (!segments.length) continue;
    const groups = [...new Set(sheet.tape.columns.map((column) => column.group))];
    for (const group of groups) {
      const isEmpty = (column, place) => column.group !== group || segments.every((segment) => tape.figures[segment.name][place] === null);
      if (sheet.tape.columns.every(isEmpty)) continue;
      const folded = group === groups[groups.length - 1];
      const into = folded ? element("details", {}, null, $(id)) : $(id);
      if (folded) element("summary", {}, group, into);
      into.append(figureTable(tape, group, segments, folded || !$(id).querySelector("table")));
    }
  }
}

function figureTable(tape, group, segments, withHead) {
  const table = element("table", { class: "figures" });
  const widths = element("colgroup", {}, null, table);
  for (const name of ["name", ...segments.map(() => "value")]) element("col", { class: name }, null, widths);
  const head = element("tr", {}, null, element("thead", {}, null, table));
  element("th", { scope: "col" }, withHead && group !== "all others" ? "tape" : "", head).hidden = !withHead;
  if (withHead) for (const segment of segments) element("th", { scope: "col", title: segment.help }, segment.name, head);
  const body = element("tbody", {}, null, table);
  if (group !== "all others") element("th", { colspan: String(segments.length + 1), class: "group" }, group, element("tr", {}, null, body));
  sheet.tape.columns.forEach((column, place) => {
    if (column.group !== group) return;
    const values = segments.map((segment) => tape.figures[segment.name][place]);
    if (values.every((value) => value === null)) return;
    const row = element("tr", {}, null, body);
    element("th", { scope: "row", title: `${column.name}${column.unit ? `, ${column.unit}` : ""}` }, words(column.name), row);
    for (const value of values) element("td", {}, figureText(value, column.unit), row);
  });
  return table;
}

function figureText(value, unit) {
  if (value === null) return "–";
  if (unit.startsWith("share of")) return `${plain(value * 100, value === 1 ? 0 : 1)} %`;
  if (Math.abs(value) >= 1e6) return `${plain(value / 1e6, 2)} M`;
  if (Math.abs(value) >= 1e5) return `${plain(value / 1e3, 0)} k`;
  const digits = UNIT_DIGITS[unit];
  if (unit === "ratio" && Math.abs(value) < 100) return plain(value, Math.abs(value) < 10 ? 3 : 1);
  if (digits === undefined || (digits === 0 && !Number.isInteger(value) && Math.abs(value) < 10)) return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 });
  return plain(value, digits);
}

/* ---------------------------------------------------------------- zoom and pan */

function watchTape() {
  const chart = $("tape");
  chart.addEventListener("wheel", (turned) => {
    if (!view.event) return;
    turned.preventDefault();
    const share = (turned.clientX - chart.getBoundingClientRect().left - TAPE_SPACE.left) / (chart.clientWidth - TAPE_SPACE.left - TAPE_SPACE.right);
    if (turned.shiftKey || Math.abs(turned.deltaX) > Math.abs(turned.deltaY)) panTape((turned.deltaX || turned.deltaY) / chart.clientWidth);
    else zoomTape(1.0015 ** turned.deltaY, view.from + Math.max(0, Math.min(1, share)) * (view.to - view.from));
  }, { passive: false });
  let drag = null;
  chart.addEventListener("pointerdown", (pressed) => {
    if (pressed.button !== 0) return;
    drag = { x: pressed.clientX, from: view.from, to: view.to };
    chart.setPointerCapture(pressed.pointerId);
  });
  chart.addEventListener("pointermove", (moved) => {
    if (!drag) return;
    const by = ((drag.x - moved.clientX) / (chart.clientWidth - TAPE_SPACE.left - TAPE_SPACE.right)) * (drag.to - drag.from);
    moveTape(drag.from + by, drag.to + by);
  });
  for (const name of ["pointerup", "pointercancel"]) chart.addEventListener(name, () => { drag = null; });
  chart.addEventListener("dblclick", resetTape);
  // with the focus on the chart the arrows move it, not the list
  chart.addEventListener("keydown", (pressed) => {
    const by = { ArrowLeft: -0.2, ArrowRight: 0.2 }[pressed.key];
    if (!by || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    pressed.preventDefault();
    pressed.stopPropagation();
    panTape(by);
  });
  for (const [id, act] of [["tape-in", TAPE_KEYS["+"]], ["tape-out", TAPE_KEYS["-"]], ["tape-reset", resetTape]]) $(id).addEventListener("click", act);
  new ResizeObserver(() => { if (view.event) showTape(view.event); }).observe(chart);
}

const TAPE_KEYS = {
  "+": () => zoomTape(0.5), "=": () => zoomTape(0.5), "-": () => zoomTape(2), 0: resetTape,
  "shift arrowleft": () => panTape(-0.2), "shift arrowright": () => panTape(0.2),
};
