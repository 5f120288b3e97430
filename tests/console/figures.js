// What an open console costs, how soon it shows something, and what an hour does to its memory: the figures of infra/console/README.md.
// Needs a quiet machine for two minutes or three.
//
//     cargo build --release && cd tests/console && npm ci && node figures.js [../../target/release/rendezvous-local [picture|cost|hour]]
//     node figures.js ../../target/release/rendezvous-local hours           takes ten minutes and 3 GB of disk in the folder for temporary files

import { execFile } from "node:child_process";
import { createServer, request as forward } from "node:http";
import { appendFileSync, mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { drawn, launch, open, sleep, start } from "./browser.js";

const PROGRAM = resolve(process.argv[2] ?? "../../target/release/rendezvous-local");
const ONLY = process.argv[3];
/** How long the system does as much as it can. */
const SECONDS = 20;
/** How often the status is asked for. */
const POLLS = 200;
/** How often a visible page reads the status of a range of so many minutes, in milliseconds: `every` of infra/console/page/state.js. */
const EVERY = { 15: 5_000, 60: 10_000, 360: 30_000, 1440: 60_000 };
const RATE = 1_000;
/** Of so many of the last minutes the windows of batches are read. */
const BATCHES = 5;
/** How many times as fast as the clock an hour passes. */
const FASTER = 60;

const data = mkdtempSync(join(tmpdir(), "figures-"));
const serve = () => start(PROGRAM, ["serve", "--port", "0", "--data", data], /^(http:\/\/\S+)[\s\S]*console (http:\/\/\S+#token=\w+)/m, { cwd: "../.." });
let server = await serve();
const [, url, home] = server.found;
const load = ["bench", "--address", new URL(url).host, "--pid", String(server.child.pid)];
const run = async (/** @type {string[]} */ args) => JSON.parse((await promisify(execFile)(PROGRAM, args, { cwd: "../.." })).stdout);
const median = (/** @type {number[]} */ values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const browser = await launch();
try {
  // Windows and decisions of the last minute are there.
  await run([...load, "--rate", String(RATE), "--seconds", "5"]);
  if (!ONLY || ONLY === "picture") await picture();
  if (!ONLY || ONLY === "cost") await cost();
  if (ONLY === "hours") await hours();
  if (!ONLY || ONLY === "hour") for (const view of ["", "/endpoints/flight-delay/decisions"]) await hour(view);
} finally {
  await browser.close();
  await server.stop();
}

/** From the navigation to the first picture, and to all of it, in contexts that have cached nothing. */
async function picture() {
  const times = [];
  for (let i = 0; i < 7; i++) {
    const { page, context } = await open(browser);
    const begun = Date.now();
    await page.goto(home, { waitUntil: "commit" });
    await drawn(page);
    const complete = Date.now() - begun;
    const first = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null);
    times.push([first, complete]);
    await context.close();
  }
  console.log(`first picture after ${median(times.map(([first]) => first)).toFixed(0)} ms, overview with its figures after ${median(times.map(([, all]) => all))} ms (medians of ${times.length})`);
}

/**
 * The processor time that the system takes for what an open page asks for, as a share of what it takes for as many requests as it can. Throughputs with
 * and without a page differ by less than two runs of the same kind. It is asked from here: a browser would take the processor from the system.
 */
async function cost() {
  const { page, context } = await open(browser);
  const status = page.waitForRequest((request) => request.url().includes("/api/status?"));
  await page.goto(home);
  const asked = (await status).url();
  await context.close();
  const loaded = await run([...load, "--seconds", String(SECONDS)]);
  const cores = loaded.processor_seconds / loaded.seconds;
  await sleep(5_000);
  const idle = await processor(async () => { await sleep(10_000); }) / 10;
  const end = new AbortController();
  const { body } = await fetch(`${url}/console/api/events`, { signal: end.signal });
  const events = await processor(async () => { await sleep(10_000); }) / 10 - idle;
  end.abort();
  await body?.cancel().catch(() => {});
  const poll = await answer(asked, POLLS, idle);
  const second = Math.max(events, 0) + poll / (EVERY[15] / 1_000);
  console.log(`an answer to an open page takes ${(1_000 * poll).toFixed(1)} ms of processor time, what is live ${(1_000 * events).toFixed(1)} ms a second: ` +
    `${(100 * second / cores).toFixed(2)} % of the ${cores.toFixed(2)} processors of ${loaded.requests_per_second.toFixed(0)} requests a second`);
}

/** The processor time of an answer, in seconds. @param {string} asked @param {number} times @param {number} idle what the system takes a second anyway */
async function answer(asked, times, idle) {
  const begun = Date.now();
  const taken = await processor(async () => { for (let i = 0; i < times; i++) await (await fetch(asked)).json(); });
  return (taken - idle * (Date.now() - begun) / 1_000) / times;
}

/** What an answer takes when each minute of a day is full of windows: as those of one minute of RATE requests a second, which are kept for all of them. */
async function hours() {
  const begun = Date.now();
  await run([...load, "--rate", String(RATE), "--seconds", "130"]);
  const whole = Math.ceil(begun / 60_000);
  const folder = join(data, "windows");
  // The monitor merges a minute when it is complete.
  const merged = () => readdirSync(folder).some((series) => series.includes("+minutes+") && of(series).length > 0);
  const of = (/** @type {string} */ series) => readdirSync(join(folder, series)).flatMap((file) => entriesOf(join(folder, series, file))).filter(({ line }) => Number(line.minute) === whole);
  while (!merged()) await sleep(1_000);
  await server.stop();
  let bytes = 0;
  for (const series of readdirSync(folder)) {
    const entries = of(series);
    for (let minute = 1; entries.length > 0 && minute <= 24 * 60; minute++) {
      const at = whole - minute;
      const texts = entries.flatMap(({ line, body }) => [Buffer.from(`${JSON.stringify({ ...line, minute: digits(at) })}\n`), body]);
      appendFileSync(join(folder, series, `${digits(Math.floor(at / 60))}-${Math.floor((at % 60) / 10)}`), Buffer.concat(texts));
      bytes += texts.reduce((sum, { length }) => sum + length, 0);
    }
    if (series.endsWith("+minutes")) {
      const body = digits(whole - 24 * 60 + BATCHES);
      appendFileSync(join(folder, series, digits(0)), `${JSON.stringify({ series: series.replace("+", "/"), minute: digits(0), part: "from", bytes: body.length })}\n${body}`);
    }
  }
  server = await serve();
  const here = server.found[1];
  await sleep(10_000);
  const idle = await processor(async () => { await sleep(10_000); }) / 10;
  console.log(`a day full of windows is ${(bytes / 1e6).toFixed(0)} MB`);
  for (const [minutes, by] of [[15, 1], [60, 1], [360, 5], [1440, 15]]) {
    // Windows of batches are read of as many minutes as in a range that ends now, but of the first ones.
    const to = new Date((whole - 24 * 60 + minutes) * 60_000 - 1_000).toISOString();
    const taken = await answer(`${here}/console/api/status?minutes=${minutes}&by=${by}&to=${to}`, 3, idle);
    const every = EVERY[/** @type {keyof typeof EVERY} */ (minutes)] / 1_000;
    console.log(`a range of ${minutes} minutes: ${(1_000 * taken).toFixed(0)} ms of processor time an answer, each ${every} s: ${(100 * taken / every).toFixed(1)} % of a processor`);
  }
}

/** As the names of minutes and hours are written. @param {number} number */
function digits(number) {
  return String(number).padStart(10, "0");
}

/** The entries of a file of windows: a line of JSON and a body of as many bytes as it says, each. @param {string} path */
function entriesOf(path) {
  const entries = [];
  let rest = readFileSync(path);
  while (rest.length > 0) {
    const end = rest.indexOf("\n") + 1;
    const line = JSON.parse(rest.subarray(0, end).toString());
    const next = end + (line.bytes ?? 0);
    entries.push({ line, body: rest.subarray(end, next) });
    rest = rest.subarray(next);
  }
  return entries;
}

/** How much processor time the system takes while something is done, in seconds. @param {() => Promise<void>} does */
async function processor(does) {
  const taken = () => {
    // `1 (name) S …`: user and system time are the 12th and the 13th field after the name, in hundredths of a second.
    const fields = readFileSync(`/proc/${server.child.pid}/stat`, "utf8").split(") ")[1].split(" ").map(Number);
    return (fields[11] + fields[12]) / 100;
  };
  const before = taken();
  await does();
  return taken() - before;
}

/** A page whose hour takes a minute: its timers run so much faster, and what is live comes so much faster. */
async function hour(/** @type {string} */ view) {
  const proxy = await faster();
  const loading = execFile(PROGRAM, [...load, "--rate", String(RATE), "--seconds", String(3_600 / FASTER + 20)], { cwd: "../.." });
  const { page, context } = await open(browser);
  await page.addInitScript((times) => {
    const real = globalThis.setInterval;
    globalThis.setInterval = /** @type {any} */ ((/** @type {any} */ does, /** @type {number} */ every) => real(does, every / times));
  }, FASTER);
  await page.goto(`${proxy.url}/console${view}`);
  await drawn(page);
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable");
  const memory = async () => {
    // What has been sent is drawn, however slow the machine is.
    proxy.pause(true);
    await sleep(2_000);
    // One collection lets go of what refers to nodes, a later one of the nodes.
    for (let i = 0; i < 5; i++) {
      await session.send("HeapProfiler.collectGarbage");
      await sleep(20);
    }
    const { metrics } = await session.send("Performance.getMetrics");
    proxy.pause(false);
    const of = (/** @type {string} */ name) => metrics.find((each) => each.name === name)?.value ?? 0;
    return { heap: of("JSHeapUsedSize") / 1e6, nodes: of("Nodes"), listeners: of("JSEventListeners") };
  };
  const text = ({ heap, nodes, listeners }) => `${heap.toFixed(2)} MB of heap, ${nodes} nodes, ${listeners} listeners`;
  // What is kept, two minutes of counters and 200 decisions, is full.
  for (const minutes of [1, 5, 30, 60]) {
    while (proxy.passed() < minutes * 60) await sleep(100);
    console.log(`${view || "overview"}, after ${minutes} min: ${text(await memory())}`);
  }
  await context.close();
  proxy.close();
  loading.kill();
}

/** A server before the console, which makes what is live: RATE decisions each second, FASTER seconds each second. */
async function faster() {
  let second = 0;
  let paused = false;
  const about = await fetch(`${url}/console/api/events`).then(async ({ body }) => {
    let text = "";
    for await (const part of body ?? []) {
      text += Buffer.from(part).toString();
      const found = text.match(/event: counters\ndata: (.*)\n\n/);
      if (found) return JSON.parse(found[1]);
    }
  });
  const [sample] = (await (await fetch(`${url}/console/api/endpoints/flight-delay/decisions?limit=1`)).json()).decisions;
  const proxy = createServer((request, response) => {
    if (!request.url?.startsWith("/console/api/events")) {
      // The server refuses what comes from a page of another origin.
      const headers = { ...request.headers, host: new URL(url).host, ...(request.headers.origin ? { origin: url } : {}) };
      const to = forward(`${url}${request.url}`, { method: request.method, headers }, (from) => {
        response.writeHead(from.statusCode ?? 502, from.headers);
        from.pipe(response);
      });
      request.pipe(to);
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    const say = (/** @type {string} */ event, /** @type {any} */ value) => response.write(`event: ${event}\ndata: ${JSON.stringify(value)}\n\n`);
    say("versions", { "flight-delay": 1 });
    const timer = setInterval(() => {
      if (paused) return;
      second++;
      about.at_us += 1e6;
      about.counters.answers.champion = (about.counters.answers.champion ?? 0) + RATE;
      say("counters", about);
      if (second % 2 === 0 && request.url?.includes("decisions=")) {
        // As many as the console sends at a time.
        say("decisions", Array.from({ length: 50 }, (_, i) => ({ ...sample, request: `${second}-${i}`, arrived_us: about.at_us + i })));
      }
    }, 1_000 / FASTER);
    request.on("close", () => clearInterval(timer));
    response.on("close", () => clearInterval(timer));
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {any} */ (proxy.address());
  return { url: `http://127.0.0.1:${port}`, passed: () => second, pause: (/** @type {boolean} */ is) => { paused = is; }, close: () => { proxy.close(); proxy.closeAllConnections(); } };
}
