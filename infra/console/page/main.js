// The page: which view is shown, and how it stays up to date.

import { Problem, api, events, takeToken } from "./api.js";
import { h, replace } from "./dom.js";
import { ago, clock, utc, zoneName } from "./format.js";
import { count, decide, every, state } from "./state.js";
import { compare } from "./views/compare.js";
import { decision, decisions } from "./views/decisions.js";
import { endpoint } from "./views/endpoint.js";
import { history as pastVersions } from "./views/history.js";
import { models } from "./views/models.js";
import { overview } from "./views/overview.js";

/** How often it is seen whether a view is to be refreshed, in milliseconds. */
const EVERY = 5_000;

/**
 * @typedef {object} View
 * @property {() => Promise<void>} refresh Reads again and draws.
 * @property {(event: string, data: any) => void} [heard] What is live.
 * @property {() => boolean} [busy] Whether somebody edits: then nothing is drawn anew.
 * @property {string | null} [decisions] The endpoint whose decisions are wanted live.
 */

const VIEWS = /** @type {const} */ ([["", "Schedule"], ["models", "Models"], ["compare", "Compare"], ["decisions", "Decisions"], ["history", "History"]]);
const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const main = element("main");

/** @type {View | null} */
let view = null;
/** @type {string | null | undefined} */
let listening;
/** @type {() => void} */
let stop = () => {};
let updated = 0;
let live = true;
let failed = "";
let number = 0;

/** @param {string} path */
export function go(path) {
  history.pushState(null, "", path);
  void route(true);
}

/** Which view a path is. @param {string} path */
function read(path) {
  const parts = path.split("/").filter(Boolean).slice(1).map(decodeURIComponent);
  if (parts[0] !== "endpoints" || !parts[1]) return { name: "", view: "overview", id: "" };
  return { name: parts[1], view: parts[2] ?? "", id: parts[3] ?? "" };
}

/** @param {boolean} moved Whether the viewer has gone to it. */
async function route(moved) {
  const { name, view: of, id } = read(location.pathname);
  if (name && name !== state.endpoint) state.decisions = [];
  if (name) state.endpoint = name;
  navigation(of, Boolean(name));
  const mine = ++number;
  const root = h("div", { class: "contents" });
  const loading = h("p", { class: "quiet", role: "status" }, "Loading…");
  replace(main, root, loading);
  main.setAttribute("aria-busy", "true");
  /** @type {Record<string, () => View>} */
  const views = {
    overview: () => overview(root), "": () => endpoint(root, name), models: () => models(root, name), compare: () => compare(root, name),
    decisions: () => (id ? decision(root, name, id) : decisions(root, name)), history: () => pastVersions(root, name),
  };
  view = views[of]?.() ?? null;
  updated = 0;
  listen();
  if (!view) {
    replace(main, h("h1", {}, "There is no such view"), h("p", {}, h("a", { href: "/console" }, "Overview")));
    main.setAttribute("aria-busy", "false");
    return;
  }
  await refresh(mine);
  if (mine !== number) return;
  loading.remove();
  document.title = `${main.querySelector("h1")?.textContent ?? "Rendezvous"} · Rendezvous`;
  if (moved) { main.focus(); scrollTo(0, 0); }
}

async function refresh(mine = number) {
  const current = view;
  if (!current || current.busy?.()) return;
  try {
    await current.refresh();
    if (mine !== number) return;
    const recovered = failed;
    updated = Date.now();
    failed = "";
    main.setAttribute("aria-busy", "false");
    if (recovered) void route(false);
  } catch (error) {
    if (mine !== number) return;
    if (!(error instanceof Problem)) console.error(error);
    failed = error instanceof Error ? error.message : String(error);
    main.setAttribute("aria-busy", "false");
    // What was drawn before stays, and is marked as old.
    if (!updated) replace(main, problem(failed));
  }
  stale();
}

/** @param {string} text */
export const problem = (text) => h("div", { class: "error", role: "alert" }, h("b", {}, "This cannot be shown. "), text, " ",
  h("button", { type: "button", onclick: () => void route(false) }, "Try again"));

