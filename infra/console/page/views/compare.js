// Two models on the same requests: the evidence for a promotion.

import { api } from "../api.js";
import { candidates, promote, ramp } from "../change.js";
import { figure, interval, legend, square, widthOf } from "../charts.js";
import { button, csv, download, h, replace, table } from "../dom.js";
import { both, count, fixed, ms, percent } from "../format.js";
import { state, times } from "../state.js";
import { empty, path } from "./common.js";

const METRICS = /** @type {Record<string, string>} */ ({ brier: "Brier score", log_loss: "logarithmic loss, nats", failed: "share of failures", late: "share of late scores", disagreement: "disagreement" });

/** @param {HTMLElement} root @param {string} name */
export function compare(root, name) {
  const head = h("div", { class: "head" });
  const result = h("div", { class: "contents" });
  replace(root, head, result);
  let computed = "";
  let metric = "brier";
  return {
    decisions: null,
    async refresh() {
      const shown = await api.show(name);
      const given = new URLSearchParams(location.search);
      const all = [...new Set([...shown.configuration.schedule.choices, ...(shown.configuration.observers ?? []), ...(shown.configuration.arms ?? []).flatMap((/** @type {any} */ arm) => arm.schedule.choices)].map((each) => each.model))];
      const second = given.get("second") ?? shown.configuration.schedule.choices[0].model;
      const first = given.get("first") ?? candidates(shown.configuration).find((model) => model !== second) ?? second;
      const select = (/** @type {string} */ id, /** @type {string} */ label, /** @type {string} */ chosen) => h("label", { class: "row" }, label,
        h("select", { id, onchange: () => {
          const value = (/** @type {string} */ of) => /** @type {HTMLSelectElement} */ (document.getElementById(of)).value;
          history.replaceState(null, "", `${path(name, "/compare")}?first=${encodeURIComponent(value("first"))}&second=${encodeURIComponent(value("second"))}`);
          dispatchEvent(new Event("published"));
        } }, [...new Set([...all, chosen])].map((model) => h("option", { value: model, selected: model === chosen }, model))));
      replace(head, h("h1", {}, `Compare on ${name}`), h("div", { class: "row" }, select("first", "first", first), select("second", "with", second), button("Compute again", () => { computed = ""; dispatchEvent(new Event("published")); }, { id: "again" })));
      // A comparison reads the archive: it is computed anew when it is asked for.
      const key = `${first} ${second} ${state.minutes} ${state.to} ${shown.config}`;
      if (key === computed) return;
      if (first === second) { replace(result, h("section", { class: "panel" }, empty("Choose two models."))); computed = key; return; }
      replace(result, h("p", { class: "quiet" }, "Reading the archive…"));
      const span = times();
      const report = await api.compare(name, { first, second, ...span });
      computed = key;
      draw(report, shown, span);
    },
  };

  /** @param {any} report @param {any} shown @param {{ from: string, to: string }} span */
  function draw(report, shown, span) {
    const [first, second] = report.models;
    if (!report.paired) {
      replace(result, h("section", { class: "panel" }, empty("No request of this range has a value of both models.", "The archive has requests within a minute or two; choose a longer range.")));
      return;
    }
    const metrics = Object.entries(report.difference).map(([key, of]) => ({ key, .../** @type {any} */ (of) }));
    if (!report.difference[metric]) metric = metrics[0].key;
    const message = evidence(report, span);
    const mayPromote = candidates(shown.configuration).includes(first);
    replace(result,
      h("section", { class: "panel", "aria-label": "Verdict" }, h("p", { id: "verdict", style: "font-size:17px;margin:0" }, sentence(report)),
        h("p", { class: "quiet small" }, `${count(report.requests)} requests received from ${both(Date.parse(span.from) * 1000)} to ${both(Date.parse(span.to) * 1000)}; ${count(report.paired)} with a value of both, ${count(report.with_outcome)} of them with an outcome (coverage ${percent(report.coverage, 1)}; a verdict needs ${percent(report.minimum_coverage)}).`),
        h("div", { class: "row" },
          mayPromote ? button(`Promote ${first}…`, () => promote(name, shown, first, message), { class: "main", id: "promote-first" }) : null,
          mayPromote ? button("Promote in steps…", () => ramp(name, shown, first, message), { id: "ramp-first" }) : null,
          button("Export CSV", () => download(`compare-${first}-${second}.csv`, csv(metricColumns(report), metrics)), { id: "export" }))),
      h("section", { class: "panel half", "aria-label": "Difference" }, difference(report, metrics, shown, span)),
      h("section", { class: "panel half", "aria-label": "All metrics" }, table("metrics", shownColumns(report), metrics, { caption: `${first} less ${second}: below zero the first is better` }),
        timesTable(report)),
      h("section", { class: "panel third", "aria-label": "Quantiles" }, quantiles(report)),
      h("section", { class: "panel third", "aria-label": "Calibration" }, calibration(report)),
      h("section", { class: "panel third", "aria-label": "Disagreements" }, differing(report)));
  }

  /** @param {any} report @param {any[]} metrics @param {any} shown @param {{ from: string, to: string }} span */
  function difference(report, metrics, shown, span) {
    const [first, second] = report.models;
    const of = report.difference[metric];
    const choose = h("select", { id: "metric", "aria-label": "Metric", onchange: (/** @type {any} */ event) => { metric = event.target.value; draw(report, shown, span); document.getElementById("metric")?.focus(); } },
      metrics.map(({ key }) => h("option", { value: key, selected: key === metric }, METRICS[key])));
    const looks = of.over_time;
    const columns = [
      { name: "requests", number: true, of: (/** @type {any} */ row) => count(row.requests), raw: (/** @type {any} */ row) => row.requests },
      { name: "until", of: (/** @type {any} */ row) => both(row.at_us) },
      ...["estimate", "low", "high"].map((each) => ({ name: each, number: true, of: (/** @type {any} */ row) => fixed(row[each], 5), raw: (/** @type {any} */ row) => row[each] })),
    ];
    return [choose, looks.length < 2 ? empty("There are too few requests for a line.") : figure({
      id: "difference", title: `${METRICS[metric]}: ${first} less ${second}`,
      source: `From the archive, request by request, in the order in which outcomes arrived. The band is a confidence sequence at ${percent(of.confidence)}: it holds at every look at once, so that looking often does no harm.`,
      chart: interval({ looks, label: `Difference of the ${METRICS[metric]} with its confidence sequence: ${fixed(of.estimate, 4)}, between ${fixed(of.low, 4)} and ${fixed(of.high, 4)}`, width: widthOf(0.48) }),
      columns, rows: [...looks].reverse(),
    })];
  }
}

