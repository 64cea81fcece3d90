"use strict";
// The Socket.IO Admin UI as it is, in Chromium, against this server.

const { assert, cases, suite, until, withPassword } = require("./support");
const { open, shoot } = require("./browser");

const URL_ = process.env.CMDB_URL;

async function fillLogin(page, { username, password }) {
	await page.goto(`${URL_}/admin/`);
	const dialog = page.locator(".v-dialog form");
	await dialog.locator("input").nth(1).fill(username);
	await dialog.locator("input").nth(2).fill(password);
	await dialog.locator("button[type=submit]").click();
}

async function logIn(page, auth) {
	await fillLogin(page, auth);
	await page.waitForSelector(".v-dialog form", { state: "hidden" });
	await page.waitForSelector("header:has-text('Connected')");
}

// Goes to a view, and waits for the one of before to have slid away.
async function menu(page, title) {
	await page.locator(".v-navigation-drawer .v-list-item", { hasText: title }).click();
	await page.waitForFunction(title => {
		const views = [...document.querySelectorAll(".v-breadcrumbs")];
		return views.length === 1 && views[0].textContent.trim() === title;
	}, title);
}

// Once nothing moves any more.
async function shootSettled(page, name) {
	await page.mouse.move(700, 20);
	await page.waitForFunction(() => document.getAnimations().every(a => a.playState !== "running"));
	await shoot(page, name);
}

const row = (page, text) => page.locator(".v-data-table tbody tr", { hasText: text });

const tests = {
	"a login, and everything there is to see": async w => {
		const user = await withPassword(w, "admin");
		const page = await open(w);
		const a = await w.watch();
		const b = await w.connect();
		await logIn(page, user.auth);

		// The dashboard: this server, three clients, all of them polling.
		await page.waitForSelector("h2:text-is('3')");
		await page.waitForSelector("tr:has-text('/admin')");
		await w.publish(20);
		await a.wait("websites:update", 20);

		await menu(page, "Sockets");
		await row(page, a.socket.id).waitFor();
		await row(page, b.socket.id).waitFor();
		assert.match(await row(page, a.socket.id).textContent(), /127\.0\.0\.1.*HTTP long-polling/s);
		await shootSettled(page, "admin-sockets");

		await row(page, a.socket.id).click();
		await page.waitForSelector(`pre:has-text('${w.user.username}')`);
		await page.waitForSelector("td:has-text('node-XMLHttpRequest')");
		await row(page, `user:${w.user.id}`).waitFor();
		// Into a room, by the form on the socket's page; an event to the room then reaches it.
		const box = page.locator(".select-room input[type=text]");
		await box.fill("den");
		await box.press("Tab");
		await page.locator("form button[type=submit]:has(.mdi-tag-plus-outline)").click();
		await row(page, "den").waitFor();
		await w.toRoom("den", { n: 1 });
		assert.equal((await a.one("notes:update")).data.n, 1);
		await shootSettled(page, "admin-socket");

		await menu(page, "Rooms");
		await row(page, "den").waitFor();
		await row(page, "role:admin").waitFor();
		await shootSettled(page, "admin-rooms");
		await row(page, "role:admin").click();
		await page.waitForSelector("tr:has-text('Public')");
		await row(page, b.socket.id).waitFor();
		await shootSettled(page, "admin-room");

		await menu(page, "Clients");
		await page.waitForFunction(() =>
			document.querySelectorAll(".v-data-table tbody tr").length === 3);
		await shootSettled(page, "admin-clients");

		await menu(page, "Events");
		await row(page, "websites:update").first().waitFor();
		await row(page, "Room: den").waitFor();
		b.socket.emit("no:such", { a: [1, "\u00e4"] });
		await row(page, "no:such").waitFor();
		await row(page, "no:such").locator("button").click();
		await page.waitForSelector("pre:has-text('\u00e4')");
		await shootSettled(page, "admin-events");

		await menu(page, "Servers");
		await page.waitForSelector("td:has-text('Healthy')");
		await shootSettled(page, "admin-servers");
		await menu(page, "Dashboard");
		await shootSettled(page, "admin-dashboard");
		assert.deepEqual(page.problems, []);
	},

	"the buttons do what they say": async w => {
		const user = await withPassword(w, "admin");
		const page = await open(w);
		const [a, b, c] = [await w.connect(), await w.connect(), await w.connect()];
		const ids = [a, b, c].map(r => r.socket.id);
		await logIn(page, user.auth);

		// A socket, from the list.
		await menu(page, "Sockets");
		await row(page, ids[0]).locator("button").click();
		assert.equal(await a.disconnected(), "io server disconnect");
		// The click went to the row, too, which opened the socket's page.
		await menu(page, "Sockets");
		await row(page, ids[1]).waitFor();
		await row(page, ids[0]).waitFor({ state: "detached" });

		// A client, from its socket's page, which then says so.
		await row(page, ids[1]).click();
		await page.locator("tr:has-text('Connected') button").first().click();
		await b.disconnected();
		await page.waitForSelector("td:has-text('Disconnected')");
		await shootSettled(page, "admin-disconnected");

		// All of a room.
		await menu(page, "Rooms");
		await row(page, `user:${w.user.id}`).locator("button:has(.mdi-logout)").click();
		await c.disconnected();
		// Which is gone then.
		await menu(page, "Rooms");
		await row(page, `user:${w.user.id}`).waitFor({ state: "detached" });
		assert.equal((await w.audits("socketio.disconnect")).length, 3);
		assert.deepEqual(page.problems, []);
	},

	"a reload needs no password, until the session is revoked": async w => {
		const user = await withPassword(w, "admin");
		const page = await open(w);
		await logIn(page, user.auth);
		await until(() => page.evaluate(() => localStorage.getItem("session_id")), "the session");
		await page.reload();
		await page.waitForSelector("header:has-text('Connected')");
		await page.waitForSelector("tr:has-text('/admin')");
		assert.equal(await page.locator(".v-dialog form").count(), 0);
		const token = await page.evaluate(() => localStorage.getItem("session_id"));
		await w.rest("POST", "/api/v1/auth/logout", {}, token);
		await page.waitForSelector("header:has-text('Disconnected')");
		await page.reload();
		await page.waitForSelector(".v-dialog form :text('Invalid credentials')");
		assert.deepEqual(page.problems, []);
	},

	"who may not is told so": async w => {
		const viewer = await withPassword(w, "viewer");
		const page = await open(w);
		for (const auth of [viewer.auth, { username: w.user.username, password: "wrong" }]) {
			await fillLogin(page, auth);
			await page.waitForSelector(".v-dialog form :text('Invalid credentials')");
		}
		await shootSettled(page, "admin-refused");
		assert.deepEqual(page.problems, []);
	},
};

suite(cases({ clients: ["newest, polling"], tests }), 2);
