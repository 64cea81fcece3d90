"use strict";
// In Chromium: the stock client in a page, and our own page of websites.

const { assert, cases, sql, suite, until, CLIENTS, NEWEST } = require("./support");
const { open, shoot, signedIn } = require("./browser");

const URL_ = process.env.CMDB_URL;

// ---- the stock client in a page of this server ----

async function connectIn(page, client, token, url) {
	await page.evaluate(([token, url, options]) => new Promise((done, fail) => {
		const socket = window.socket = io(url,
			{ auth: { token }, withCredentials: true, reconnectionDelay: 50, ...options });
		window.got = [];
		socket.onAny((name, ...args) => window.got.push([name, ...args]));
		socket.on("connect_error", e => fail(new Error(e.message)));
		socket.on("connect", () => done());
	}), [token, url, CLIENTS[client].options]);
}

// A page of this web server under another name, and so of another origin, with the client in it.
async function stranger(w, host) {
	const page = await open(w);
	await page.goto(`http://${host}:${new URL(URL_).port}/`);
	await page.addScriptTag({ url: "js/socket.io.min.js" });
	return page;
}

const got = (page, name) =>
	page.evaluate(name => window.got.filter(e => e[0] === name).map(e => e[1]), name);

const stock = {
	"a browser's client gets the list and each change": async w => {
		const page = await open(w);
		await page.goto(`${URL_}/websites.html`);
		await connectIn(page, w.client, w.token, "/");
		await page.evaluate(() => { window.socket.emit("request:websites"); });
		await until(async () => (await got(page, "websites:initial")).length, "the list");
		const row = await w.create();
		await until(async () => (await got(page, "websites:update")).length, "the change");
		assert.deepEqual((await got(page, "websites:update"))[0].data, row);
		assert.equal(await page.evaluate(() => window.socket.io.engine.transport.name), "polling");
	},

	"binary and acks work in a browser": async w => {
		const page = await open(w);
		await page.goto(`${URL_}/websites.html`);
		await connectIn(page, w.client, w.token, "/");
		const answer = await page.evaluate(() => new Promise(done =>
			window.socket.emit("no:such", new Uint8Array([1, 2]).buffer, new Blob(["x"]), done)));
		assert.equal(answer.error.code, "unknown_event");
	},

	"a browser's client recovers what it missed": async w => {
		const page = await open(w);
		await page.goto(`${URL_}/websites.html`);
		await connectIn(page, w.client, w.token, "/");
		await page.evaluate(() => { window.socket.io.engine.close(); });
		const row = await w.create();
		await page.waitForFunction(() => window.socket.recovered);
		await until(async () => (await got(page, "websites:update")).length, "the change");
		assert.deepEqual((await got(page, "websites:update"))[0].data, row);
	},

	"a page of another origin may come in if it is configured": async w => {
		const page = await stranger(w, "localhost");
		await connectIn(page, w.client, w.token, URL_);
		await until(async () => (await got(page, "connected")).length, "connected");
		assert.deepEqual(page.problems, []);
	},

	"a page of any other origin may not": async w => {
		const page = await stranger(w, "evil.localhost");
		await assert.rejects(connectIn(page, w.client, w.token, URL_), /xhr poll error/);
	},
};

// ---- our page ----

const cell = (id, name) => `#rows tr[data-id="${id}"] [data-name="${name}"]`;

// Among the latest changes is one like this. (Other tests change things as well.)
const noted = (page, text) =>
	page.locator("#changes li").filter({ hasText: text }).first().waitFor();

// A website of the demo data is changed by somebody who only knows SQL.
async function changeBySql(id, change) {
	const key = { headers: { "X-API-Key": process.env.CMDB_API_KEY } };
	const row = (await (await fetch(`${URL_}/api/v1/websites/${id}`, key)).json()).data;
	const next = { ...row, ...change, version: row.version + 1, updated_at: new Date().toISOString() };
	const set = Object.keys(change).map(k => `${k} = '${change[k]}'`).join(", ");
	await sql(`START TRANSACTION;
		UPDATE websites SET ${set}, version = version + 1, updated_at = NOW(3) WHERE id = ${id};
		INSERT INTO ws_events (topic, event_type, payload, tenant_id)
			SELECT 'websites', 'update', '${JSON.stringify(next)}', tenant_id
			FROM websites WHERE id = ${id};
		COMMIT`);
	return next;
}

