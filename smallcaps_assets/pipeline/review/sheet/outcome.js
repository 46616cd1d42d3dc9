"use strict";
/* What came after an event: entry, barriers, exit, and the furthest moves. Hindsight: nothing of it is in the page's
   elements while it is hidden. Minutes count from the event's. `sheet.js` has the helpers that are used here. */

const outcomeOf = (event) => (event && !$("hide").checked && sheet.outcomes.of[event.id]) || null;
const signed = (share, digits) => `${share > 0 ? "+" : share < 0 ? "−" : ""}${plain(Math.abs(share), digits)}`;
const percent = (share) => `${signed(share * 100, 2)} %`;
const inBps = (bps) => `${signed(bps, 0)} bps`;
const LEFT_BY = { 1: "profit barrier", "-1": "stop barrier", 0: "end of the horizon" };

function exitText(event, known) {
  return `${clock(event.clock + known.exit[0])}, ${LEFT_BY[known.label]}${known.tie ? " (tie)" : known.gap ? " (gap)" : ""}`;
}

const moveText = (event, move) => (move ? `${inBps(move[2])}, ${clock(event.clock + move[0])}` : "–");

const OUTCOME_TEXTS = {
  exit: exitText,
  gross: (event, known) => percent(known.gross),
  cost: (event, known) => (known.cost === null ? "–" : `${plain(known.cost, 1)} bps (${known.cost_source})`),
  net: (event, known) => (known.net === null ? `– ${known.without_net}` : percent(known.net)),
  tie: (event, known) => (known.tie ? "yes, counted as the stop" : "no"),
  gap: (event, known) => (known.gap ? "yes" : "no"),
  mfe: (event, known) => moveText(event, known.mfe),
  mae: (event, known) => moveText(event, known.mae),
  outcome: (event, known) => (known.outcome === null ? "–" : words(known.outcome)),
};
const OF_LABELS = ["exit", "gross", "cost", "net", "tie", "gap"];

/* Beside the chart. */
function outcomeFigures(event) {
  $("outcome").replaceChildren();
  const known = outcomeOf(event);
  if (!known || known.missing) return;
  for (const figure of sheet.outcomes.figures) {
    if (!known.exit && OF_LABELS.includes(figure.name)) continue;
    element("dt", { title: figure.help }, figure.label, $("outcome"));
    element("dd", { class: `of-${figure.name}` }, OUTCOME_TEXTS[figure.name](event, known), $("outcome"));
  }
}

function pricesOfOutcome(event) {
  const known = outcomeOf(event);
  if (!known || known.missing) return [];
  return [known.entry[1], known.profit, known.stop, ...[known.exit, known.mfe, known.mae].map((point) => point && point[1])].filter((price) => price !== undefined && price !== null);
}

/* Why there is no outcome is hindsight too: that nothing traded afterwards may be the reason. */
function legendOfOutcome(event) {
  const known = outcomeOf(event);
  if (!known) return [];
  if (known.missing) return [["soft", `no outcome: ${known.missing}`]];
  const moves = ["event", "▲ ▼ furthest for and against within 15 min", "none"];
  if (!known.exit) return [["event", known.note, "none"], moves];
  return [["up", `profit barrier of ${sheet.outcomes.spec}`, "dashes"], ["down", "stop barrier", "dashes"], ["ink", "entry to exit"], moves];
}

function drawOutcome(root, s, event) {
  if ($("hide").checked) {
    const [from, to] = [s.x(1), s.right];
    if (to - from > 150) svg("text", { x: (from + to) / 2, y: (SPACE.top + s.priceFloor) / 2, "text-anchor": "middle", class: "hidden-note" }, root, "hidden: H shows what came after");
    return;
  }
  const known = outcomeOf(event);
  if (!known || known.missing) return;
  const group = svg("g", { class: "outcome" }, root);
  const within = (minute) => Math.max(s.first, Math.min(s.last + 1, minute));
  const middle = (minute) => s.x(minute) + s.slot / 2;
  const [entered, price] = known.entry;
  const write = (x, y, text, name, anchor = "start") => svg("text", { x, y, class: `${name} haloed`, "text-anchor": anchor }, group, text);
  const end = s.x(within(known.until));
  if (known.exit) {
    for (const [name, level] of [["profit", known.profit], ["stop", known.stop]]) {
      svg("line", { x1: s.x(within(entered)), x2: end, y1: s.y(level), y2: s.y(level), class: `barrier ${name}` }, group);
      write(Math.min(end + 5, s.right - 84), s.y(level) + 4, `${name} ${dollars(level)}`, name);
    }
    svg("line", { x1: end, x2: end, y1: s.y(known.profit), y2: s.y(known.stop), class: "barrier" }, group);
  }
  drawMoves(group, s, event, known, write);
  if (entered <= s.last) {
    svg("circle", { cx: s.x(entered), cy: s.y(price), r: 4, class: "entry" }, group);
    write(s.x(entered) - 8, s.y(price) - 7, `entry ${clock(event.clock + entered)} ${dollars(price)}`, "strong", "end");
  }
  if (!known.exit || known.exit[0] > s.last) return;
  const [left, paid] = known.exit;
  svg("line", { x1: s.x(entered), y1: s.y(price), x2: middle(left), y2: s.y(paid), class: "held" }, group);
  svg("path", { d: `M${middle(left)} ${s.y(paid) - 6}l6 6l-6 6l-6 -6Z`, class: "exit" }, group);
  write(middle(left) + 9, s.y(paid) + (paid < price ? 17 : -9), `exit ${clock(event.clock + left)} ${percent(known.gross)}${known.tie ? " (tie)" : ""}`, "strong");
}

/* The furthest moves: a triangle that points away from the entry, at the bar that reaches it first. */
function drawMoves(group, s, event, known, write) {
  for (const [name, move] of [["mfe", known.mfe], ["mae", known.mae]]) {
    if (!move || move[0] > s.last) continue;
    const [x, y] = [s.x(move[0]) + s.slot / 2, s.y(move[1])];
    const away = (event.direction === "up") === (name === "mfe") ? -1 : 1;
    svg("path", { d: `M${x} ${y + away * 3}l-5 ${away * 8}h10Z`, class: `move ${name}` }, group);
    write(x, y + (away < 0 ? -15 : 23), `${name.toUpperCase()} ${inBps(move[2])}`, `move ${name}`, "middle");
  }
}
