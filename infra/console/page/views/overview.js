// Whether everybody is answered in time, by whom and why.

import { api } from "../api.js";
import { figure, legend, stacks, widthOf } from "../charts.js";
import { h, replace, table } from "../dom.js";
import { KINDS, REASONS, both, clock, count, zoneName } from "../format.js";
import { range, spanMinutes, state } from "../state.js";
import { alarms, empty, headline, kindBars, kindColumns, kindParts, past, path } from "./common.js";

/** @param {HTMLElement} root */
export function overview(root) {
  const top = h("div", { class: "head" });
  const urgent = h("section", { class: "panel", "aria-labelledby": "alarms-title" });
  const now = h("section", { class: "panel", "aria-label": "The last two minutes" });
  const list = h("div", { class: "contents" });
  replace(root, top, urgent, list, now);
  now.hidden = true;

  const drawSeconds = () => {
    if (!state.about.live) return;
    now.hidden = false;
    const begin = (state.seconds.at(-1)?.to ?? 0) - 120e6;
    const rows = state.seconds.filter((second) => second.from >= begin).map((second) => ({ ...second, parts: KINDS.map((each) => (second.kinds[each] ?? 0) / ((second.to - second.from) / 1e6)) }));
    if (rows.length < 2) {
      replace(now, h("h2", {}, "Each second"), h("p", { class: "quiet" }, "Counting…"));
      return;
    }
    replace(now, figure({
      id: "seconds", title: "Answers a second, all endpoints",
      source: "The counters of the running functions, read each second, of the last two minutes. Exact; the minutes above come from the monitor's windows.",
      chart: stacks({ bars: rows, parts: kindParts, label: "Answers a second, by kind", width: widthOf(), height: 110, seconds: true, begin }),
      legend: legend(kindParts), columns: kindColumns(zoneName, clock), rows: [...rows].reverse(),
    }));
  };

  return {
    decisions: null,
    heard: (/** @type {string} */ event) => { if (event === "counters") drawSeconds(); },
    async refresh() {
      const [status, endpoints] = await Promise.all([api.status({ ...range(), by: spanMinutes() }), api.endpoints()]);
      const histories = await Promise.all(status.endpoints.map((/** @type {any} */ each) => past(each.endpoint, each.config)));
      replace(top, h("h1", {}, "Overview"), h("p", { class: "quiet small" }, `${both(status.from_us)} to ${both(status.to_us)}`));
      replace(urgent, h("h2", { id: "alarms-title", class: "quiet" }, "Alarms and warnings"), alarms(status, null));
      if (!status.endpoints.length) {
        replace(list, h("section", { class: "panel" }, empty("There is no endpoint.", "Publish one: ", h("code", {}, "rendezvousctl apply FILE -m MESSAGE"), ".")));
      } else {
        replace(list, status.endpoints.map((/** @type {any} */ found, /** @type {number} */ i) =>
          panel(found, endpoints.find((/** @type {any} */ each) => each.endpoint === found.endpoint), histories[i], status.endpoints.length)));
      }
      drawSeconds();
    },
  };
}

/** @param {any} found @param {any} listed @param {any[]} history @param {number} of */
function panel(found, listed, history, of) {
  const marks = history.map((each) => ({ us: each.published_us, text: `v${each.config}` }));
  const bars = kindBars(found.spans);
  const reasons = new Map();
  for (const arm of found.arms) for (const { reason, count } of arm.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  const why = [...reasons].sort((a, b) => b[1] - a[1]);
  const requests = why.reduce((sum, [, many]) => sum + many, 0);
  const half = of > 1 ? "wide-half" : "";
  return h("section", { class: `panel ${half}`, "aria-label": found.endpoint },
    h("div", { class: "head" },
      h("h2", {}, h("a", { href: path(found.endpoint) }, found.endpoint)),
      h("span", { class: "quiet small" }, `champion ${listed?.champion ?? "–"} · version ${found.config}`,
        listed?.published_us ? ` by ${listed.author || "unknown"}, ${both(listed.published_us)}` : "")),
    headline(found),
    requests === 0 ? empty("There is no decision in this range.", "Windows appear up to two minutes after a request.") : figure({
      id: `kinds-${found.endpoint}`, title: `Decisions by who answers, in spans of ${spanMinutes()} min`,
      source: "Windows of the monitor, by the minute in which a decision arrived. A batch that is delivered again can count twice; the archive is exact. Dashed lines: new versions.",
      chart: stacks({ bars, parts: kindParts, label: `Decisions of ${found.endpoint} by kind over time`, width: widthOf(of > 1 && innerWidth >= 1900 ? 0.5 : 1), marks }),
      legend: legend(kindParts), columns: kindColumns(zoneName, clock), rows: [...bars].reverse(),
    }),
    requests === 0 ? null : table(`reasons-${found.endpoint}`, [
      { name: "why", of: (row) => row[0] },
      { name: "meaning", of: (row) => REASONS[row[0]] ?? "" },
      { name: "requests", number: true, of: (row) => count(row[1]) },
      { name: "share", number: true, of: (row) => `${((row[1] / requests) * 100).toFixed(2)} %` },
    ], why, { caption: "Why it was this answer" }));
}