/** @param {string} of @param {boolean} inEndpoint */
function navigation(of, inEndpoint) {
  const current = (/** @type {boolean} */ is) => (is ? "page" : null);
  const below = state.endpoint || state.names[0];
  const choose = h("select", { id: "endpoint", "aria-label": "Endpoint", onchange: (/** @type {any} */ event) =>
    go(`/console/endpoints/${encodeURIComponent(event.target.value)}${inEndpoint && of && of !== "decisions" ? `/${of}` : ""}`) },
    [...new Set([...(below ? [below] : []), ...state.names])].sort().map((name) => h("option", { value: name, selected: name === below }, name)));
  replace(element("nav"), h("a", { href: "/console", "aria-current": current(of === "overview") }, "Overview"),
    below ? h("span", { class: "of" }, choose) : null,
    below ? VIEWS.map(([path, name]) => h("a", {
      href: `/console/endpoints/${encodeURIComponent(below)}${path ? `/${path}` : ""}`,
      "aria-current": current(inEndpoint && of === path),
    }, name)) : null);
}

/** Connects to the stream for what the view wants. */
function listen() {
  const wanted = state.paused ? undefined : view?.decisions ?? null;
  if (wanted === listening) return;
  stop();
  listening = wanted;
  if (wanted === undefined) { stop = () => {}; return; }
  stop = events(wanted, heard, (is) => { live = is; stale(); });
}

/** @param {string} event @param {any} data */
function heard(event, data) {
  if (event === "counters") count(data);
  if (event === "counters" || event === "alive") state.skew = data.at_us / 1000 - Date.now();
  if (event === "decisions") decide(data);
  if (event === "versions") {
    const changed = JSON.stringify(state.versions) !== JSON.stringify(data);
    state.versions = data;
    const names = Object.keys(data);
    if (names.join() !== state.names.join()) {
      state.names = names;
      const { view: of, name } = read(location.pathname);
      navigation(of, Boolean(name));
    }
    if (changed) void refresh();
  }
  if (!document.hidden) view?.heard?.(event, data);
}

/** Says when what is shown is old. */
function stale() {
  const link = element("link");
  link.className = state.paused ? "link" : live ? "link live" : "link lost";
  const text = state.paused ? "Paused" : live ? "Live" : "Connecting again…";
  if (link.textContent !== text) link.textContent = text;
  const old = (Date.now() - updated) / 1000;
  const isOld = updated > 0 && !state.paused && (failed || old > Math.max(30, 2 * every() / 1000)) && !document.hidden;
  const notice = element("notice");
  notice.hidden = !isOld;
  if (isOld) notice.textContent = `Not up to date: read ${ago(old)} ago. ${failed}`;
}

function tick() {
  const now = (Date.now() + state.skew) * 1000;
  const zone = zoneName === "UTC" ? "UTC" : `${zoneName} · ${utc(now).slice(11, 19)} UTC`;
  element("clock").textContent = `${clock(now)} ${zone}`;
  stale();
}

function controls() {
  const choose = /** @type {HTMLSelectElement} */ (element("range"));
  choose.addEventListener("change", () => { state.minutes = Number(choose.value); void refresh(); });
  const pause = element("pause");
  pause.addEventListener("click", () => {
    state.paused = !state.paused;
    state.to = state.paused ? Date.now() + state.skew : null;
    pause.setAttribute("aria-pressed", String(state.paused));
    pause.textContent = state.paused ? "Resume" : "Pause";
    listen();
    stale();
    void refresh();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (!link || !plain || link.origin !== location.origin || link.hasAttribute("download") || link.getAttribute("href")?.startsWith("#")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
  addEventListener("popstate", () => void route(true));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) void refresh(); });
  addEventListener("published", () => void refresh());
}

async function start() {
  takeToken();
  controls();
  setInterval(tick, 1_000);
  tick();
  for (;;) {
    try {
      const [about, endpoints] = await Promise.all([api.about(), api.endpoints()]);
      state.about = about;
      state.names = endpoints.map((/** @type {any} */ each) => each.endpoint);
      break;
    } catch (error) {
      replace(main, h("div", { class: "error", role: "alert" }, error instanceof Error ? error.message : String(error)));
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
  element("name").textContent = state.about.name + (state.about.read_only ? " · read only" : "");
  await route(false);
  // An answer that takes longer than the interval is waited for: to ask again meanwhile would make it slower.
  let waiting = false;
  let passed = 0;
  setInterval(() => {
    passed += EVERY;
    if (waiting || state.paused || document.hidden || passed < every()) return;
    [waiting, passed] = [true, 0];
    void refresh().finally(() => { waiting = false; });
  }, EVERY);
}

void start();
