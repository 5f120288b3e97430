// Charts as SVG, each with its numbers as a table. They are drawn in units of pixels for a width that is measured.

import { button, csv, details, download, h, s, table } from "./dom.js";
import { both, clock, fixed, minute } from "./format.js";

/** @typedef {import("./dom.js").Column} Column */

/** @param {number} max @param {number} [parts] */
function steps(max, parts = 4) {
  if (!(max > 0)) return [0, 1];
  const raw = max / parts;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw) ?? raw;
  const all = [];
  for (let at = 0; at < max + step * 0.999; at += step) all.push(Number(at.toPrecision(12)));
  return all;
}

/** @param {number} value */
const tick = (value) => (Math.abs(value) >= 10_000 ? `${value / 1000}k` : String(value).replace("-", "−"));

/**
 * A chart with its title, its source, and its numbers.
 * @param {object} of
 * @param {string} of.id
 * @param {string} of.title
 * @param {string} of.source What it is computed from, and how exact it is.
 * @param {Node} of.chart
 * @param {Node | null} [of.legend]
 * @param {Column[]} of.columns
 * @param {any[]} of.rows
 */
export function figure({ id, title, source, chart, legend, columns, rows }) {
  return h("figure", { id },
    h("div", { class: "head" }, h("h3", {}, title), legend),
    chart,
    h("figcaption", {}, source),
    details(`numbers-${id}`, `Numbers (${rows.length})`,
      table(`table-${id}`, columns, rows, { caption: title, tall: true }),
      button("Download CSV", () => download(`${id}.csv`, csv(columns, rows)), { id: `csv-${id}`, class: "plain small" })));
}

/** @param {{ name: string, colour: string, line?: boolean }[]} entries */
export function legend(entries) {
  return h("span", { class: "legend" }, entries.map(({ name, colour, line }) =>
    h("span", {}, h("i", { class: line ? "line" : null, style: `background:${colour}` }), name)));
}

/** The width that a chart has, for its text to be as large as it should. */
export function widthOf(share = 1) {
  const main = document.getElementById("main")?.clientWidth ?? 800;
  const inner = main - 72;
  return Math.max(270, Math.round(inner < 1028 ? inner : inner * share));
}

/** @param {number} width @param {number} height @param {string} label @param {...(SVGElement | SVGElement[] | null)} children */
const chart = (width, height, label, ...children) =>
  s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);

