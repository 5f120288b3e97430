// The console in a real browser, on a local system.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { VIEWS, ask, drawn, launch, open, sleep, start } from "./browser.js";

const FAST = process.env.FAST === "1";
const BUILD = process.env.BUILD ?? "../../target/debug";
const SHOTS = process.env.SHOTS ?? "../../target/console";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server, browser, url, home, data, ids;
const args = (port) => ["serve", "--port", port, "--data", data];

before(async () => {
  data = mkdtempSync(join(tmpdir(), "console-"));
  server = await start(`${BUILD}/rendezvous-local`, args("0"), /^(http:\/\/\S+)[\s\S]*console (http:\/\/\S+#token=\w+)/m);
  [, url, home] = server.found;
  ids = await ask(url, FAST ? 60 : 400);
  browser = await launch();
  // What was asked is in the windows and in the archive.
  for (let i = 0; i < 40; i++) {
    const { decisions } = await (await fetch(`${url}/console/api/endpoints/flight-delay/decisions`)).json();
    const status = await (await fetch(`${url}/console/api/status`)).json();
    if (decisions.length && status.endpoints[0].arms[0].requests >= ids.length) break;
    await sleep(250);
  }
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("each view is drawn, without an error and without another host", async () => {
  const { page, context, wrong } = await open(browser);
  await page.goto(home);
  await drawn(page);
  assert.equal(new URL(page.url()).hash, "", "the token is not left in the address bar");
  for (const view of VIEWS) {
    await page.goto(`${url}/console${view}`);
    await drawn(page);
    await page.waitForSelector("main .panel");
  }
  assert.deepEqual(wrong, []);
  await context.close();
});

test("figures are those of rendezvousctl for the same range", async () => {
  const { page, context } = await open(browser);
  await page.goto(home);
  await drawn(page);
  const answered = page.waitForResponse((response) => response.url().includes("/api/status?")).then((response) => response.json());
  const status = await answered;
  const told = JSON.parse(execFileSync(`${BUILD}/rendezvousctl`, ["status", "--json", "--data", data, "--to", new Date(status.to_us / 1000).toISOString(), "--by", "1"]));
  const arm = (of) => of.endpoints[0].arms[0];
  assert.deepEqual(arm(status).kinds, arm(told).kinds);
  assert.deepEqual(arm(status).elapsed_ms, arm(told).elapsed_ms);
  await drawn(page);
  const shown = await page.textContent(".figures div:last-child dd");
  assert.equal(Number(shown.replaceAll(",", "")), arm(told).requests);
  await context.close();
});

test("a decision is opened from the list and explained; its payload is masked until it is asked for", async () => {
  const { page, context, wrong } = await open(browser);
  await page.goto(home);
  await drawn(page);
  await page.click("nav >> text=Decisions");
  await page.click("#decisions tbody tr:first-child a");
  await page.waitForSelector(".steps .decided");
  assert.match(await page.textContent("main"), /the schedule decides alike/);
  assert.match(await page.textContent("pre"), /<text of/);
  await page.click("#unmask");
  await page.waitForFunction(() => document.querySelector("pre")?.textContent?.includes("EWR"));
  assert.deepEqual(wrong, []);
  await context.close();
});

test("without the token nothing is published", async () => {
  const { page, context } = await open(browser);
  await page.goto(`${url}/console/endpoints/flight-delay`);
  await drawn(page);
  await page.click("#do-promote");
  await page.waitForSelector("#preview .changes");
  assert.equal(await page.isDisabled("#publish"), true);
  assert.match(await page.textContent("dialog"), /has the token/);
  await context.close();
});

test("no serious violation of accessibility in any view", { skip: FAST }, async () => {
  for (const colorScheme of ["light", "dark"]) {
    const { page, context } = await open(browser, { colorScheme });
    await page.goto(home);
    await drawn(page);
    for (const view of [...VIEWS, `/endpoints/flight-delay/decisions/${ids.at(-1)}`]) {
      await page.goto(`${url}/console${view}`);
      await drawn(page);
      await page.waitForSelector("main .panel");
      await page.evaluate(() => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
      // In the page's own world, past its policy.
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
      const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => `${colorScheme} ${view || "/"} ${id}: ${nodes[0].html.slice(0, 160)}`), []);
    }
    await context.close();
  }
});

test("every view at three widths", { skip: FAST }, async () => {
  mkdirSync(SHOTS, { recursive: true });
  for (const [width, colorScheme] of [[400, "light"], [1280, "light"], [1280, "dark"], [2560, "light"]]) {
    const { page, context } = await open(browser, { viewport: { width, height: 1000 }, colorScheme });
    await page.goto(home);
    await drawn(page);
    for (const view of [...VIEWS, `/endpoints/flight-delay/decisions/${ids.at(-1)}`]) {
      await page.goto(`${url}/console${view}`);
      await drawn(page);
      await page.waitForSelector("main .panel");
      await sleep(1_500);
      const name = view.includes(ids.at(-1)) ? "decision" : view.split("/").slice(1).join("-") || "overview";
      await page.screenshot({ path: `${SHOTS}/${name}-${width}-${colorScheme}.png`, fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${view} at ${width}: ${overflow} px too wide`);
    }
    await context.close();
  }
});

test("what is done: a form with its what-if, a promotion, a conflict, a roll back, a retirement, a ramp", { skip: FAST }, async () => {
  const { page, context, wrong } = await open(browser);
  await page.goto(home);
  await drawn(page);
  const version = async () => (await (await fetch(`${url}/console/api/endpoints/flight-delay`)).json()).config;
  const first = await version();
  await page.click("nav >> text=Schedule");
  await page.click("#do-edit");
  await page.fill("#deadline", "180");
  await page.waitForSelector("#whatif");
  await page.click("#apply");
  await page.fill("#message", "sooner");
  await page.click("#publish:enabled");
  await page.waitForSelector("text=is current");
  await page.click("#done");
  assert.equal(await version(), first + 1);

  // Somebody else is first.
  await page.click("#do-promote");
  await page.waitForSelector("#publish:enabled");
  execFileSync(`${BUILD}/rendezvousctl`, ["rollback", "flight-delay", "--data", data, "--yes", "--author", "bob", "-m", "not so soon"]);
  await page.fill("#message", "better");
  await page.click("#publish");
  await page.waitForSelector("dialog .error");
  assert.match(await page.textContent("dialog"), /published meanwhile by bob.*not so soon/s);
  await page.click("#publish:enabled");
  await page.waitForSelector("text=is current");
  await page.click("#done");
  assert.equal(await version(), first + 3);

  await page.click("nav >> text=History");
  await page.click(`#back-${first}`);
  await page.click("#publish:enabled");
  await page.waitForSelector("text=is current");
  await page.click("#done");
  await page.click("nav >> text=Models");
  await page.click('[id="retire-mlp@1"]');
  await page.fill("#message", "not needed");
  await page.click("#publish:enabled");
  await page.waitForSelector("text=is current");
  await page.click("#done");
  await page.click("nav >> text=Compare");
  await page.waitForSelector("#difference, .empty");
  await page.click("#ramp-first");
  assert.match(await page.inputValue("#message"), /Brier/);
  await page.click("#publish:enabled");
  await page.waitForSelector("text=is current");
  await page.click("#done");
  assert.equal(await version(), first + 6);
  const { configuration } = await (await fetch(`${url}/console/api/endpoints/flight-delay`)).json();
  assert.equal(configuration.arms[0].steps.length, 3);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a baseline of past days is set, from an archive of the year of flights", { skip: FAST }, async () => {
  const year = mkdtempSync(join(tmpdir(), "year-"));
  const demo = await start(`${BUILD}/rendezvous-local`, ["demo", "--year", "--data", year], /2013-01/);
  await demo.stop("SIGKILL");
  const { found, stop } = await start(`${BUILD}/rendezvousctl`, ["console", "--data", year, "--port", "0"], /^(http:\/\/[^/]+)\S*#token=\w+/m);
  const { page, context, wrong } = await open(browser);
  await page.goto(found[0]);
  await drawn(page);
  await page.goto(`${found[1]}/console/endpoints/flight-delay/models`);
  await page.click("#do-baseline");
  await page.waitForSelector("#preview .error");
  assert.match(await page.textContent("#preview"), /has no score of requests/);
  await page.fill("#baseline-from", "2013-01-02");
  await page.fill("#baseline-to", "2013-01-09");
  await page.waitForSelector("#baseline-models");
  assert.match(await page.textContent("#preview"), /the baseline becomes 2013-01-02_2013-01-09/);
  await page.fill("#message", "an ordinary week");
  await page.click("#publish:enabled");
  await page.waitForSelector("text=is current");
  await page.click("#done");
  await page.waitForSelector("text=Drift is measured against 2013-01-02_2013-01-09");
  const shown = JSON.parse(execFileSync(`${BUILD}/rendezvousctl`, ["baseline", "show", "flight-delay", "--json", "--data", year]));
  assert.equal(shown.baseline, "2013-01-02_2013-01-09");
  assert.deepEqual(wrong, []);
  await context.close();
  await stop();
});

test("it is used by the keyboard alone", { skip: FAST }, async () => {
  const { page, context } = await open(browser);
  await page.goto(home);
  await drawn(page);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to content");
  await page.focus("nav a:last-child");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".version");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main", "the focus is on the view");
  await page.focus("details summary");
  await page.keyboard.press("Enter");
  await page.waitForSelector("details[open] table");
  await context.close();
});

test("memory does not grow with what is live, and a server that starts anew is found again", { skip: FAST }, async () => {
  const { page, context } = await open(browser);
  await page.goto(home);
  await drawn(page);
  // An hour of counters, and a thousand decisions each second of a minute.
  const kept = await page.evaluate(async () => {
    const { count, decide, state } = await import("/console/state.js");
    for (let i = 0; i < 3_600; i++) count({ at_us: i * 1e6, counters: { answers: { champion: i * 1000 }, late: 0 } });
    for (let i = 0; i < 1_200; i++) decide(Array.from({ length: 50 }, (_, j) => ({ request: `${i}-${j}`, arrived_us: i })));
    return [state.seconds.length, state.decisions.length];
  });
  assert.deepEqual(kept, [120, 200]);
  const port = new URL(url).port;
  await server.stop();
  await page.waitForSelector(".link.lost", { timeout: 15_000 });
  server = await start(`${BUILD}/rendezvous-local`, args(port), /console (http:\/\/\S+#token=\w+)/);
  await page.waitForSelector(".link.live", { timeout: 20_000 });
  await context.close();
});