/** @param {any} report */
const metricColumns = (report) => [
  { name: "metric", of: (/** @type {any} */ row) => METRICS[row.key] },
  ...["first", "second"].map((side, i) => ({ name: report.models[i], number: true, of: (/** @type {any} */ row) => fixed(report[side][row.key]), raw: (/** @type {any} */ row) => report[side][row.key] })),
  { name: "difference", number: true, of: (/** @type {any} */ row) => fixed(row.estimate), raw: (/** @type {any} */ row) => row.estimate },
  { name: "low", number: true, of: (/** @type {any} */ row) => fixed(row.low), raw: (/** @type {any} */ row) => row.low },
  { name: "high", number: true, of: (/** @type {any} */ row) => fixed(row.high), raw: (/** @type {any} */ row) => row.high },
  { name: "better", of: (/** @type {any} */ row) => ({ first: report.models[0], second: report.models[1], undecided: "undecided", too_few_outcomes: "too few outcomes" })[/** @type {string} */ (row.verdict)] ?? "" },
];

/** The same for the page, the bounds in one column. @param {any} report */
const shownColumns = (report) => {
  const all = metricColumns(report);
  const both = { name: "interval", number: true, of: (/** @type {any} */ row) => `${fixed(row.low)} to ${fixed(row.high)}` };
  return [...all.slice(0, 4), both, ...all.slice(6)];
};

/** The verdict in words. @param {any} report */
function sentence(report) {
  const [first, second] = report.models;
  const of = report.difference.brier;
  if (!of) return `There is no outcome yet, so that nobody knows which is better. ${agreementOf(report)}`;
  const figures = `its Brier score is ${fixed(Math.abs(of.estimate))} ${of.estimate < 0 ? "lower" : "higher"}, between ${fixed(of.low)} and ${fixed(of.high)}`;
  const words = /** @type {Record<string, string>} */ ({
    first: `${first} is better than ${second}: ${figures}.`,
    second: `${first} is worse than ${second}: ${figures}.`,
    undecided: `It is undecided between ${first} and ${second}: the difference of the Brier scores is between ${fixed(of.low)} and ${fixed(of.high)}.`,
    too_few_outcomes: `Too few requests have an outcome for a verdict between ${first} and ${second}.`,
  });
  return words[of.verdict] ?? "";
}

/** @param {any} report */
const agreementOf = (report) => (report.agreement ? `They are on the same side of ${report.agreement.threshold} in ${percent(report.agreement.same_side, 1)} of the requests.` : "");

