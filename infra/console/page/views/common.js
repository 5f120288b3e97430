// What several views show.

import { api } from "../api.js";
import { details, h, table } from "../dom.js";
import { KIND_NAMES, KINDS, both, count, ms, percent } from "../format.js";

/** @typedef {import("../dom.js").Column} Column */

/** @param {string} kind */
export const kind = (kind) => h("span", { class: "kind", style: `--c:var(--${kind})` }, KIND_NAMES[kind] ?? kind);

export const kindParts = KINDS.map((each) => ({ name: KIND_NAMES[each], colour: `var(--${each})` }));

/** @param {string} endpoint @param {string} [rest] */
export const path = (endpoint, rest = "") => `/console/endpoints/${encodeURIComponent(endpoint)}${rest}`;

/** The sums over all arms: counts only, which can be added. @param {any[]} arms */
export function sums(arms) {
  const kinds = Object.fromEntries(KINDS.map((each) => [each, arms.reduce((sum, arm) => sum + arm.kinds[each], 0)]));
  const requests = arms.reduce((sum, arm) => sum + arm.requests, 0);
  const late = arms.reduce((sum, arm) => sum + arm.late, 0);
  const perMinute = arms.reduce((sum, arm) => sum + arm.per_minute, 0);
  return { kinds, requests, late, perMinute };
}

/** The four kinds of each span of a chart. @param {any[]} spans @param {string | null} arm */
export const kindBars = (spans, arm = null) => spans.map((span) => {
  const arms = arm === null ? Object.values(span.arms) : span.arms[arm] ? [span.arms[arm]] : [];
  const { kinds, late } = sums(arms);
  return { from: span.from_us, to: span.to_us, parts: KINDS.map((each) => kinds[each]), kinds, late, arms: span.arms, models: span.models };
});

/**
 * Alarms of the monitor, as `rendezvousctl status` has them, and its warnings: what is wrong, and what to do first.
 * @param {any} status @param {string | null} endpoint
 */
export function alarms(status, endpoint) {
  const all = status.endpoints.filter((/** @type {any} */ each) => !endpoint || each.endpoint === endpoint)
    .flatMap((/** @type {any} */ each) => (each.alarms ?? []).map((/** @type {any} */ alarm) => ({ endpoint: each.endpoint, ...alarm })));
  const loud = all.filter((/** @type {any} */ alarm) => !alarm.ended_us);
  const past = all.filter((/** @type {any} */ alarm) => alarm.ended_us);
  const warnings = status.warnings.filter((/** @type {string} */ text) => !endpoint || text.startsWith(`${endpoint}: `) || !text.includes(": "));
  const what = (/** @type {any} */ alarm) => `${endpoint ? "" : `${alarm.endpoint}: `}${alarm.alarm.replaceAll("_", " ")}${alarm.subject ? ` of ${alarm.subject}` : ""}${alarm.over ? ` over ${alarm.over}` : ""}`;
  return h("div", { style: "display:grid;gap:8px" },
    loud.length || warnings.length ? h("ul", { class: "plain" },
      loud.map((/** @type {any} */ alarm) => h("li", { class: "alarm bad" }, h("b", {}, what(alarm)), ` since ${both(alarm.begun_us)}: ${alarm.figures}. ${alarm.meaning} `, h("b", {}, "First: "), alarm.first)),
      warnings.map((/** @type {string} */ text) => {
        const [wrong, ...advice] = text.split("; ");
        return h("li", { class: "alarm" }, h("b", {}, wrong), advice.length ? `; ${advice.join("; ")}` : "");
      })) : h("p", { class: "calm" }, "No alarm, and nothing to do."),
    past.length ? details(`past-${endpoint ?? ""}`, `Past alarms (${past.length})`, table(`past-table-${endpoint ?? ""}`, [
      { name: "alarm", of: what }, { name: "begun", of: (alarm) => both(alarm.begun_us) }, { name: "ended", of: (alarm) => both(alarm.ended_us) }, { name: "figures", of: (alarm) => alarm.figures },
    ], past, { caption: "Alarms of the range that have ended" })) : null);
}

/** @param {string} name @param {string} value @param {string} [unit] @param {string} [tone] */
export const fact = (name, value, unit, tone) => h("div", { class: tone ?? null }, h("dt", {}, name), h("dd", {}, value, unit ? h("small", {}, ` ${unit}`) : null));

/** Figures of all arms together. @param {any} found */
export function headline(found) {
  const { kinds, requests, late, perMinute } = sums(found.arms);
  const main = found.arms.find((/** @type {any} */ arm) => arm.arm === "main");
  const share = (/** @type {number} */ part) => (requests ? percent(part / requests, 2) : "–");
  const unanswered = kinds.fallback + kinds.none;
  return h("dl", { class: "figures" },
    fact("decided in time", requests ? percent((requests - late) / requests, 3) : "–", "", late ? "bad" : ""),
    fact("by the champion", share(kinds.champion)),
    fact("by a stand-in", share(kinds.stand_in), "", kinds.stand_in > requests / 10 ? "warn" : ""),
    fact("by no model", share(unanswered), "", unanswered > requests / 100 ? "bad" : ""),
    fact("a second", requests ? (perMinute / 60).toFixed(perMinute < 600 ? 2 : 0) : "0", "", ""),
    fact("median, main", ms(main?.elapsed_ms?.p50), "ms"),
    fact("99th percentile, main", ms(main?.elapsed_ms?.p99), "ms"),
    fact("requests", count(requests)));
}

/** The columns of a chart of kinds. @param {string} zone @param {(us: number) => string} text @returns {Column[]} */
export const kindColumns = (zone, text) => [
  { name: `from (${zone})`, of: (row) => text(row.from) },
  ...KINDS.map((each) => ({ name: KIND_NAMES[each], number: true, of: (/** @type {any} */ row) => count(row.kinds[each]), raw: (/** @type {any} */ row) => row.kinds[each] })),
  { name: "late", number: true, of: (row) => count(row.late), raw: (row) => row.late },
];

/** @type {Map<string, { config: number, versions: any[] }>} */
const pasts = new Map();

/** The versions of an endpoint, the newest first: read again only when another one is current. @param {string} endpoint @param {number} config */
export async function past(endpoint, config) {
  const known = pasts.get(endpoint);
  if (known?.config === config) return known.versions;
  const versions = await api.history(endpoint);
  pasts.set(endpoint, { config, versions });
  return versions;
}

/** Nothing there, and what to do. @param {string} what @param {...(Node | string)} advice */
export const empty = (what, ...advice) => h("div", { class: "empty" }, h("b", {}, what), " ", ...advice);
