// The configuration of an endpoint as a form, with what it would have meant for the last hour.

import { api } from "../api.js";
import { planned, publish, warned } from "../change.js";
import { button, h, replace, table } from "../dom.js";
import { KIND_NAMES, count, fixed, iso, ms, percent } from "../format.js";
import { state } from "../state.js";

/** How long nobody types before it is computed. */
const PAUSE = 500;

/** @param {string} name @param {any} shown */
export function editor(name, shown) {
  /** @type {any} */
  let draft = structuredClone(shown.configuration);
  let isOpen = false;
  let number = 0;
  /** @type {any} */
  let timer;
  const form = h("div", { style: "display:grid;gap:12px" });
  const beside = h("div", { style: "display:grid;gap:12px;align-content:start", "aria-live": "polite" });
  const text = /** @type {HTMLTextAreaElement} */ (h("textarea", { id: "json", class: "code", rows: 14, spellcheck: "false", "aria-label": "The configuration as JSON" }));
  const element = h("section", { class: "panel", id: "editor", hidden: true, "aria-labelledby": "editor-title" });

  const known = () => [...new Set([...shown.configuration.schedule.choices, ...(shown.configuration.observers ?? [])].map((each) => each.model))];
  const changed = () => JSON.stringify(draft) !== JSON.stringify(shown.configuration);
  const later = () => { clearTimeout(timer); timer = setTimeout(() => void compute(), PAUSE); };

  /** What was edited in the form. */
  const edited = () => { text.value = JSON.stringify(draft, null, 2); later(); };
  const redraw = () => { draw(); edited(); };

  async function compute() {
    const mine = ++number;
    if (!changed()) { replace(beside, h("p", { class: "quiet" }, "Change something: what it means appears here, and what it would have meant for the last hour.")); return; }
    replace(beside, h("p", { class: "quiet" }, "Computing the last hour…"));
    /** @type {any} */
    let plan;
    try { plan = await api.plan(name, { apply: draft }); } catch (error) {
      if (mine === number) replace(beside, h("p", { class: "error", role: "alert" }, error instanceof Error ? error.message : String(error)));
      return;
    }
    if (mine !== number) return;
    const result = h("div", {}, h("p", { class: "quiet" }, "Computing the last hour…"));
    replace(beside, h("h3", {}, "What changes"), planned(plan), warned(plan), result,
      h("div", { class: "actions" }, button("Publish…", () => publish({ endpoint: name, title: `Apply a configuration of ${name}`, version: shown.config, change: () => ({ apply: draft }) }), { class: "main", id: "apply" })));
    const now = (Date.now() + state.skew) * 1000;
    try {
      const report = await api.whatif(name, { schedule: draft, from: iso(now - 3_600e6), to: iso(now) });
      if (mine === number) replace(result, whatif(report));
    } catch (error) {
      if (mine === number) replace(result, h("p", { class: "alarm" }, error instanceof Error ? error.message : String(error)));
    }
  }

  const input = (/** @type {string} */ id, /** @type {string} */ label, /** @type {any} */ value, /** @type {(value: string) => void} */ set) =>
    h("input", { id, class: "short", value, inputmode: "numeric", "aria-label": label, oninput: (/** @type {any} */ event) => { set(event.target.value); edited(); } });

  function draw() {
    const { choices } = draft.schedule;
    const move = (/** @type {number} */ from, /** @type {number} */ to) => {
      const [moved] = choices.splice(from, 1);
      choices.splice(to, 0, moved);
      delete choices[0].after_ms;
      redraw();
    };
    const rest = known().filter((model) => !choices.some((/** @type {any} */ each) => each.model === model));
    const observers = draft.observers ?? [];
    replace(form,
      h("div", { class: "row" }, h("label", { class: "row" }, "Deadline, ms ", input("deadline", "Deadline in milliseconds", draft.schedule.deadline_ms, (value) => { draft.schedule.deadline_ms = Number(value); }))),
      table("choices", [
        { name: "choice of main", of: (row) => row.choice.model },
        { name: "may answer from, ms", number: true, of: (row) => input(`after-${row.i}`, `${row.choice.model} may answer from, ms`, row.choice.after_ms ?? 0, (value) => { if (Number(value)) row.choice.after_ms = Number(value); else delete row.choice.after_ms; }) },
        { name: "", of: (row) => h("span", { class: "row" },
          button("Up", () => move(row.i, row.i - 1), { id: `up-${row.i}`, disabled: row.i === 0, "aria-label": `${row.choice.model} up` }),
          button("Down", () => move(row.i, row.i + 1), { id: `down-${row.i}`, disabled: row.i + 1 === choices.length, "aria-label": `${row.choice.model} down` }),
          button("Remove", () => { choices.splice(row.i, 1); delete choices[0]?.after_ms; redraw(); }, { id: `remove-${row.i}`, disabled: choices.length === 1, "aria-label": `Remove ${row.choice.model}` })) },
      ], choices.map((/** @type {any} */ choice, /** @type {number} */ i) => ({ choice, i })), { caption: "Choices, the most preferred first" }),
      rest.length ? h("div", { class: "row" }, h("select", { id: "added", "aria-label": "Model to add" }, rest.map((model) => h("option", {}, model))),
        button("Add as a choice", () => {
          const { value } = /** @type {HTMLSelectElement} */ (document.getElementById("added"));
          draft.observers = observers.filter((/** @type {any} */ each) => each.model !== value);
          choices.push({ model: value, after_ms: Math.round(draft.schedule.deadline_ms * 0.75) });
          redraw();
        }, { id: "add" })) : null,
      observers.length ? table("observers", [
        { name: "observer", of: (row) => row.model }, { name: "role", of: (row) => row.role },
        { name: "share of the requests, %", number: true, of: (row) => input(`share-${row.model}`, `${row.model}: share in percent`, (row.share ?? 1) * 100, (value) => { if (Number(value) === 100) delete row.share; else row.share = Number((Number(value) / 100).toFixed(6)); }) },
        { name: "", of: (row) => button("Remove", () => { draft.observers = observers.filter((/** @type {any} */ each) => each !== row); redraw(); }, { "aria-label": `Remove ${row.model}`, id: `drop-${row.model}` }) },
      ], observers, { caption: "Observers: they score, and cannot answer" }) : null,
      h("details", {}, h("summary", {}, "All of it as JSON: arms, fallback, pins, value, outcome, tensors"), text));
  }

  text.addEventListener("input", () => {
    try { draft = JSON.parse(text.value); draw(); text.focus(); later(); } catch (error) {
      replace(beside, h("p", { class: "error" }, `This is no JSON yet: ${error instanceof Error ? error.message : error}`));
    }
  });
  replace(element, h("div", { class: "head" }, h("h2", { id: "editor-title" }, `Edit version ${shown.config}`), button("Close", () => { isOpen = false; element.hidden = true; document.getElementById("do-edit")?.focus(); }, { id: "close-editor" })),
    h("div", { style: "display:grid;gap:20px;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))" }, form, beside));
  draw();
  edited();
  return {
    element, version: shown.config, busy: () => isOpen && changed(),
    open() { isOpen = true; element.hidden = false; element.scrollIntoView({ block: "start" }); document.getElementById("deadline")?.focus(); },
  };
}

