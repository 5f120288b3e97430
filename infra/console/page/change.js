// A change of a configuration: planned, shown, and published against the version that was seen.

import { Problem, api, hasToken } from "./api.js";
import { button, h, replace, table } from "./dom.js";
import { count, fixed } from "./format.js";
import { state } from "./state.js";

/** Why nothing can be published from here; null if it can. */
export function prevented() {
  if (state.about?.read_only) return "The console was started with --read-only.";
  if (!hasToken()) return "Open the URL that was printed when the console started: it has the token that changes need.";
  return null;
}

/** What changes, in words. @param {any} plan */
export const planned = (plan) => plan.changes.length
  ? h("ul", { class: "changes" }, plan.changes.map((/** @type {string} */ text) => h("li", {}, text)))
  : h("p", { class: "quiet" }, "Nothing changes.");

/** @param {any} plan */
export const warned = (plan) => (plan.warnings ?? []).map((/** @type {string} */ text) => h("p", { class: "alarm" }, text));

/** What a baseline holds. @param {any} baseline */
const measured = (baseline) => table("baseline-models", [
  { name: "model", of: (row) => row.model },
  { name: "scored", number: true, of: (row) => count(row.scored) },
  { name: "failed", number: true, of: (row) => count(row.failed) },
  ...["10 %", "50 %", "90 %"].map((name, i) => ({ name, number: true, of: (/** @type {any} */ row) => fixed(row.quantiles?.[i]) })),
], baseline.models, { caption: `The baseline ${baseline.baseline}, from the archive: ${baseline.features.length} features, and the values of each model` });

/**
 * Asks for a message and publishes.
 * @param {object} of
 * @param {string} of.endpoint
 * @param {string} of.title
 * @param {() => any} of.change What is to change, as the interface takes it.
 * @param {Node | null} [of.fields] What can be chosen first.
 * @param {string} [of.message]
 * @param {number} of.version The version that the viewer has seen.
 */
export function publish({ endpoint, title, change, fields, message = "", version }) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));
  let expected = version;
  const preview = h("div", { id: "preview", "aria-live": "polite" }, h("p", { class: "quiet" }, "Planning…"));
  const result = h("div", { "aria-live": "assertive" });
  const reason = /** @type {HTMLTextAreaElement} */ (h("textarea", { id: "message", required: true, maxlength: 2000, rows: 3 }));
  reason.value = message;
  const author = /** @type {HTMLInputElement} */ (h("input", { id: "author", required: true, maxlength: 200, value: state.about.author }));
  const submit = /** @type {HTMLButtonElement} */ (h("button", { class: "main", type: "submit", id: "publish" }, `Publish in place of version ${expected}`));
  let number = 0;
  const plan = async () => {
    const mine = ++number;
    submit.disabled = true;
    try {
      const found = await api.plan(endpoint, change());
      if (mine !== number) return;
      replace(preview, h("h3", {}, "What changes"), planned(found), warned(found), found.baseline ? measured(found.baseline) : null);
      submit.disabled = prevented() !== null || found.changes.length === 0;
    } catch (error) {
      if (mine === number) replace(preview, h("p", { class: "error" }, error instanceof Error ? error.message : String(error)));
    }
  };
  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      const done = await api.publish(endpoint, { change: change(), expected, message: reason.value, author: author.value });
      replace(dialog, h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, `Version ${done.to} is current`), planned(done),
        h("p", { class: "quiet" }, "New requests use it within a second or so; requests in flight keep theirs."),
        h("div", { class: "actions" }, h("button", { class: "main", autofocus: true, id: "done" }, "Close"))));
      /** @type {HTMLElement | null} */ (dialog.querySelector("#done"))?.focus();
      dispatchEvent(new Event("published"));
    } catch (error) {
      const conflict = error instanceof Problem ? error.meanwhile : null;
      if (!conflict) {
        replace(result, h("p", { class: "error", role: "alert" }, error instanceof Error ? error.message : String(error)));
        submit.disabled = false;
        return;
      }
      expected = conflict.config;
      replace(result, h("div", { class: "error", role: "alert" },
        h("p", {}, h("b", {}, `Version ${conflict.config} was published meanwhile`), ` by ${conflict.author ?? "somebody"}: “${conflict.message ?? ""}”. Nothing of yours was published. It changed:`),
        h("ul", { class: "changes" }, conflict.changes.map((/** @type {string} */ text) => h("li", {}, text))),
        h("p", {}, `Above is what your change means now, against version ${conflict.config}.`)));
      submit.textContent = `Publish in place of version ${expected}`;
      await plan();
    }
  };
  const why = prevented();
  replace(dialog, h("form", { onsubmit: send },
    h("h2", { id: "dialog-title" }, title),
    fields, preview,
    h("label", { class: "field" }, h("span", {}, "Why (kept with the version)"), reason),
    h("label", { class: "field" }, h("span", {}, "Who"), author),
    why ? h("p", { class: "alarm" }, why) : null, result,
    h("div", { class: "actions" }, button("Cancel", () => dialog.close(), { id: "cancel" }), submit)));
  fields?.addEventListener("input", () => void plan());
  dialog.showModal();
  (/** @type {HTMLElement | null} */ (dialog.querySelector("select, input, textarea")))?.focus();
  void plan();
}

