// Walks through the website as a visitor would: with and without JavaScript, in both languages.
// Needs a running server; `scripts/test-browser` starts one.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const base = process.env.MARKETPLACE_URL;
const shots = process.env.SCREENSHOTS;
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "marketplace-journey-"));
let faults = 0;

function check(holds, what) {
  if (holds) return;
  faults += 1;
  console.error(`FAULT: ${what}`);
}

/** Packs a plugin and returns the path of its package. */
function pack(id, version, change = {}) {
  const place = path.join(folder, `${id}-${version}-${Object.keys(change).join("-")}`);
  fs.mkdirSync(path.join(place, "scripts"), { recursive: true });
  const info = {
    id,
    name: `磁盘小助手 Disk Helper ${id}`,
    version,
    description: "查看磁盘占用，找出大文件。\n\nShows what fills the disk.",
    author: "旅人 Traveller",
    scripts: [{ name: "占用", file: "usage.sh", description: "列出占用", executable: true }],
    tags: ["磁盘", "disk"],
    changelog: `版本 ${version}`,
    ...change,
  };
  fs.writeFileSync(path.join(place, "info.json"), JSON.stringify(info, null, 2));
  fs.writeFileSync(path.join(place, "README.md"), `# Disk Helper\n\n版本 ${version}\n`);
  fs.writeFileSync(path.join(place, "scripts/usage.sh"), `#!/bin/sh\n# ${version}\ndu -h "\${1:-.}"\n`, { mode: 0o755 });
  const file = `${place}.tar.gz`;
  execFileSync("tar", ["-czf", file, "-C", place, "info.json", "README.md", "scripts"]);
  return file;
}

/** Opens a page, has axe look at it, and notes what the browser complains about. */
async function look(page, address, name) {
  if (address) await page.goto(base + address);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(wide <= 0, `${page.url()} is ${wide} pixels too wide`);
  check(await page.locator("h1").count() >= 1, `${page.url()} has no heading`);
  if (!page.hasScripts) return;
  // The policy of the pages forbids foreign scripts, and rightly so: axe comes in by the debugger.
  const session = await page.context().newCDPSession(page);
  const evaluate = (expression) => session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  await evaluate(axe);
  const { result } = await evaluate("axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target).join(' | ')}`))");
  for (const violation of result.value ?? ["axe did not run"]) check(false, `${page.url()} ${violation}`);
  await session.detach();
  if (shots && name) await page.screenshot({ path: path.join(shots, `${name}.png`) });
}

