// The schedule of an endpoint with how long its models take; its arms; its form.

import { api } from "../api.js";
import { figure, legend, lines, schedule, stacks, widthOf } from "../charts.js";
import { promote, ramp, rollBack } from "../change.js";
import { button, h, replace, table } from "../dom.js";
import { both, clock, count, minute, ms, percent, zoneName } from "../format.js";
import { range, spanMinutes } from "../state.js";
import { alarms, empty, headline, kindBars, kindColumns, kindParts, past } from "./common.js";
import { editor } from "./editor.js";

/** @param {HTMLElement} root @param {string} name */
export function endpoint(root, name) {
  const top = h("div", { class: "head" });
  const urgent = h("section", { class: "panel", "aria-label": "Alarms and warnings" });
  const arms = h("div", { class: "contents" });
  const edit = h("div", { class: "contents" });
  replace(root, top, urgent, arms, edit);
  /** @type {any} */
  let form = null;
  return {
    decisions: null,
    busy: () => form?.busy() ?? false,
    async refresh() {
      const [status, shown] = await Promise.all([api.status({ ...range(), endpoint: name, by: spanMinutes() }), api.show(name)]);
      const history = await past(name, shown.config);
      const found = status.endpoints[0];
      const before = history[0]?.replaced;
      replace(top, h("h1", {}, name), h("div", { class: "row" },
        h("span", { class: "quiet small" }, `version ${shown.config} by ${history[0]?.author || "unknown"}, ${both(history[0]?.published_us ?? 0)}`),
        button("Promote…", () => promote(name, shown), { id: "do-promote" }), button("Ramp…", () => ramp(name, shown), { id: "do-ramp" }),
        before ? button("Roll back…", () => rollBack(name, shown, before), { id: "do-rollback" }) : null,
        button("Edit…", () => form.open(), { id: "do-edit" })));
      replace(urgent, headline(found), alarms(status, name));
      const marks = history.map((/** @type {any} */ each) => ({ us: each.published_us, text: `v${each.config}` }));
      replace(arms, found.arms.map((/** @type {any} */ arm) => armPanel(name, arm, found, shown.configuration, marks)), rampPanel(found, shown.configuration));
      if (form?.version !== shown.config) {
        form = editor(name, shown);
        replace(edit, form.element);
      }
    },
  };
}

/** @param {string} name @param {any} arm @param {any} found @param {any} configuration @param {any[]} marks */
function armPanel(name, arm, found, configuration, marks) {
  const plan = arm.arm === "main" ? configuration : (configuration.arms ?? []).find((/** @type {any} */ each) => each.name === arm.arm);
  const share = arm.share === null ? "not configured any more" : `${percent(arm.share)} of the keys${arm.step ? `, step ${arm.step[0]} of ${arm.step[1]}` : ""}`;
  const bars = kindBars(found.spans, arm.arm);
  const times = (/** @type {string} */ quantile) => /** @type {[number, number | null][]} */ (found.spans.map((/** @type {any} */ span) => [span.from_us, span.arms[arm.arm]?.elapsed_ms?.[quantile] ?? null]));
  const deadline = plan?.schedule.deadline_ms;
  return h("section", { class: "panel", "aria-label": `Arm ${arm.arm}` },
    h("div", { class: "head" }, h("h2", {}, `Arm ${arm.arm}`), h("span", { class: "quiet small" }, share)),
    plan ? timeLine(name, arm, found, configuration, plan.schedule) : null,
    arm.requests === 0 ? empty("There is no decision of this arm in this range.") : h("div", { style: "display:grid;gap:18px 24px;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))" },
      figure({
        id: `arm-kinds-${arm.arm}`, title: `Decisions by who answers, in spans of ${spanMinutes()} min`, source: "Windows of the monitor. Dashed lines: new versions.",
        chart: stacks({ bars, parts: kindParts, label: `Decisions of arm ${arm.arm} by kind over time`, width: widthOf(0.48), marks }),
        legend: legend(kindParts), columns: kindColumns(zoneName, clock), rows: [...bars].reverse(),
      }),
      figure({
        id: `arm-times-${arm.arm}`, title: "Time to the decision, ms", source: "From the receipt to the decision, without the way back to the client. Windows of the monitor; times are up to 1 % too long.",
        chart: lines({ lines: [{ name: "median", colour: "var(--first)", points: times("p50") }, { name: "p99", colour: "var(--second)", points: times("p99") }], label: `Time to the decision in arm ${arm.arm}`, width: widthOf(0.48), limit: deadline, marks }),
        legend: legend([{ name: "median", colour: "var(--first)", line: true }, { name: "99th percentile", colour: "var(--second)", line: true }]),
        columns: [
          { name: `from (${zoneName})`, of: (row) => minute(row.from) },
          ...["p5", "p25", "p50", "p75", "p95", "p99"].map((each) => ({ name: `${each} ms`, number: true, of: (/** @type {any} */ row) => ms(row.arms[arm.arm]?.elapsed_ms?.[each]) })),
        ], rows: [...bars].reverse(),
      })));
}

