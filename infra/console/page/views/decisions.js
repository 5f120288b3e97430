// The last decisions, live; and one request whole.

import { api, hasToken } from "../api.js";
import { request as requestChart, widthOf } from "../charts.js";
import { button, h, replace, table } from "../dom.js";
import { KIND_NAMES, REASONS, both, clock, fixed, ms, zoneName } from "../format.js";
import { decide, state } from "../state.js";
import { empty, kind, path } from "./common.js";

/** How many rows are drawn. */
const DRAWN = 100;

/** @param {HTMLElement} root @param {string} name */
export function decisions(root, name) {
  const list = h("section", { class: "panel", "aria-label": "Decisions" });
  const count = h("span", { class: "quiet small", role: "status" });
  const only = /** @type {HTMLSelectElement} */ (h("select", { id: "only", "aria-label": "Kind", onchange: () => draw() }, ["", ...Object.keys(KIND_NAMES)].map((each) => h("option", { value: each }, each ? KIND_NAMES[each] : "every kind"))));
  const find = h("form", { class: "row", onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    const id = /** @type {HTMLInputElement} */ (document.getElementById("find")).value.trim();
    if (id) { const link = h("a", { href: path(name, `/decisions/${encodeURIComponent(id)}`) }); document.body.append(link); link.click(); link.remove(); }
  } }, h("input", { id: "find", placeholder: "Request id", "aria-label": "Request id", size: 24 }), h("button", {}, "Find"));
  replace(root, h("div", { class: "head" }, h("h1", {}, `Decisions of ${name}`), h("div", { class: "row" }, count, only, find)), list);

  function draw() {
    const rows = state.decisions.filter((each) => !only.value || each.kind === only.value).slice(0, DRAWN);
    count.textContent = state.paused ? "paused" : `${rows.length} shown`;
    if (!rows.length) {
      replace(list, empty("There is no decision of the last 24 hours here.", "The archive has them some seconds after they are made, on a stack within a minute or two."));
      return;
    }
    replace(list, table("decisions", [
      { name: `decided (${zoneName})`, of: (row) => h("time", { datetime: new Date(row.decided_us / 1000).toISOString(), title: both(row.decided_us) }, clock(row.decided_us)) },
      { name: "request", of: (row) => h("a", { href: `${path(name, `/decisions/${row.request}`)}?received_us=${row.received_us}`, id: `d-${row.request}` }, `${row.request.slice(0, 18)}…`) },
      { name: "by", of: (row) => kind(row.kind) }, { name: "model", of: (row) => row.model ?? "" },
      { name: "why", of: (row) => h("span", { title: REASONS[row.reason] }, row.reason) },
      { name: "after ms", number: true, of: (row) => ms(row.elapsed_ms) },
      { name: "value", number: true, of: (row) => fixed(row.value) },
      { name: "arm", of: (row) => row.arm }, { name: "version", number: true, of: (row) => row.config },
    ], rows, { caption: "The last decisions, as the archive has them" }));
  }
  return {
    decisions: name,
    heard: (/** @type {string} */ event) => { if (event === "decisions" && !state.paused) draw(); },
    async refresh() {
      // What is new comes by itself.
      if (!state.decisions.length) decide((await api.decisions(name, { limit: DRAWN })).decisions);
      draw();
    },
  };
}

/** @param {HTMLElement} root @param {string} name @param {string} id */
export function decision(root, name, id) {
  let shown = false;
  /** @type {any} */
  let found = null;
  const received = new URLSearchParams(location.search).get("received_us");
  const read = async () => { found = await api.decision(name, id, { received_us: found?.asked?.received_us ?? received, payload: shown ? "shown" : null }); };
  const draw = () => {
    const { asked, decision: made, outcome, explanation, scores } = found;
    const schedule = explanation?.steps[0]?.text ?? "";
    const opens = new Map([...schedule.matchAll(/([^\s,:]+@[^\s,]+) (?:may answer at once|from (\d+) ms)/g)].map((match) => [match[1], Number(match[2] ?? 0)]));
    const deadline = asked?.deadline_ms ?? made?.elapsed_ms ?? 1;
    const show = button(shown ? "Mask" : "Show the values", async () => { shown = !shown; await read(); draw(); document.getElementById("unmask")?.focus(); }, { id: "unmask", disabled: !hasToken() });
    replace(root,
      h("div", { class: "head" }, h("h1", {}, "One request"), h("a", { href: path(name, "/decisions") }, "All decisions")),
      h("section", { class: "panel", "aria-label": "The decision" },
        h("p", { style: "font-size:17px;margin:0" }, made ? [kind(made.kind), made.model ? ` · ${made.model}` : "", ` · ${made.reason} · after ${ms(made.elapsed_ms)} ms`] : "No decision is archived yet."),
        h("p", { class: "quiet small" }, h("code", {}, id), ` · ${name}, version ${made?.config ?? asked?.config ?? "?"}, arm ${made?.arm ?? asked?.arm ?? "?"} · received ${asked ? both(asked.received_us) : "unknown"} · key `, h("code", {}, String(asked?.key ?? "the id")), ` · outcome: ${outcome ? JSON.stringify(outcome.outcome) : "none reported"}`),
        scores.length ? h("figure", {}, requestChart({ deadline, decided: made?.elapsed_ms ?? null, scores, opens, winner: made?.model ?? null, width: widthOf() }),
          h("figcaption", {}, "Thick lines: the model works; dot: its score arrives on the stream; cross: a failure; bars: from when a choice may answer. From the archive, to the microsecond.")) : null),
      h("section", { class: "panel half", "aria-label": "Step by step" }, h("h2", {}, "The decision, step by step"),
        explanation ? [
          h("ol", { class: "steps" }, explanation.steps.map((/** @type {any} */ step) => h("li", { class: step.what === "decided" ? "decided" : null }, h("span", { class: "ms" }, `${fixed(step.after_ms, 1)} ms`), h("span", {}, step.text)))),
          h("p", { class: explanation.same ? "calm" : "alarm" }, explanation.same ? "Recomputed from what the decider had seen: the schedule decides alike." : `It cannot be recomputed: ${explanation.why.replaceAll("_", " ")}.`),
        ] : h("p", { class: "quiet" }, "There is nothing to explain yet.")),
      h("section", { class: "panel half", "aria-label": "Payload and scores" },
        h("div", { class: "head" }, h("h2", {}, "Payload"), show),
        found.payload === null ? h("p", { class: "quiet" }, "The archive does not have it.") : h("pre", { tabindex: 0, "aria-label": "Payload" }, JSON.stringify(found.payload, null, 2)),
        h("p", { class: "quiet small" }, found.masked ? "Values are masked; to show them needs the token of the printed URL." : "Values are shown: they may be personal data."),
        table("scores", [
          { name: "model", of: (row) => row.model }, { name: "arrived ms", number: true, of: (row) => ms(row.arrived_ms) },
          { name: "score", of: (row) => (row.failure ? `${row.failure}: ${row.message ?? ""}` : h("code", {}, JSON.stringify(row.score))) },
        ], scores, { caption: "Scores, in the order in which they arrived" })));
  };
  return { decisions: null, busy: () => found !== null && found.decision !== null, async refresh() { await read(); draw(); } };
}