/** What the requests were answered, and what they would have been. @param {any} report */
function whatif(report) {
  if (!report.requests) return h("p", { class: "quiet" }, "The archive has no decided request of the last hour.");
  const { real, whatif: other } = report;
  /** @type {[string, string, string][]} */
  const rows = Object.keys({ ...real.kinds, ...other.kinds }).map((kind) => [KIND_NAMES[kind] ?? kind, count(real.kinds[kind] ?? 0), count(other.kinds[kind] ?? 0)]);
  for (const model of new Set([...Object.keys(real.models), ...Object.keys(other.models)])) rows.push([`won by ${model}`, count(real.models[model] ?? 0), count(other.models[model] ?? 0)]);
  for (const each of ["p50", "p95", "p99"]) rows.push([`time to the decision, ${each}, ms`, ms(real.elapsed_ms[each]), ms(other.elapsed_ms[each])]);
  rows.push(["no model answers", percent(real.fallback_rate, 3), percent(other.fallback_rate, 3)], ["Brier score", fixed(real.brier, 5), fixed(other.brier, 5)]);
  return h("div", { style: "display:grid;gap:6px" },
    table("whatif", [{ name: "", of: (row) => row[0] }, { name: "was", number: true, of: (row) => row[1] }, { name: "would have been", number: true, of: (row) => row[2] }], rows,
      { caption: `${count(report.requests)} requests of the last hour: ${count(report.changed)} would have had another answer, at least ${count(report.changed_range.at_least)} and at most ${count(report.changed_range.at_most)}` }),
    h("p", { class: "quiet small" }, `Recomputed from the archive, as by rendezvousctl whatif; ${count(report.recomputed.same)} of ${count(report.requests)} real decisions are recomputed alike. A score counts ${ms(report.filing_ms)} ms after its arrival.`));
}
