// Makes the two screenshots of the README from `rendezvous-local demo --console`, a story of three minutes:
//
//     cd tests/console && npm ci && node screenshots.js ../../target/release/rendezvous-local

import { resolve } from "node:path";
import { drawn, launch, open, sleep, start } from "./browser.js";

const [program = "../../target/release/rendezvous-local", rate = "200"] = process.argv.slice(2);
const STORY = 180;
const FOLDER = "../../.github";

const demo = await start(resolve(program), ["demo", "--console", "--rate", rate, "--count", String(Number(rate) * STORY)], /Open the console: (http:\/\/\S+)/, { cwd: "../.." });
const [, url] = demo.found;
const browser = await launch();
try {
  const { page } = await open(browser, { viewport: { width: 1280, height: 1000 }, deviceScaleFactor: 1 });
  await page.goto(url);
  await drawn(page);
  await page.selectOption("#range", "5");
  // When the better model is promoted.
  await sleep(STORY * 0.6 * 1_000);
  const second = (await open(browser, { viewport: { width: 1280, height: 1000 } })).page;
  await second.goto(`${new URL(url).origin}/console/endpoints/flight-delay/compare?first=gbt@1&second=logistic@1`);
  await second.waitForSelector("#difference", { timeout: 60_000 });
  await second.screenshot({ path: `${FOLDER}/console-compare.png`, clip: { x: 0, y: 0, width: 1280, height: 900 } });
  await second.close();
  // After the bad model has gone back.
  await sleep(STORY * 0.36 * 1_000);
  await page.screenshot({ path: `${FOLDER}/console-overview.png`, clip: { x: 0, y: 0, width: 1280, height: 1000 } });
} finally {
  await browser.close();
  await demo.stop();
}
