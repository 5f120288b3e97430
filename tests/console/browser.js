// A real browser on the console: what every test needs.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packaged from "@sparticuz/chromium";
import { chromium } from "playwright-core";

/** Starts a program and waits for a line of its output that matches. */
export async function start(program, args, pattern, options = {}) {
  const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  const found = await new Promise((resolve, reject) => {
    child.stdout.on("data", (data) => {
      text += data;
      const match = text.match(pattern);
      if (match) resolve(match);
    });
    child.on("exit", (code) => reject(new Error(`${program} has ended with ${code}:\n${text}`)));
  });
  const stop = (signal = "SIGINT") => new Promise((resolve) => {
    if (child.exitCode !== null) return resolve();
    child.on("exit", resolve);
    child.kill(signal);
  });
  return { found, stop, child };
}

/** Starts the browser of the package, which it unpacks into the folder for temporary files, or the one that CHROMIUM names. */
export async function launch() {
  configureFonts();
  const executablePath = process.env.CHROMIUM ?? (await packaged.executablePath());
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
}

/** The package's own configuration looks for its fonts in /tmp only, wherever it has unpacked them. Without a font the browser ends. */
function configureFonts() {
  const folder = join(tmpdir(), "fontconfig");
  mkdirSync(folder, { recursive: true });
  const places = `<dir>${join(tmpdir(), "fonts")}</dir><dir>/usr/share/fonts</dir><cachedir>${join(tmpdir(), "fonts-cache")}</cachedir>`;
  writeFileSync(join(folder, "fonts.conf"), `<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>${places}</fontconfig>\n`);
  process.env.FONTCONFIG_PATH = folder;
}

/** A page of which every error and every request to another host is kept. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    // A refused call is shown by the page; the browser notes it as well.
    if (message.type() === "error" && !/the server responded with a status|ERR_CONNECTION|ERR_INCOMPLETE/.test(message.text())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol !== "data:" && protocol !== "blob:" && hostname !== "127.0.0.1") wrong.push(`request to ${request.url()}`);
  });
  return { page, context, wrong };
}

/** Waits until the view is drawn. */
export async function drawn(page) {
  await page.waitForSelector('main[aria-busy="false"] h1', { timeout: 20_000 });
}

export const VIEWS = ["", "/endpoints/flight-delay", "/endpoints/flight-delay/models", "/endpoints/flight-delay/compare", "/endpoints/flight-delay/decisions", "/endpoints/flight-delay/history"];

/** Sends requests over the HTTP interface, with an outcome for each. */
export async function ask(url, count) {
  const payload = (i) => ({ carrier: ["UA", "AA", "B6"][i % 3], origin: "EWR", dest: "IAH", weekday: 1 + (i % 7), hour: 5 + (i % 17), distance: 1400, weather: null });
  const ids = [];
  for (let i = 0; i < count; i++) {
    const response = await fetch(`${url}/v1/endpoints/flight-delay/requests`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(payload(i)) });
    const { request } = await response.json();
    ids.push(request);
    await fetch(`${url}/v1/endpoints/flight-delay/requests/${request}/outcome`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ late: i % 4 === 0 }) });
  }
  return ids;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