const page = {
	"the page asks who one is, and says what was wrong": async w => {
		const page = await open(w);
		await page.goto(`${URL_}/websites.html`);
		await shoot(page, "websites-login");
		await page.fill("#username", process.env.CMDB_VIEWER_USER);
		await page.fill("#password", "not this");
		await page.press("#password", "Enter");
		await page.waitForSelector("#login-error:not([hidden])");
		assert.match(await page.textContent("#login-error"), /password is wrong/);
		assert.equal(await page.evaluate(() => document.activeElement.id), "password");
	},

	"a change made by SQL shows at once": async w => {
		const page = await signedIn(w);
		assert.equal(await page.textContent("#state"), "Live");
		await shoot(page, "websites");
		const status = await page.textContent(cell(3, "Status")) === "active" ?
			"inactive" : "active";
		const next = await changeBySql(3, { status });
		await page.waitForFunction(([selector, status]) =>
			document.querySelector(selector).textContent === status, [cell(3, "Status"), status]);
		assert.ok(await page.isVisible(`${cell(3, "Status")}.changed`));
		assert.equal(await page.textContent(cell(3, "Version")), String(next.version));
		await noted(page, /api\.northwind\.example.*updated.*status/);
		await shoot(page, "websites-changed");
		await page.emulateMedia({ colorScheme: "dark" });
		await shoot(page, "websites-dark");
		await page.emulateMedia({ colorScheme: "light" });
		await page.setViewportSize({ width: 390, height: 844 });
		await shoot(page, "websites-phone");
		// Nothing is wider than the phone.
		assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
		assert.deepEqual(page.problems, []);
	},

	"rows come and go": async w => {
		const page = await signedIn(w);
		const total = Number(await page.textContent("#count"));
		const row = { id: 900000001, domains: ["new.example"], line_group_name: null,
			origin_mode: "redirect", redirect_url: "https://example.org/", redirect_status_code: 301,
			status: "active", https_enabled: true, version: 1, updated_at: new Date().toISOString() };
		const tell = (type, data) => sql(`INSERT INTO ws_events (topic, event_type, payload)
			VALUES ('websites', '${type}', '${JSON.stringify(data)}')`);
		await tell("add", row);
		await page.waitForSelector(`#rows tr[data-id="${row.id}"]`);
		assert.equal(Number(await page.textContent("#count")), total + 1);
		await page.fill("#filter", "new.example");
		await until(async () => await page.locator("#rows tr").count() === 1, "the filter");
		await tell("delete", { id: row.id });
		await page.waitForSelector("#empty:not([hidden])");
		await noted(page, /new\.example.*deleted/);
		await page.fill("#filter", "");
		assert.equal(Number(await page.textContent("#count")), total);
	},

	"it comes back after the network was away": async w => {
		const page = await signedIn(w);
		await page.context().setOffline(true);
		await page.waitForSelector("#state[data-state=wait]");
		await shoot(page, "websites-offline");
		const next = await changeBySql(5, { https_enabled: 0 });
		await page.context().setOffline(false);
		await page.waitForSelector("#state[data-state=live]");
		await page.waitForFunction(([selector, version]) =>
			document.querySelector(selector).textContent === version,
		[cell(5, "Version"), String(next.version)]);
		assert.match(await page.textContent("#detail"), /recovered/);
	},

	"a reload stays signed in, signing out does not": async w => {
		const page = await signedIn(w);
		await page.reload();
		await page.waitForSelector("#rows tr");
		await page.click("#logout");
		await page.waitForSelector("#login:not([hidden])");
		await page.reload();
		await page.waitForSelector("#login:not([hidden])");
	},

	"a token that is revoked leads back to the login": async w => {
		const page = await open(w);
		await page.goto(`${URL_}/websites.html`);
		await page.evaluate(session => sessionStorage.setItem("cmdb.session", session),
			JSON.stringify({ token: w.token, username: w.user.username }));
		await page.reload();
		await page.waitForSelector("#empty:not([hidden])");
		await w.rest("POST", "/api/v1/auth/logout", {});
		await page.waitForSelector("#login:not([hidden])");
		assert.ok(await page.isVisible("#login-error"));
	},

	"it can be used by keyboard, and says what it is": async w => {
		const page = await signedIn(w);
		await page.reload();
		await page.waitForSelector("#rows tr");
		await page.keyboard.press("Tab");
		assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
		assert.equal(await page.getByRole("table", { name: "Websites" }).count(), 1);
		assert.equal(await page.getByRole("searchbox", { name: "Filter" }).count(), 1);
		assert.equal(await page.getByRole("columnheader").count(), 7);
		assert.ok(await page.getByRole("status").isVisible());
		assert.equal(await page.getByRole("log").count(), 1);
	},
};

const adminUi = {
	"the admin UI opens by itself, and asks no other server": async w => {
		const page = await open(w);
		const foreign = [];
		page.on("request", r => r.url().startsWith(`${URL_}/`) || r.url().startsWith("data:") ||
			foreign.push(r.url()));
		await page.goto(`${URL_}/admin`);
		await page.waitForSelector(".v-dialog form input");
		assert.equal(await page.inputValue(".v-dialog form input >> nth=0"), URL_);
		assert.ok(await page.evaluate(() =>
			document.fonts.load("16px 'Material Design Icons'").then(list => list.length)));
		await shoot(page, "admin-login");
		assert.deepEqual(foreign, []);
		assert.deepEqual(page.problems, []);
	},
};

suite([
	...cases({ clients: NEWEST, tests: stock }),
	...cases({ clients: ["newest, polling"], tests: { ...page, ...adminUi } }),
], 3);