/** The scale on the left. @param {number[]} at @param {(value: number) => number} y @param {number} left @param {number} right @param {(value: number) => string} [text] */
const scale = (at, y, left, right, text = tick) => at.map((value) => s("g", {},
  s("line", { class: value === 0 ? "axis" : "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
  s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text(value))));

/** Times below a chart, as many as there is room for. @param {number[]} times @param {(us: number) => number} x @param {number} y @param {number} width @param {(us: number) => string} text */
function timeAxis(times, x, y, width, text) {
  const each = Math.max(1, Math.ceil(times.length / Math.max(2, Math.floor(width / 90))));
  return times.filter((_, i) => i % each === 0).map((us) =>
    s("text", { x: x(us), y, "text-anchor": "middle" }, text(us)));
}

/** When versions were published. @param {{ us: number, text: string }[]} marks @param {(us: number) => number} x @param {number} top @param {number} bottom @param {[number, number]} within */
const markers = (marks, x, top, bottom, within) => marks.filter(({ us }) => us >= within[0] && us <= within[1]).map(({ us, text }) =>
  s("g", {}, s("title", {}, `${text}, ${both(us)}`),
    s("line", { class: "mark", x1: x(us), x2: x(us), y1: top, y2: bottom }),
    s("text", { class: "strong", x: x(us) + 3, y: top + 9 }, text)));

/**
 * Counts, one stack for each span of time.
 * @param {object} of
 * @param {{ from: number, to: number, parts: number[] }[]} of.bars Times in microseconds.
 * @param {{ name: string, colour: string }[]} of.parts
 * @param {string} of.label
 * @param {number} of.width
 * @param {number} [of.height]
 * @param {boolean} [of.seconds] Show seconds below.
 * @param {number} [of.begin] Where the time begins, if not with the first bar.
 * @param {{ us: number, text: string }[]} [of.marks]
 */
export function stacks({ bars, parts, label, width, height = 150, seconds, marks = [], begin = bars[0]?.from ?? 0 }) {
  const [left, right, top, bottom] = [44, width - 4, 8, height - 20];
  const end = bars.at(-1)?.to ?? 1;
  const times = seconds ? Array.from({ length: 9 }, (_, i) => begin + ((i + 0.5) * (end - begin)) / 9) : bars.map((bar) => bar.from);
  const x = (/** @type {number} */ us) => left + ((us - begin) / (end - begin || 1)) * (right - left);
  const at = steps(Math.max(...bars.map((bar) => bar.parts.reduce((a, b) => a + b, 0)), 0), 3);
  const most = at.at(-1) ?? 1;
  const y = (/** @type {number} */ value) => bottom - (value / most) * (bottom - top);
  const gap = (right - left) / Math.max(1, bars.length) > 5 ? 1 : 0;
  const drawn = bars.flatMap((bar) => {
    let below = 0;
    return bar.parts.map((value, i) => {
      if (!value) return null;
      const [high, low] = [y(below + value), y(below)];
      below += value;
      // What is rare is seen all the same.
      const tall = Math.max(low - high, 1);
      return s("rect", { x: x(bar.from), width: Math.max(x(bar.to) - x(bar.from) - gap, 0.5), y: low - tall, height: tall, fill: parts[i].colour });
    });
  }).filter((each) => each !== null);
  return chart(width, height, label, scale(at, y, left, right), drawn,
    timeAxis(times, x, height - 5, right - left, seconds ? clock : minute),
    markers(marks, x, top, bottom, [begin, end]));
}

/**
 * Lines over time, with a line of a limit.
 * @param {object} of
 * @param {{ name: string, colour: string, points: [number, number | null][] }[]} of.lines
 * @param {string} of.label
 * @param {number} of.width
 * @param {number} [of.height]
 * @param {number | null} [of.limit]
 * @param {{ us: number, text: string }[]} [of.marks]
 */
export function lines({ lines: all, label, width, height = 150, limit, marks = [] }) {
  const [left, right, top, bottom] = [44, width - 4, 8, height - 20];
  const times = all[0]?.points.map(([us]) => us) ?? [];
  const [begin, end] = [times[0] ?? 0, times.at(-1) ?? 1];
  const x = (/** @type {number} */ us) => left + ((us - begin) / (end - begin || 1)) * (right - left);
  const values = all.flatMap((line) => line.points.map(([, value]) => value ?? 0));
  const at = steps(Math.max(...values, limit ?? 0, 0), 3);
  const most = at.at(-1) ?? 1;
  const y = (/** @type {number} */ value) => bottom - (value / most) * (bottom - top);
  const drawn = all.map((line) => {
    let path = "";
    let pen = "M";
    for (const [us, value] of line.points) {
      if (value === null) { pen = "M"; continue; }
      path += `${pen}${x(us).toFixed(1)} ${y(value).toFixed(1)}h0`;
      pen = "L";
    }
    // A point alone is a dot.
    return s("path", { d: path, fill: "none", stroke: line.colour, "stroke-width": 1.75, "stroke-linecap": "round", "stroke-linejoin": "round" });
  });
  const bound = limit ? [s("line", { class: "mark", x1: left, x2: right, y1: y(limit), y2: y(limit) }),
    s("text", { class: "strong", x: right, y: y(limit) - 4, "text-anchor": "end" }, `deadline ${limit} ms`)] : [];
  return chart(width, height, label, scale(at, y, left, right), drawn, bound,
    timeAxis(times, x, height - 5, right - left, minute), markers(marks, x, top, bottom, [begin, end]));
}

/**
 * A schedule as a time line: who may answer from when, and over it how long each model took.
 * @param {object} of
 * @param {number} of.deadline
 * @param {{ name: string, note: string, opens: number | null, times: any, colour: string }[]} of.rows
 * @param {string} of.label
 * @param {number} of.width
 */
export function schedule({ deadline, rows, label, width }) {
  const narrow = width < 560;
  const [left, right, top] = [narrow ? 8 : 190, width - 16, 22];
  const tall = narrow ? 48 : 34;
  const height = top + rows.length * tall + 22;
  const longest = Math.max(deadline * 1.08, ...rows.map((row) => Math.min(row.times?.p99 ?? 0, deadline * 1.5)));
  const at = steps(longest, narrow ? 3 : 8).filter((value) => value <= longest);
  const x = (/** @type {number} */ value) => left + (Math.min(value, longest) / longest) * (right - left);
  const grid = at.map((value) => s("g", {},
    s("line", { class: "grid", x1: x(value), x2: x(value), y1: top - 4, y2: height - 18 }),
    s("text", { x: x(value), y: height - 4, "text-anchor": "middle" }, tick(value))));
  const drawn = rows.map((row, i) => {
    const y = top + i * tall + (narrow ? 30 : tall / 2);
    const { times } = row;
    return s("g", {},
      s("text", { class: "strong", x: narrow ? left : 0, y: narrow ? y - 16 : y - 2 }, row.name),
      s("text", { x: narrow ? right : 0, y: narrow ? y - 16 : y + 11, "text-anchor": narrow ? "end" : "start" }, row.note),
      row.opens === null ? null
        : s("rect", { x: x(row.opens), width: Math.max(x(deadline) - x(row.opens), 1), y: y - 9, height: 18, fill: "var(--accent-ground)", stroke: "var(--accent)", "stroke-opacity": 0.45 }),
      ...(times ? [
        s("line", { x1: x(times.p5), x2: x(times.p95), y1: y, y2: y, stroke: row.colour, "stroke-width": 1.5 }),
        s("rect", { x: x(times.p25), width: Math.max(x(times.p75) - x(times.p25), 2), y: y - 5, height: 10, fill: row.colour }),
        s("line", { x1: x(times.p50), x2: x(times.p50), y1: y - 8, y2: y + 8, stroke: "var(--text)", "stroke-width": 2 }),
        s("circle", { cx: x(times.p99), cy: y, r: 3, fill: "var(--panel)", stroke: row.colour, "stroke-width": 1.5 }),
      ] : [s("text", { x: x(row.opens ?? 0) + 6, y: y + 4 }, "no score in this range")]));
  });
  return chart(width, height, label, grid, drawn,
    s("line", { x1: x(deadline), x2: x(deadline), y1: top - 6, y2: height - 18, stroke: "var(--bad)", "stroke-width": 1.5 }),
    s("text", { class: "strong", x: x(deadline), y: top - 10, "text-anchor": "end" }, `deadline ${deadline} ms`));
}

/**
 * An interval that becomes narrower with the requests, on a logarithmic scale.
 * @param {object} of
 * @param {any[]} of.looks
 * @param {string} of.label
 * @param {number} of.width
 */
export function interval({ looks, label, width }) {
  const height = 230;
  const [left, right, top, bottom] = [58, width - 8, 10, height - 34];
  const [fewest, most] = [Math.log10(looks[0].requests), Math.log10(looks.at(-1).requests)];
  const x = (/** @type {number} */ requests) => left + ((Math.log10(requests) - fewest) / (most - fewest || 1)) * (right - left);
  // The first looks are so wide that nothing else would be seen: the scale is that of the later half.
  const later = looks.slice(Math.floor(looks.length * 0.6));
  const bound = Math.max(...later.map((look) => Math.max(Math.abs(look.low), Math.abs(look.high)))) || 1;
  const at = steps(bound, 2);
  const limit = at.at(-1) ?? bound;
  const y = (/** @type {number} */ value) => top + ((limit - Math.max(-limit, Math.min(limit, value))) / (2 * limit)) * (bottom - top);
  const path = (/** @type {any[]} */ of, /** @type {string} */ key) => of.map((look) => `${x(look.requests).toFixed(1)} ${y(look[key]).toFixed(1)}`).join("L");
  const both = [...at.slice(1).map((value) => -value), ...at];
  const decades = [];
  for (let power = Math.ceil(fewest); power <= most; power++) decades.push(10 ** power);
  return chart(width, height, label, scale(both, y, left, right),
    s("path", { d: `M${path(looks, "high")}L${path([...looks].reverse(), "low")}Z`, fill: "var(--accent)", "fill-opacity": 0.18 }),
    s("path", { d: `M${path(looks, "estimate")}`, fill: "none", stroke: "var(--accent)", "stroke-width": 1.75 }),
    s("line", { x1: left, x2: right, y1: y(0), y2: y(0), stroke: "var(--text)", "stroke-width": 1.25 }),
    decades.map((each) => s("text", { x: x(each), y: height - 18, "text-anchor": "middle" }, tick(each))),
    s("text", { x: right, y: height - 4, "text-anchor": "end" }, "requests, logarithmic"),
    s("text", { x: left + 6, y: bottom - 6 }, "below zero: the first is better"));
}

/**
 * Points in the unit square, or in the square of their values, beside the diagonal.
 * @param {object} of
 * @param {{ name: string, colour: string, points: [number, number, string][] }[]} of.series
 * @param {string} of.label
 * @param {[string, string]} of.axes
 * @param {number} of.width
 */
export function square({ series, label, axes, width }) {
  const height = 270;
  const side = Math.min(width - 56, height - 44);
  const [left, top] = [48, 8];
  const most = Math.max(...series.flatMap((each) => each.points.flatMap(([a, b]) => [a, b])), 0.1);
  const at = steps(most, 4);
  const limit = at.at(-1) ?? 1;
  const x = (/** @type {number} */ value) => left + (value / limit) * side;
  const y = (/** @type {number} */ value) => top + side - (value / limit) * side;
  return chart(width, height, label, scale(at, y, left, left + side),
    at.map((value) => s("text", { x: x(value), y: top + side + 15, "text-anchor": "middle" }, tick(value))),
    s("line", { class: "mark", x1: x(0), y1: y(0), x2: x(limit), y2: y(limit) }),
    series.flatMap((each) => [
      s("path", { d: `M${each.points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L")}`, fill: "none", stroke: each.colour, "stroke-opacity": 0.5 }),
      ...each.points.map(([a, b, text]) => s("circle", { cx: x(a), cy: y(b), r: 3.5, fill: each.colour }, s("title", {}, text))),
    ]),
    s("text", { x: left + side, y: top + side + 30, "text-anchor": "end" }, axes[0]),
    s("text", { class: "strong", x: left + 4, y: top + 10 }, `↑ ${axes[1]}`));
}

/**
 * One request: what came when.
 * @param {object} of
 * @param {number} of.deadline
 * @param {number | null} of.decided
 * @param {any[]} of.scores
 * @param {Map<string, number>} of.opens
 * @param {string | null} of.winner
 * @param {number} of.width
 */
export function request({ deadline, decided, scores, opens, winner, width }) {
  const narrow = width < 560;
  const [left, right, top, tall] = [narrow ? 8 : 150, width - 20, 24, narrow ? 38 : 26];
  const height = top + scores.length * tall + 22;
  const longest = Math.max(deadline * 1.05, ...scores.map((score) => Math.min(score.arrived_ms, deadline * 2)));
  const x = (/** @type {number} */ value) => left + (Math.min(Math.max(value, 0), longest) / longest) * (right - left);
  const at = steps(longest, narrow ? 3 : 8).filter((value) => value <= longest);
  const drawn = scores.map((score, i) => {
    const y = top + i * tall + (narrow ? 26 : tall / 2);
    const opened = opens.get(score.model);
    const colour = score.failure ? "var(--bad)" : score.model === winner ? "var(--accent)" : "var(--quiet)";
    return s("g", {}, s("title", {}, `${score.model}: worked from ${fixed(score.started_ms, 1)} to ${fixed(score.finished_ms, 1)} ms, arrived at ${fixed(score.arrived_ms, 1)} ms`),
      s("text", { class: score.model === winner ? "strong" : null, x: narrow ? left : 0, y: narrow ? y - 11 : y + 4 }, score.failure ? `${score.model}, ${score.failure}` : score.model),
      opened === undefined ? null : s("rect", { x: x(opened), width: Math.max(x(deadline) - x(opened), 1), y: y - 8, height: 16, fill: "var(--accent-ground)" }),
      s("line", { x1: x(score.started_ms), x2: x(score.finished_ms), y1: y, y2: y, stroke: colour, "stroke-width": 5 }),
      s("line", { x1: x(score.finished_ms), x2: x(score.arrived_ms), y1: y, y2: y, stroke: colour, "stroke-width": 1 }),
      score.failure
        ? s("path", { d: `M${x(score.arrived_ms) - 4} ${y - 4}l8 8m0 -8l-8 8`, stroke: colour, "stroke-width": 2 })
        : s("circle", { cx: x(score.arrived_ms), cy: y, r: 4, fill: colour }));
  });
  const grid = at.map((value) => s("g", {},
    s("line", { class: "grid", x1: x(value), x2: x(value), y1: top - 4, y2: height - 18 }),
    s("text", { x: x(value), y: height - 4, "text-anchor": "middle" }, tick(value))));
  const place = decided === null ? null : x(decided);
  return chart(width, height, `Scores of ${scores.length} models on the time line`, grid, drawn,
    s("line", { x1: x(deadline), x2: x(deadline), y1: top - 6, y2: height - 18, stroke: "var(--bad)", "stroke-width": 1.5 }),
    s("text", { class: "strong", x: x(deadline), y: top - 10, "text-anchor": "end" }, `deadline ${tick(deadline)} ms`),
    place === null ? null : s("line", { x1: place, x2: place, y1: top - 6, y2: height - 18, stroke: "var(--text)", "stroke-width": 2 }),
    place === null || (decided ?? 0) > deadline * 0.75 ? null : s("text", { class: "strong", x: place + 5, y: top - 10 }, `decided ${fixed(decided, 1)} ms`));
}
