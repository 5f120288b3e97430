// The models of an endpoint.

import { api } from "../api.js";
import { baseline, retire } from "../change.js";
import { figure, legend, lines, widthOf } from "../charts.js";
import { button, h, replace, table } from "../dom.js";
import { both, count, fixed, minute, ms, percent, zoneName } from "../format.js";
import { range, spanMinutes, times } from "../state.js";
import { empty, path } from "./common.js";

/** How often the archive is read, in milliseconds. */
const LISTED_EVERY = 30_000;

const COLOURS = ["var(--champion)", "var(--stand_in)", "var(--fallback)", "var(--none)", "var(--quiet)", "var(--bad)"];

/** @param {HTMLElement} root @param {string} name */
export function models(root, name) {
  const top = h("div", { class: "head" });
  const list = h("section", { class: "panel", "aria-label": "Models" });
  const charts = h("div", { class: "contents" });
  replace(root, top, list, charts);
  /** Of each model: how often it is on the champion's side. @type {Map<string, any>} */
  const agreement = new Map();
  let asked = "";
  let drawn = () => {};
  /** What reads the archive is read once in a while. @type {{ key: string, at: number, listing: any } | null} */
  let listed = null;
  const listingOf = async (/** @type {number} */ config) => {
    const key = `${config} ${JSON.stringify(range())}`;
    if (listed?.key === key && Date.now() - listed.at < LISTED_EVERY) return listed.listing;
    const listing = await api.models(name, times());
    listed = { key, at: Date.now(), listing };
    return listing;
  };

  /** The comparison reads the archive: once for a range, one model after the other. @param {string} champion @param {string[]} others */
  const agree = async (champion, others) => {
    const { from, to } = times();
    for (const other of others) {
      try { agreement.set(other, (await api.compare(name, { first: other, second: champion, from, to })).agreement); } catch (error) { agreement.set(other, { error }); }
      drawn();
    }
  };
  return {
    decisions: null,
    async refresh() {
      const [status, shown] = await Promise.all([api.status({ ...range(), endpoint: name, by: spanMinutes() }), api.show(name)]);
      const listing = await listingOf(shown.config);
      const found = status.endpoints[0];
      const champion = shown.configuration.schedule.choices[0].model;
      const rows = listing.models.map((/** @type {any} */ row) => ({ ...row, windows: found.models.find((/** @type {any} */ each) => each.model === row.model) }));
      const key = `${champion} ${rows.map((/** @type {any} */ row) => row.model)} ${JSON.stringify(range())}`;
      if (key !== asked) {
        asked = key;
        agreement.clear();
        void agree(champion, rows.map((/** @type {any} */ row) => row.model).filter((/** @type {string} */ model) => model !== champion));
      }
      replace(top, h("h1", {}, `Models of ${name}`), h("p", { class: "quiet small" }, `${both(listing.from_us)} to ${both(listing.to_us)}`),
        h("p", { class: "row" }, h("span", { class: "quiet small" }, `Drift is measured against ${shown.configuration.baseline ?? "the first seven days"}`),
          button("Set baseline…", () => baseline(name, shown), { id: "do-baseline" })));
      drawn = () => replace(list, warnings(listing), tableOf(name, rows, champion, agreement, shown, found.alarms),
        h("p", { class: "quiet small" }, "Scored and failed: the archive, a row that it has twice counts twice. Times and median: windows of the monitor, times up to 1 % too long. Agreement: requests of the range on whose side of 0.5 both models are, from the archive."));
      drawn();
      replace(charts, found.models.length ? chartsOf(found) : empty("No model sent anything in this range."));
    },
  };
}

/** @param {any} listing */
const warnings = (listing) => (listing.warnings.length ? h("ul", { class: "plain" }, listing.warnings.map((/** @type {string} */ text) => h("li", { class: "alarm" }, text))) : null);

