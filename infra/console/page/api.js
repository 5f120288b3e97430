// The interface of the console: /console/api.

/** A refusal, or a server that cannot be reached. */
export class Problem extends Error {
  /** @param {number} status @param {string} detail @param {any} [meanwhile] */
  constructor(status, detail, meanwhile) {
    super(detail);
    this.status = status;
    this.meanwhile = meanwhile;
  }
}

const TOKEN = "rendezvous-token";

/** Takes the token from the fragment of the printed URL, and out of the address bar. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
async function call(path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (options.body) headers["Content-Type"] = "application/json";
  /** @type {Response} */
  let response;
  try {
    response = await fetch(`/console/api${path}`, { ...options, headers });
  } catch {
    throw new Problem(0, "The console's server cannot be reached. It is tried again.");
  }
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, value.detail ?? response.statusText, value.meanwhile);
  return value;
}

/** @param {Record<string, string | number | null | undefined>} parameters */
function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

const of = (/** @type {string} */ endpoint) => `/endpoints/${encodeURIComponent(endpoint)}`;
const post = (/** @type {string} */ path, /** @type {any} */ body) => call(path, { method: "POST", body: JSON.stringify(body) });

/** @typedef {Record<string, string | number | null | undefined>} Parameters */
export const api = {
  about: () => call(""),
  endpoints: () => call("/endpoints"),
  status: (/** @type {Parameters} */ parameters) => call(`/status${query(parameters)}`),
  show: (/** @type {string} */ endpoint, /** @type {Parameters} */ parameters = {}) => call(of(endpoint) + query(parameters)),
  history: (/** @type {string} */ endpoint) => call(`${of(endpoint)}/history`),
  diff: (/** @type {string} */ endpoint, /** @type {Parameters} */ parameters) => call(`${of(endpoint)}/diff${query(parameters)}`),
  models: (/** @type {string} */ endpoint, /** @type {Parameters} */ parameters) => call(`${of(endpoint)}/models${query(parameters)}`),
  compare: (/** @type {string} */ endpoint, /** @type {Parameters} */ parameters) => call(`${of(endpoint)}/compare${query(parameters)}`),
  decisions: (/** @type {string} */ endpoint, /** @type {Parameters} */ parameters) => call(`${of(endpoint)}/decisions${query(parameters)}`),
  decision: (/** @type {string} */ endpoint, /** @type {string} */ id, /** @type {Parameters} */ parameters) =>
    call(`${of(endpoint)}/decisions/${encodeURIComponent(id)}${query(parameters)}`),
  whatif: (/** @type {string} */ endpoint, /** @type {any} */ body) => post(`${of(endpoint)}/whatif`, body),
  plan: (/** @type {string} */ endpoint, /** @type {any} */ change) => post(`${of(endpoint)}/plan`, { change }),
  publish: (/** @type {string} */ endpoint, /** @type {any} */ body) => post(`${of(endpoint)}/publish`, body),
};

/** How long nothing may come before the connection counts as lost: an event is sent each second. */
const SILENCE = 6_000;

/**
 * The stream of what is live. It connects again by itself, also to a server that has started anew.
 * @param {string | null} decisions The endpoint whose decisions are wanted.
 * @param {(event: string, data: any) => void} heard
 * @param {(live: boolean) => void} changed
 * @returns {() => void} Ends it.
 */
export function events(decisions, heard, changed) {
  let ended = false;
  let last = Date.now();
  /** @type {EventSource | null} */
  let source = null;
  const connect = () => {
    source?.close();
    last = Date.now();
    source = new EventSource(`/console/api/events${query({ decisions })}`);
    for (const event of ["counters", "alive", "versions", "decisions"]) {
      source.addEventListener(event, (message) => {
        last = Date.now();
        changed(true);
        heard(event, JSON.parse(/** @type {MessageEvent} */ (message).data));
      });
    }
    source.addEventListener("error", () => changed(false));
  };
  connect();
  // A connection that is torn without a word, or that the browser has given up.
  const watch = setInterval(() => {
    if (!ended && Date.now() - last > SILENCE) {
      changed(false);
      connect();
    }
  }, 2_000);
  return () => {
    ended = true;
    clearInterval(watch);
    source?.close();
  };
}
