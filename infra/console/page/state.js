// What the views share.

/** How many seconds of counters are kept: memory does not grow with the time that the page is open. */
const SECONDS = 120;
/** How many decisions are kept. */
const DECISIONS = 200;

/** @typedef {{ from: number, to: number, kinds: Record<string, number>, late: number }} Second */

export const state = {
  /** @type {any} */ about: null,
  /** @type {string[]} */ names: [],
  /** @type {string} */ endpoint: "",
  minutes: 15,
  paused: false,
  /** The end of the range while it is paused. @type {number | null} */
  to: null,
  /** The server's clock less the viewer's, in milliseconds. */
  skew: 0,
  /** @type {Record<string, number>} */ versions: {},
  /** @type {Second[]} */ seconds: [],
  /** @type {{ at: number, counters: any } | null} */ counted: null,
  /** The latest first. @type {any[]} */ decisions: [],
};

/** How many minutes a bar of a chart has. */
export const spanMinutes = () => ({ 15: 1, 60: 1, 360: 5, 1440: 15 })[state.minutes] ?? 1;

/** How often the figures are read, in milliseconds: those of hours change little, and more of them are read. */
export const every = () => ({ 15: 5_000, 60: 10_000, 360: 30_000, 1440: 60_000 })[state.minutes] ?? 5_000;

/** The parameters of the range. @returns {Record<string, string | number | null>} */
export const range = () => ({ minutes: state.minutes, to: state.to === null ? null : new Date(state.to).toISOString() });

/** The range as times for what reads the archive. */
export function times() {
  const end = state.to ?? Date.now() + state.skew;
  const to = new Date(end);
  const from = new Date(end - state.minutes * 60_000);
  return { from: from.toISOString(), to: to.toISOString() };
}

/** What is counted is since the start of the functions: seconds are the differences. @param {{ at_us: number, counters: any }} event */
export function count({ at_us: at, counters }) {
  const before = state.counted;
  state.counted = { at, counters };
  if (!before) return;
  const kinds = /** @type {Record<string, number>} */ ({});
  for (const [kind, value] of Object.entries(counters.answers)) kinds[kind] = value - (before.counters.answers[kind] ?? 0);
  const late = counters.late - before.counters.late;
  // A server that has started anew counts from zero.
  if (late < 0 || Object.values(kinds).some((value) => value < 0)) return;
  state.seconds.push({ from: before.at, to: at, kinds, late });
  if (state.seconds.length > SECONDS) state.seconds.splice(0, state.seconds.length - SECONDS);
}

/** @param {any[]} decisions */
export function decide(decisions) {
  const known = new Set(state.decisions.map((each) => each.request));
  state.decisions = [...decisions.filter((each) => !known.has(each.request)), ...state.decisions]
    .sort((a, b) => b.arrived_us - a.arrived_us).slice(0, DECISIONS);
}