async function open(browser, { scripts, lang, width = 1440, scheme = "light" }) {
  const context = await browser.newContext({
    javaScriptEnabled: scripts,
    locale: lang === "zh" ? "zh-CN" : "en-US",
    viewport: { width, height: width < 500 ? 844 : 900 },
    colorScheme: scheme,
    permissions: scripts ? ["clipboard-read", "clipboard-write"] : [],
  });
  const page = await context.newPage();
  page.hasScripts = scripts;
  page.on("pageerror", (error) => check(false, `${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    // The pages of refusals are part of the journey.
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) check(false, `${page.url()}: ${message.text()}`);
  });
  page.on("request", (request) => check(request.url().startsWith(base) || request.url().startsWith("blob:"), `${request.url()} is on another host`));
  return page;
}

async function send(page, file) {
  await page.goto(`${base}/publish`);
  await page.setInputFiles("#plugin_file", file);
  if (!page.hasScripts) await page.click(".upload .button");
  await page.waitForSelector(".refusal, .confirm");
}

/** The whole journey of somebody who publishes, and of somebody who finds. */
async function journey(browser, scripts, lang) {
  const t = (zh, en) => (lang === "zh" ? zh : en);
  const who = `walker-${lang}-${scripts ? "js" : "plain"}`;
  const id = `disk-helper-${lang}-${scripts ? "js" : "plain"}`;
  const page = await open(browser, { scripts, lang });

  await look(page, "/");
  check((await page.locator("html").getAttribute("lang")).startsWith(lang), `the page is not in ${lang}`);

  // Signing up, first wrongly.
  await look(page, "/register");
  await page.fill("#username", who);
  await page.fill("#email", `${who}@example.org`);
  await page.fill("#password", "correct horse");
  await page.click("main .button");
  await page.waitForURL(/done=registered/);
  await look(page);

  // Publishing with an error, then rightly.
  await look(page, "/publish");
  await send(page, pack(id, "1.0", { scripts: [{ name: "x", file: "gone.sh", description: "" }] }));
  const refusal = await page.textContent(".refusal");
  check(refusal.includes("version") && refusal.includes("scripts[0].file"), `the faults are not named: ${refusal}`);
  await look(page);
  for (const version of ["1.0.0", "1.1.0"]) {
    await send(page, pack(id, version));
    await look(page, null, version === "1.0.0" && scripts ? `preview-${lang}` : null);
    await page.click(".confirm .button");
    await page.waitForURL(/done=published/);
  }
  check(await page.locator(".notice").count() === 1, "nothing says that it was published");
  await look(page);

  // Finding it in Chinese and in English, as somebody else.
  const reader = await open(browser, { scripts, lang });
  for (const words of ["磁盘小助手", "disk helper", id]) {
    await reader.goto(base);
    await reader.fill("#find", words);
    await reader.press("#find", "Enter");
    await reader.waitForURL(/\/plugins\?q=/);
    check((await reader.locator(".row-item").allTextContents()).some((text) => text.includes(id)), `${words} does not find ${id}`);
    check(await reader.locator("mark").count() > 0, `${words} is not marked`);
    await look(reader);
  }
  if (scripts) {
    await reader.goto(base);
    await reader.locator("#find").pressSequentially("磁盘", { delay: 30 });
    await reader.waitForSelector(".suggestions li");
    await reader.press("#find", "ArrowDown");
    await reader.press("#find", "Enter");
    await reader.waitForURL(/\/plugins\?q=/);
  }
  await look(reader, "/plugins?sort=rating&rating=4&tag=disk");
  await look(reader, "/plugins?q=zzzzzz");
  await look(reader, `/plugins/${id}x`);

  // Reading and comparing.
  await reader.goto(`${base}/plugins/${id}`);
  await look(reader);
  await reader.click(".tabs a >> nth=1");
  await reader.waitForURL(/\/files\/1\.1\.0/);
  await look(reader);
  check((await reader.textContent(".readme")).includes("Disk Helper"), "the README is not shown first");
  await reader.click('.tree a[href$="/scripts/usage.sh"]');
  await reader.waitForURL(/usage\.sh/);
  await look(reader);
  check((await reader.textContent(".code")).includes("du -h"), "the script is not shown");
  await look(reader, `/plugins/${id}/files/1.1.0/README.md`);
  await look(reader, `/plugins/${id}/versions`);
  await reader.goto(`${base}/plugins/${id}/compare`);
  await reader.selectOption("#from", "1.0.0");
  await reader.selectOption("#to", "1.1.0");
  await reader.click(".compare-form .button");
  await reader.waitForURL(/1\.0\.0\.\.\.1\.1\.0/);
  check((await reader.textContent(".diff-body")).includes("1.1.0"), "the difference is not shown");
  check(await reader.locator(".diff-index a").count() >= 2, "the files that differ are not listed");
  check(await reader.locator(".diff ins").count() > 0, "the words that differ are not marked");
  await look(reader);
  await reader.click(".periods a >> nth=2");
  await reader.waitForURL(/context=10000/);
  await look(reader);

  // How often it is downloaded.
  await reader.goto(`${base}/plugins/${id}/stats`);
  await reader.click(".periods a >> nth=2");
  await reader.waitForURL(/days=365/);
  await look(reader);
  await look(reader, "/api/docs");

  // Installing by the very commands that are shown.
  await reader.goto(`${base}/plugins/${id}`);
  const commands = await reader.textContent("#curl code");
  const target = fs.mkdtempSync(path.join(folder, "install-"));
  execFileSync("bash", ["-euc", commands.replace("curl -fL", "curl -sSfL")], { cwd: target });
  check(fs.existsSync(path.join(target, id, "scripts/usage.sh")), "the shown commands install nothing");
  const wrong = fs.mkdtempSync(path.join(folder, "wrong-"));
  let stopped = false;
  try { execFileSync("bash", ["-c", commands.replace(/"[0-9a-f]{64}/, `"${"0".repeat(64)}`)], { cwd: wrong, stdio: "ignore" }); } catch { stopped = true; }
  check(stopped && !fs.existsSync(path.join(wrong, id)), "a wrong checksum stops nothing");
  if (scripts) {
    await reader.click("#install ~ .copy .copy-button >> nth=0");
    check(await reader.evaluate(() => navigator.clipboard.readText()) === id, "the id was not copied");
  }

  // Reviewing.
  await reader.goto(`${base}/register?next=/plugins/${id}/reviews`);
  await reader.fill("#username", `${who}-r`);
  await reader.fill("#email", `${who}-r@example.org`);
  await reader.fill("#password", "correct horse");
  await reader.click("main .button");
  await reader.waitForURL(/\/reviews/);
  await reader.click("label[for=r4]");
  await reader.fill("#review", t("很好用 <b>真的</b>", "Good <b>indeed</b>"));
  await reader.click(".stack .button");
  await reader.waitForURL(/done=reviewed/);
  check((await reader.textContent(".review-text")).includes("<b>"), "the review is not shown as it was written");
  await look(reader);

  // Looking after it.
  for (const address of ["/account", "/account/plugins", "/account/tokens", `/plugins/${id}/manage`, `/plugins/${id}/stats`]) await look(page, address);
  // Signed in somewhere else, and signed out there from here.
  const elsewhere = await open(browser, { scripts, lang });
  await elsewhere.goto(`${base}/login`);
  await elsewhere.fill("#username", who);
  await elsewhere.fill("#password", "correct horse");
  await elsewhere.click("main .button");
  await elsewhere.waitForURL(`${base}/`);
  await page.goto(`${base}/account`);
  check((await page.textContent("#sessions ~ .entries")).includes("Linux"), "a session does not say what it was begun on");
  await page.click("#sessions ~ form .button");
  await page.waitForURL(/done=ended/);
  await elsewhere.goto(`${base}/account`);
  check(elsewhere.url().includes("/login"), "signing out everywhere else left a session");
  await elsewhere.context().close();
  await page.goto(`${base}/account/tokens`);
  await page.fill("#name", "ci");
  await page.click(".side-box .button");
  check((await page.textContent(".made code")).startsWith("gtm_"), "the token is not shown");
  await page.goto(`${base}/plugins/${id}/manage`);
  await page.fill("#reason-2", t("有错误", "it is wrong"));
  await page.click(".entries li:nth-child(2) .button");
  await page.waitForURL(/done=yanked/);

  // Replying to the review, voting for it, reporting it; the page of a person; inviting somebody, who accepts.
  await page.goto(`${base}/plugins/${id}/reviews`);
  await page.click(".reply-form summary");
  await page.fill(".reply-form textarea", t("谢谢", "Thank you"));
  await page.click(".reply-form .button");
  await page.waitForURL(/done=replied/);
  await look(page);
  await page.click(".review-actions .button");
  await page.waitForURL(/done=saved/);
  await look(page, `/plugins/${id}/report`);
  await page.selectOption("#reason", "spam");
  await page.click(".stack .button");
  await page.waitForURL(/done=reported/);
  await look(page, `/@${who}`);
  check((await page.textContent("main")).includes("磁盘小助手"), "the page of a person does not show their plugins");
  await page.goto(`${base}/plugins/${id}/manage`);
  await page.fill("#new-owner", `${who}-r`);
  await page.click("#new-owner + .button");
  await page.waitForURL(/done=invited/);
  await look(page);
  await look(reader, "/account/plugins");
  await reader.click("#invitations ~ .entries .button >> nth=0");
  await reader.waitForURL(/done=accepted/);
  await look(reader, `/plugins/${id}`);
  check((await reader.textContent(".plugin-id")).includes(`@${who}`), "the page does not say who published");
  // What cannot be undone is asked for.
  await page.goto(`${base}/account/tokens`);
  await page.click(".entries .button.danger");
  await look(page);
  await page.click("main .button");
  await page.waitForURL(/done=revoked/);
  await look(page, `/plugins/${id}/versions`);
  await page.goto(`${base}/account`);
  if (scripts) await page.keyboard.press("/");
  await page.click(".menu > summary");
  await page.click(".menu .plain");
  await page.waitForURL(`${base}/`);
  for (const address of ["/login", "/guide", "/tags", "/plugins"]) await look(page, address);
  await page.context().close();
  await reader.context().close();
  console.log(`the journey with${scripts ? "" : "out"} JavaScript in ${lang} is done`);
}

/** Every page of an administrator, and the main pages on a phone and in the dark. */
async function rounds(browser) {
  const boss = await open(browser, { scripts: true, lang: "zh" });
  await boss.goto(`${base}/login`);
  await boss.fill("#username", process.env.ADMIN);
  await boss.fill("#password", process.env.ADMIN_PASSWORD);
  await boss.click("main .button");
  await boss.waitForURL(`${base}/`);
  for (const address of ["/admin", "/admin/users", "/admin/plugins", "/admin/reviews", "/admin/reports", "/admin/audit", "/admin?days=365"]) await look(boss, address);
  const names = { "/": "home", "/plugins": "plugins", "/plugins?q=disk": "search", "/plugins/git-helper": "plugin", "/plugins/git-helper/files": "files", "/plugins/disk-helper-zh-js/compare/1.0.0...1.1.0": "compare", "/plugins/disk-helper-en-js/reviews": "reviews", "/plugins/git-helper/stats": "stats", "/api/docs": "api-docs", "/guide": "guide", "/login": "login", "/tags/disk": "tag" };
  for (const width of [390, 1440]) {
    for (const scheme of ["light", "dark"]) {
      for (const [address, name] of Object.entries(names)) {
        const page = await open(browser, { scripts: true, lang: name === "files" ? "en" : "zh", width, scheme });
        await look(page, address, `${name}-${width}-${scheme}`);
        await page.context().close();
      }
    }
  }
  await boss.context().close();
}

/** What a first visit loads, and how soon most of it is seen. Only the bytes are judged: times depend on the machine. */
async function measure(browser, address, most) {
  const page = await open(browser, { scripts: true, lang: "en" });
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  session.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
  await page.goto(base + address, { waitUntil: "networkidle" });
  const painted = await page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime)).observe({ type: "largest-contentful-paint", buffered: true });
  }));
  console.log(`${address}: ${bytes} bytes, largest paint after ${Math.round(painted)} ms`);
  check(bytes < most, `${address} loads ${bytes} bytes`);
  await page.context().close();
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  for (const scripts of [true, false]) for (const lang of ["zh", "en"]) await journey(browser, scripts, lang);
  await rounds(browser);
  // A fresh browser has no cache and no connection.
  for (const [address, most] of [["/", 25_000], ["/plugins/git-helper", 40_000], ["/plugins", 40_000], ["/api/docs", 60_000]]) await measure(browser, address, most);
} finally {
  await browser.close();
  fs.rmSync(folder, { recursive: true, force: true });
}
if (faults > 0) {
  console.error(`${faults} faults`);
  process.exit(1);
}
console.log("no faults");