/** @param {string} id @param {string} name @param {string[]} values @param {string} [chosen] */
export const choose = (id, name, values, chosen) => h("label", { class: "field" }, h("span", {}, name),
  h("select", { id }, values.map((value) => h("option", { value, selected: value === chosen }, value))));

/** @param {string} id */
const value = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id)).value;

/** Models that may become the champion of `main`. @param {any} configuration */
export const candidates = (configuration) => [...new Set([
  ...(configuration.observers ?? []).filter((/** @type {any} */ each) => each.role === "challenger").map((/** @type {any} */ each) => each.model),
  ...configuration.schedule.choices.slice(1).map((/** @type {any} */ each) => each.model),
  ...(configuration.arms ?? []).flatMap((/** @type {any} */ arm) => arm.schedule.choices.map((/** @type {any} */ each) => each.model)),
  ...(configuration.observers ?? []).map((/** @type {any} */ each) => each.model),
])].filter((model) => model !== configuration.schedule.choices[0].model);

/** @param {string} endpoint @param {any} shown @param {string} [model] @param {string} [message] */
export function promote(endpoint, shown, model, message) {
  const models = candidates(shown.configuration);
  publish({
    endpoint, version: shown.config, title: `Promote a model of ${endpoint}`, message,
    fields: choose("promoted", "Becomes the champion, for all requests at once", models, model),
    change: () => ({ promote: { model: value("promoted") } }),
  });
}

/** A share as people write it: `5 %` is 0.05. @param {string} text */
const share = (text) => Number((Number(text.replace("%", "").trim()) / 100).toFixed(6));

/** @param {string} endpoint @param {any} shown @param {string} [model] @param {string} [message] */
export function ramp(endpoint, shown, model, message) {
  const models = candidates(shown.configuration);
  const number = (/** @type {string} */ id, /** @type {string} */ name, /** @type {string} */ of) =>
    h("label", { class: "field" }, h("span", {}, name), h("input", { id, value: of, class: "short", inputmode: "decimal" }));
  const fields = h("div", { style: "display:grid;gap:10px" },
    choose("ramped", "Becomes the champion of an arm", models, model),
    h("label", { class: "field" }, h("span", {}, "Steps: the share of the keys, in percent, one after the other"), h("input", { id: "steps", value: "5, 25, 100" })),
    h("fieldset", { style: "border:1px solid var(--line);display:grid;gap:8px" }, h("legend", { class: "small quiet" }, "The guard: the monitor takes the next step when all of it holds, and removes the arm when one of it is violated. Empty: no condition"),
      h("div", { class: "row" }, number("hold", "each step lasts at least, min", "10"), number("fallback", "no model answers, at most %", "1"),
        number("p99", "99th percentile, at most ms", String(Math.round(shown.configuration.schedule.deadline_ms * 0.75))),
        number("disagreement", "disagreement with main, at most %", "20"))));
  const change = () => {
    const steps = value("steps").split(",").map(share);
    /** @type {any} */
    const guard = { hold_minutes: Number(value("hold")) };
    if (value("fallback")) guard.fallback_rate = share(value("fallback"));
    if (value("p99")) guard.p99_ms = Number(value("p99"));
    if (value("disagreement")) guard.disagreement = share(value("disagreement"));
    return { promote_in_arm: { model: value("ramped"), steps, guard } };
  };
  publish({ endpoint, version: shown.config, title: `Promote in steps: a ramp of ${endpoint}`, fields, message, change });
}

/** @param {string} endpoint @param {any} shown @param {number} to */
export function rollBack(endpoint, shown, to) {
  const fields = h("label", { class: "row" }, h("input", { type: "checkbox", id: "rebase" }), "Arms that had passed steps begin with their first one again");
  publish({
    endpoint, version: shown.config, title: `Roll ${endpoint} back to version ${to}`, fields, message: `back to version ${to}: `,
    change: () => ({ roll_back: { version: to, rebase: /** @type {HTMLInputElement} */ (document.getElementById("rebase")).checked } }),
  });
}

/** @param {string} endpoint @param {any} shown @param {string} model */
export function retire(endpoint, shown, model) {
  publish({ endpoint, version: shown.config, title: `Retire ${model}`, change: () => ({ retire: { model } }) });
}

/** Days of UTC. @param {number} ago */
const day = (ago) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);

/** The days that drift is measured against. @param {string} endpoint @param {any} shown */
export function baseline(endpoint, shown) {
  const date = (/** @type {string} */ id, /** @type {string} */ name, /** @type {string} */ chosen) => h("label", { class: "field" }, h("span", {}, name),
    h("input", { id, type: "date", required: true, max: day(0), value: chosen }));
  publish({
    endpoint, version: shown.config, title: `Set the baseline of ${endpoint}`,
    fields: h("div", { style: "display:grid;gap:10px" }, date("baseline-from", "First day, UTC", day(7)), date("baseline-to", "The day after the last one", day(0)),
      h("label", { class: "field" }, h("span", {}, "Name; by default its days"), h("input", { id: "baseline-name", maxlength: 100 }))),
    change: () => ({ baseline: { from: value("baseline-from"), to: value("baseline-to"), name: value("baseline-name") } }),
  });
}
