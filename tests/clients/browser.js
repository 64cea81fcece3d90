"use strict";
// Debian's Chromium, driven by playwright-core, for the tests that look at pages.

const path = require("node:path");

let started = null;

// One browser for all; a window (a context) of its own for each test. `problems` are the errors that
// the page had.
async function open(w, options = {}) {
	const { chromium } = require("playwright-core");
	started ??= chromium.launch({
		executablePath: process.env.CMDB_CHROMIUM || "/usr/bin/chromium",
		args: ["--no-sandbox", "--disable-dev-shm-usage"],
	});
	const browser = await started;
	const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
	w.closing.unshift(context);
	const page = await context.newPage();
	page.problems = [];
	page.on("pageerror", e => page.problems.push(e.message));
	page.on("console", m => m.type() === "error" && page.problems.push(m.text()));
	page.setDefaultTimeout(15000);
	return page;
}

// The page of websites, signed in: as the viewer of the demo data, or as whoever is given.
async function signedIn(w, options, who) {
	const { username, password } = who || { username: process.env.CMDB_VIEWER_USER,
		password: process.env.CMDB_VIEWER_PASSWORD };
	const page = await open(w, options);
	await page.goto(`${process.env.CMDB_URL}/websites.html`);
	await page.fill("#username", username);
	await page.fill("#password", password);
	await page.click("#login button");
	await page.waitForSelector("#rows tr");
	return page;
}

// Screenshots go to CMDB_SHOTS.
const shoot = (page, name) =>
	page.screenshot({ path: path.join(process.env.CMDB_SHOTS, `${name}.png`) });

module.exports = { open, shoot, signedIn };