/** @param {string} name @param {any[]} rows @param {string} champion @param {Map<string, any>} agreement @param {any} shown @param {any[] | undefined} alarms */
function tableOf(name, rows, champion, agreement, shown, alarms) {
  const agrees = (/** @type {any} */ row) => {
    if (row.model === champion) return "";
    if (!agreement.has(row.model)) return "computing…";
    const of = agreement.get(row.model);
    return of?.same_side === undefined ? "–" : percent(of.same_side, 1);
  };
  return table("models", [
    { name: "model", of: (row) => h("b", {}, row.model) },
    { name: "role", of: (row) => row.roles.join(", ") || "not configured" },
    { name: "up", of: (row) => (row.up === null ? "not known" : row.up ? "yes" : h("b", { style: "color:var(--bad)" }, "no")) },
    { name: "scored", number: true, of: (row) => (row.windows?.silent ? h("b", { style: "color:var(--bad)" }, "silent") : count(row.scored)) },
    { name: "failed", number: true, of: (row) => (row.failed ? h("b", { style: "color:var(--warn)" }, count(row.failed)) : "0") },
    { name: "failures", of: (row) => Object.entries(row.windows?.figures?.failed ?? row.windows?.failed ?? {}).map(([kind, many]) => `${kind} ${many}`).join(", ") },
    { name: "p50 ms", number: true, of: (row) => ms(row.windows?.elapsed_ms?.p50) },
    { name: "p99 ms", number: true, of: (row) => ms(row.windows?.elapsed_ms?.p99) },
    { name: "median value", number: true, of: (row) => fixed(row.windows?.median) },
    { name: "agrees with champion", number: true, of: agrees },
    { name: "drift", of: (row) => drift(row, alarms) },
    { name: "artefact", of: (row) => row.artifacts.map((/** @type {any} */ each) => h("code", { title: each.artifact }, `${each.artifact.slice(0, 19)}… `)) },
    { name: "", of: (row) => h("span", { class: "row tight" },
      row.model === champion ? null : h("a", { href: `${path(name, "/compare")}?first=${encodeURIComponent(row.model)}&second=${encodeURIComponent(champion)}` }, "Compare"),
      row.roles.length ? button("Retire…", () => retire(name, shown, row.model), { id: `retire-${row.model}`, "aria-label": `Retire ${row.model}` }) : null) },
  ], rows, { caption: "Each model: what it sent, how fast, how near to the champion" });
}

/** Whether the monitor's alarm of a drift is on, where it has alarms. @param {any} row @param {any[] | undefined} alarms */
function drift(row, alarms) {
  if (!alarms) return h("span", { class: "quiet" }, "not measured");
  const loud = alarms.find((alarm) => alarm.alarm === "drift" && alarm.subjects.some((/** @type {any} */ subject) => subject.name === row.model) && !alarm.ended_us);
  return loud ? h("b", { style: "color:var(--warn)", title: loud.figures }, "drifts") : "no alarm";
}

/** @param {any} found */
function chartsOf(found) {
  const names = found.models.map((/** @type {any} */ each) => each.model);
  const colour = (/** @type {number} */ i) => COLOURS[i % COLOURS.length];
  const chart = (/** @type {string} */ id, /** @type {string} */ title, /** @type {string} */ source, /** @type {(figures: any) => number | null} */ of, /** @type {(value: any) => string} */ text) => {
    const points = (/** @type {string} */ model) => /** @type {[number, number | null][]} */ (found.spans.map((/** @type {any} */ span) => [span.from_us, span.models[model] ? of(span.models[model]) : null]));
    return h("section", { class: "panel half", "aria-label": title }, figure({
      id, title, source,
      chart: lines({ lines: names.map((/** @type {string} */ model, /** @type {number} */ i) => ({ name: model, colour: colour(i), points: points(model) })), label: title, width: widthOf(0.48) }),
      legend: legend(names.map((/** @type {string} */ model, /** @type {number} */ i) => ({ name: model, colour: colour(i), line: true }))),
      columns: [{ name: `from (${zoneName})`, of: (row) => minute(row.from_us) }, ...names.map((/** @type {string} */ model) => ({ name: model, number: true, of: (/** @type {any} */ row) => text(row.models[model] ? of(row.models[model]) : null) }))],
      rows: [...found.spans].reverse(),
    }));
  };
  return [
    chart("model-times", "Time to score, 99th percentile, ms", "From the receipt to the score. Windows of the monitor; up to 1 % too long.", (figures) => figures.elapsed_ms?.p99 ?? null, ms),
    chart("model-values", "Median of the value", "Windows of the monitor; the rank of the median is exact to about 1 %.", (figures) => figures.median, (value) => fixed(value)),
  ];
}
