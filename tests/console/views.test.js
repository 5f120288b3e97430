// Every view of the console at the address CONSOLE, with its token: that of a stack, for example.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { VIEWS, drawn, launch, open } from "./browser.js";

const SHOTS = process.env.SHOTS ?? "../../target/console";
const { CONSOLE } = process.env;

test("each view is drawn, with its figures, and what is live is heard of", async () => {
  const browser = await launch();
  try {
    const { page, wrong } = await open(browser);
    await page.goto(CONSOLE);
    await drawn(page);
    await page.waitForSelector(".link.live", { timeout: 20_000 });
    mkdirSync(SHOTS, { recursive: true });
    for (const view of VIEWS) {
      await page.goto(`${new URL(CONSOLE).origin}/console${view}`);
      await drawn(page);
      await page.waitForSelector("main .panel table, main .panel svg, main .panel .version", { timeout: 60_000 });
      assert.equal(await page.locator("main .error").count(), 0, `${view}: ${await page.textContent("main")}`);
      await page.screenshot({ path: `${SHOTS}/stack-${view.split("/").slice(1).join("-") || "overview"}.png`, fullPage: true });
    }
    assert.deepEqual(wrong, []);
  } finally {
    await browser.close();
  }
});