/** What is kept with the version. @param {any} report @param {{ from: string, to: string }} span */
export function evidence(report, span) {
  const of = report.difference.brier;
  const figures = of ? `Brier ${fixed(of.estimate, 5)} [${fixed(of.low, 5)}, ${fixed(of.high, 5)}] at ${percent(of.confidence)}, ${of.requests} requests with an outcome` : `no outcome; ${agreementOf(report)}`;
  return `${report.models[0]} against ${report.models[1]}, requests from ${span.from.slice(0, 19)}Z to ${span.to.slice(0, 19)}Z: ${figures}.`;
}

/** @param {any} report */
function timesTable(report) {
  const rows = ["p50", "p95", "p99"].filter((each) => report.first.after_ms[each]);
  const cell = (/** @type {any} */ of) => (of ? `${ms(of.estimate)} [${ms(of.low)}, ${ms(of.high)}]` : "–");
  return rows.length ? table("times", [
    { name: "time to score, ms", of: (row) => row },
    { name: report.models[0], number: true, of: (row) => cell(report.first.after_ms[row]) },
    { name: report.models[1], number: true, of: (row) => cell(report.second.after_ms[row]) },
  ], rows, { caption: "From the receipt to the arrival of the score" }) : null;
}

/** @param {any} report */
function quantiles(report) {
  const [first, second] = report.models;
  const rows = report.quantiles;
  if (!rows.length) return empty("There are no quantiles.");
  return figure({
    id: "quantiles", title: "Quantile against quantile", source: `Equal quantiles of the values, from up to 100,000 requests of both. On the dashed line both are distributed alike. ${agreementOf(report)}`,
    chart: square({ series: [{ name: "quantiles", colour: "var(--accent)", points: rows.map((/** @type {any} */ row) => [row.second, row.first, `${percent(row.share)}: ${fixed(row.second)} and ${fixed(row.first)}`]) }], label: "Quantiles of the values of both models", axes: [second, first], width: widthOf(0.31) }),
    columns: [{ name: "quantile", of: (row) => percent(row.share) }, { name: first, number: true, of: (row) => fixed(row.first) }, { name: second, number: true, of: (row) => fixed(row.second) }, { name: "same side", number: true, of: (row) => percent(row.same_side, 1) }],
    rows,
  });
}

/** @param {any} report */
function calibration(report) {
  const [first, second] = report.models;
  const series = [["first", first, "var(--first)"], ["second", second, "var(--second)"]].map(([side, name, colour]) => ({
    name, colour, points: report[side].calibration.map((/** @type {any} */ bin) => /** @type {[number, number, string]} */ ([bin.value, bin.outcome, `${name}: ${fixed(bin.value, 3)} said, ${fixed(bin.outcome, 3)} happened, ${count(bin.requests)} requests`])),
  }));
  if (!series[0].points.length) return empty("Calibration needs outcomes.");
  const rows = ["first", "second"].flatMap((side, i) => report[side].calibration.map((/** @type {any} */ bin) => ({ model: report.models[i], ...bin })));
  return figure({
    id: "calibration", title: "Calibration: what is said, and what happens", source: "Requests with an outcome in ten bins of the value: mean value across, mean outcome up. On the dashed line a model says what happens. Bins with few requests are far off by chance.",
    chart: square({ series, label: "Mean outcome against mean value of both models", axes: ["mean value", "mean outcome"], width: widthOf(0.31) }), legend: legend(series),
    columns: [{ name: "model", of: (row) => row.model }, { name: "bin", of: (row) => `${row.from.toFixed(1)}–${row.to.toFixed(1)}` }, { name: "requests", number: true, of: (row) => count(row.requests) }, { name: "value", number: true, of: (row) => fixed(row.value) }, { name: "outcome", number: true, of: (row) => fixed(row.outcome) }],
    rows,
  });
}

/** @param {any} report */
function differing(report) {
  const [first, second] = report.models;
  return [h("h3", {}, "Where they differ most: requests to label"), table("differing", [
    { name: "request", of: (row) => h("a", { href: `${path(report.endpoint, `/decisions/${row.request}`)}?received_us=${row.received_us}` }, `${row.request.slice(0, 13)}…`) },
    { name: first, number: true, of: (row) => fixed(row.values[0], 3) }, { name: second, number: true, of: (row) => fixed(row.values[1], 3) },
    { name: "outcome", number: true, of: (row) => (row.outcome === null ? "none yet" : String(row.outcome)) },
  ], report.differing, { caption: "The greatest differences of the range", tall: true }),
  h("p", { class: "quiet small" }, "For a sample that can be weighed: ", h("code", {}, `rendezvousctl compare ${report.endpoint} ${first} ${second} --label 200 --sample FILE`))];
}
