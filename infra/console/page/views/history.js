// The versions of an endpoint: who, when, why, what changed, and what happened then.

import { api } from "../api.js";
import { rollBack } from "../change.js";
import { button, details, h, replace, table } from "../dom.js";
import { both, count, iso, ms, percent } from "../format.js";
import { state } from "../state.js";
import { past, sums } from "./common.js";

/** What happened before and after a publication. */
const MINUTES = 10;

/** @param {HTMLElement} root @param {string} name */
export function history(root, name) {
  /** @type {Map<number, any[]>} */
  const then = new Map();
  return {
    decisions: null,
    async refresh() {
      const shown = await api.show(name);
      const versions = await past(name, shown.config);
      replace(root, h("div", { class: "head" }, h("h1", {}, `History of ${name}`), h("p", { class: "quiet small" }, `${versions.length} ${versions.length === 1 ? "version" : "versions"}, the newest first. Dashed lines on the charts.`)),
        h("section", { class: "panel", style: "gap:0", "aria-label": "Versions" }, versions.map((/** @type {any} */ each) => version(name, each, shown, then))));
    },
  };
}

/** @param {string} name @param {any} each @param {any} shown @param {Map<number, any[]>} then */
function version(name, each, shown, then) {
  const isCurrent = each.config === shown.config;
  const happened = h("div", {});
  const draw = () => { const found = then.get(each.config); if (found) replace(happened, figures(found)); };
  draw();
  const more = details(`then-${each.config}`, `What happened then: the ${MINUTES} minutes before and after`, happened);
  const load = async () => {
    if (!(/** @type {HTMLDetailsElement} */ (more).open) || then.has(each.config)) return;
    replace(happened, h("p", { class: "quiet" }, "Reading…"));
    try {
      const at = each.published_us;
      const until = Math.min(at + MINUTES * 60e6, (Date.now() + state.skew) * 1000);
      const spans = await Promise.all([at, until].map((to) => api.status({ endpoint: name, minutes: MINUTES, to: iso(to) })));
      then.set(each.config, spans.map((span) => span.endpoints[0]));
      draw();
    } catch (error) { replace(happened, h("p", { class: "error" }, error instanceof Error ? error.message : String(error))); }
  };
  more.addEventListener("toggle", () => void load());
  if (/** @type {HTMLDetailsElement} */ (more).open) void load();
  return h("article", { class: "version", id: `v${each.config}` },
    h("div", { class: "head" }, h("h2", {}, `Version ${each.config}${isCurrent ? ", current" : ""}`),
      h("div", { class: "row" }, h("span", { class: "quiet small" }, `${both(each.published_us)} · ${each.author || "unknown"}`),
        isCurrent ? null : button("Roll back to this…", () => rollBack(name, shown, each.config), { id: `back-${each.config}`, "aria-label": `Roll back to version ${each.config}` }))),
    each.message ? h("p", { style: "margin:0" }, `“${each.message}”`) : null,
    h("ul", { class: "changes" }, each.changes.map((/** @type {string} */ text) => h("li", {}, text))), more);
}

/** @param {any[]} found Before, and after. */
function figures(found) {
  const of = found.map((each) => ({ ...sums(each.arms), main: each.arms.find((/** @type {any} */ arm) => arm.arm === "main") }));
  const share = (/** @type {any} */ each, /** @type {number} */ part) => (each.requests ? percent(part / each.requests, 2) : "–");
  /** @type {[string, ...string[]][]} */
  const rows = [
    ["requests", ...of.map((each) => count(each.requests))], ["by the champion", ...of.map((each) => share(each, each.kinds.champion))],
    ["by a stand-in", ...of.map((each) => share(each, each.kinds.stand_in))], ["by no model", ...of.map((each) => share(each, each.kinds.fallback + each.kinds.none))],
    ["late", ...of.map((each) => count(each.late))], ["99th percentile of main, ms", ...of.map((each) => ms(each.main?.elapsed_ms?.p99))],
  ];
  return h("div", {}, table("", [{ name: "", of: (row) => row[0] }, { name: "before", number: true, of: (row) => row[1] }, { name: "after", number: true, of: (row) => row[2] }], rows, { caption: "Windows of the monitor; the minute of the publication is in both" }));
}