/** @param {string} name @param {any} arm @param {any} found @param {any} configuration @param {any} plan */
function timeLine(name, arm, found, configuration, plan) {
  const times = new Map(found.models.map((/** @type {any} */ model) => [model.model, model]));
  const note = (/** @type {number} */ i, /** @type {any} */ choice) => `${i === 0 ? "champion" : i + 1 === plan.choices.length ? "backstop" : "stand-in"}, ${choice.after_ms ? `from ${choice.after_ms} ms` : "at once"}`;
  const rows = [
    ...plan.choices.map((/** @type {any} */ choice, /** @type {number} */ i) => ({ name: choice.model, note: note(i, choice), opens: choice.after_ms ?? 0, colour: "var(--accent)" })),
    ...(arm.arm === "main" ? (configuration.observers ?? []).map((/** @type {any} */ each) => ({ name: each.model, note: each.role + (each.share && each.share < 1 ? `, ${percent(each.share)}` : ""), opens: null, colour: "var(--quiet)" })) : []),
  ].map((row) => ({ ...row, times: times.get(row.name)?.elapsed_ms ?? null, model: times.get(row.name) }));
  const all = [...rows, { name: "the decision", note: "all requests of the arm", opens: null, times: arm.elapsed_ms, colour: "var(--text)", model: null }];
  const quantiles = ["p5", "p25", "p50", "p75", "p95", "p99"];
  return figure({
    id: `schedule-${arm.arm}`, title: "Who may answer from when, and how long each model takes",
    source: "Bars: from when a choice may answer. Over them, from the receipt to the score: 5th to 95th percentile as a line, middle half as a block, median as a stroke, 99th percentile as a ring. Windows of the monitor in the chosen range, of all arms; times are up to 1 % too long.",
    chart: schedule({ deadline: plan.deadline_ms, rows: all, label: `Schedule of arm ${arm.arm}, and the time to score of each model`, width: widthOf() }),
    columns: [
      { name: "model", of: (row) => row.name }, { name: "role", of: (row) => row.note },
      { name: "scored", number: true, of: (row) => (row.model ? count(row.model.scored) : count(arm.requests)) },
      ...quantiles.map((each) => ({ name: `${each} ms`, number: true, of: (/** @type {any} */ row) => ms(row.times?.[each]) })),
    ], rows: all,
  });
}

/** The arms beside `main`, their steps, and what their guard says. @param {any} found @param {any} configuration */
function rampPanel(found, configuration) {
  const plans = configuration.arms ?? [];
  if (!plans.length) return h("section", { class: "panel", "aria-label": "Ramps" }, h("h2", {}, "Ramps"), h("p", { class: "quiet" }, "No arm beside main: every request has the schedule above."));
  const of = (/** @type {any} */ plan) => found.arms.find((/** @type {any} */ arm) => arm.arm === plan.name);
  const guard = (/** @type {any} */ plan) => (plan.guard ? Object.entries(plan.guard).map(([key, value]) => `${key.replaceAll("_", " ")} ${["fallback_rate", "disagreement", "loss"].includes(key) ? percent(/** @type {number} */ (value)) : value}`).join(", ") : "none: a person takes the next step");
  return h("section", { class: "panel", "aria-label": "Ramps" }, h("h2", {}, "Ramps"),
    table("ramps", [
      { name: "arm", of: (plan) => plan.name }, { name: "champion", of: (plan) => plan.schedule.choices[0].model },
      { name: "steps", of: (plan) => plan.steps.flatMap((/** @type {number} */ step, /** @type {number} */ i) => [i ? " → " : "", i === (plan.step ?? 0) ? h("b", {}, percent(step)) : percent(step)]) },
      { name: "guard", of: guard },
      { name: "the monitor's verdict", of: (plan) => { const verdict = of(plan)?.verdict; return verdict ? `${clock(verdict.minute_us)}: ${verdict.because}` : plan.guard ? "not judged yet under this version" : ""; } },
    ], plans, { caption: "Arms beside main, and what their guard says" }));
}

