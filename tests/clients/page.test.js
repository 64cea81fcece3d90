"use strict";
// Our page of websites in Chromium, as somebody has it open all day: many rows, much that changes,
// long values, breaks of the connection, tokens that end.

const { assert, cases, sql, suite, until, withPassword } = require("./support");
const { open, shoot, signedIn } = require("./browser");

const URL_ = process.env.CMDB_URL;

// n websites of the World's tenant, whose n-th is called s<n>.<tenant>.example.
function seed(w, n) {
	return sql(`SET max_recursive_iterations = ${n};
		SET @t = (SELECT id FROM tenants WHERE name = '${w.name}');
		INSERT INTO websites (tenant_id, origin_mode, redirect_url, redirect_status_code, status)
			WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < ${n})
			SELECT @t, 'redirect', 'https://example.org/', 302, IF(n % 4, 'active', 'inactive')
			FROM k ORDER BY n;
		INSERT INTO domains (tenant_id, website_id, position, name)
			SELECT @t, id, 0, CONCAT('s', ROW_NUMBER() OVER (ORDER BY id), '.${w.name}.example')
			FROM websites WHERE tenant_id = @t;
		ANALYZE TABLE websites, domains;`);
}

// A page with n websites, of which w.create() and the like make further ones.
async function withRows(w, n, options) {
	await seed(w, n);
	return signedIn(w, options, (await withPassword(w, "admin")).auth);
}

const line = id => `#rows tr[data-id="${id}"]`;
const cell = (id, name) => `${line(id)} [data-name="${name}"]`;
const countIs = (page, text) => until(async () => await page.textContent("#count") === text,
	() => `${text} websites`);
const inView = (page, selector) => page.locator(selector).evaluate(e => {
	const { top, bottom } = e.getBoundingClientRect();
	return top >= 0 && bottom <= innerHeight;
});
const changes = page => page.locator("#changes li").allTextContents();

async function offline(page) {
	await page.context().setOffline(true);
	await page.waitForSelector("#state[data-state=wait]");
}

async function online(page) {
	await page.context().setOffline(false);
	await page.waitForSelector("#state[data-state=live]");
}

// What this tab keeps of its sign-in.
const kept = page => page.evaluate(() => JSON.parse(sessionStorage.getItem("cmdb.session")));

async function signInWith(page, session) {
	await page.goto(`${URL_}/websites.html`);
	await page.evaluate(text => sessionStorage.setItem("cmdb.session", text), JSON.stringify(session));
	await page.reload();
}

// Somebody whose access token ends in ttl_s, and whose refresh token is good.
async function endsSoon(w, ttl_s) {
	const { auth, username } = await withPassword(w, "admin");
	const login = await w.rest("POST", "/api/v1/auth/login", auth, "");
	return { username, signIn: w.name, refreshToken: login.refresh_token,
		token: await w.issue(username, ttl_s) };
}

const rows = {
	"the state of the connection stays in sight": async w => {
		const page = await withRows(w, 200);
		for (const size of [{ width: 1400, height: 900 }, { width: 390, height: 844 }]) {
			await page.setViewportSize(size);
			await page.evaluate(() => scrollTo(0, 5000));
			await page.waitForFunction(() => scrollY > 4000);
			assert.ok(await inView(page, "#state"));
		}
	},

	"a new website is on top": async w => {
		const page = await withRows(w, 10000);
		await countIs(page, "10000");
		const row = await w.create();
		await page.waitForSelector(line(row.id));
		assert.ok(await inView(page, line(row.id)));
		assert.ok(await page.isHidden("#new"));
		await countIs(page, "10001");
		await shoot(page, "websites-many");
	},

	"a new website out of sight is told, and a click away": async w => {
		const page = await withRows(w, 300);
		await page.evaluate(() => scrollTo(0, 6000));
		await page.waitForFunction(() => scrollY > 5000);
		const at = () => page.evaluate(() =>
			document.elementFromPoint(300, 500).closest("tr").dataset.id);
		const before = await at();
		const row = await w.create();
		await page.waitForSelector("#new:not([hidden])");
		assert.match(await page.textContent("#new"), /1 new/);
		assert.equal(await at(), before);
		await w.create();
		await page.waitForFunction(() => document.querySelector("#new").textContent.includes("2 new"));
		await shoot(page, "websites-new");
		await page.press("#new", "Enter");
		await page.waitForSelector("#new", { state: "hidden" });
		assert.ok(await inView(page, line(row.id)));
	},

	"a change that is named leads to its row": async w => {
		const page = await withRows(w, 600);
		const [[id]] = await sql(`SELECT MIN(id) FROM websites
			WHERE tenant_id = (SELECT id FROM tenants WHERE name = '${w.name}')`);
		const [[later]] = await sql(`SELECT id + 150 FROM websites WHERE id = ${id}`);
		await w.update(Number(id), { status: "inactive" });    // of the hundred that are not shown
		await w.update(Number(later), { status: "inactive" });
		await until(async () => (await changes(page)).length === 2, "two changes");
		await page.click(`#changes button[data-id="${later}"]`);
		assert.ok(await inView(page, line(later)));
		assert.equal(await page.inputValue("#filter"), "");
		await page.click(`#changes button[data-id="${id}"]`);
		await page.waitForSelector(line(id));
		assert.ok(await inView(page, line(id)));
	},

	"many changes at once are shown at once": async w => {
		const page = await withRows(w, 1200);
		const ids = (await sql(`SELECT id FROM websites WHERE tenant_id =
			(SELECT id FROM tenants WHERE name = '${w.name}') ORDER BY id DESC LIMIT 450`)).flat();
		const { id } = await w.create();
		await page.waitForSelector(line(id));
		await w.delete(...ids.map(Number));
		await countIs(page, "751");
		await until(async () => await page.locator("#rows tr:not(.gone)").count() === 500,
			"as many lines as before");
		await page.click("#more");
		await until(async () => await page.locator("#rows tr:not(.gone)").count() === 751,
			"all lines");
		const shown = await page.locator("#rows tr:not(.gone)").evaluateAll(list =>
			list.map(tr => Number(tr.dataset.id)));
		assert.deepEqual(shown, [...shown].sort((a, b) => b - a));
		assert.equal((await changes(page)).length, 30);
		assert.deepEqual(page.problems, []);
	},

	"the filter finds by what can be read": async w => {
		const page = await withRows(w, 40);
		const names = ["main", "second", "third", "fourth", "fifth", "hidden"];
		const row = await w.create({ domains: names.map(n => `${n}.${w.name}.example`),
			redirect_url: "https://www.example.net/where" });
		await countIs(page, "41");
		const find = async text => {
			await page.fill("#filter", text);
			return page.locator("#rows tr:not(.gone)").count();
		};
		assert.equal(await find("active"), 31);
		assert.equal(await find("inactive"), 10);
		assert.equal(await find("INACT s4."), 1);
		assert.equal(await find("net/where"), 1);
		// Of a time what is shown of it, and not the text that it came as.
		assert.equal(await find(row.updated_at.slice(0, 10)), 0);
		// A name that is folded away is unfolded.
		assert.equal(await find("hidden"), 1);
		assert.ok(await page.isVisible(`${line(row.id)} :text("hidden")`));
		await find("");
		assert.ok(await page.isHidden(`${line(row.id)} :text("hidden")`));
		await page.click(`${line(row.id)} summary`);
		assert.ok(await page.isVisible(`${line(row.id)} :text("hidden")`));
	},

	"long values move nothing, and are there to be read": async w => {
		const page = await withRows(w, 20);
		const group = await w.rest("POST", "/api/v1/line-groups/create", { name: "W".repeat(64) });
		const widths = () => page.locator("thead th").evaluateAll(list =>
			list.map(th => th.getBoundingClientRect().width));
		const before = await widths();
		const url = `https://example.org/${"x".repeat(2000)}`;
		const row = await w.create({ redirect_url: url, line_group_id: group.id,
			domains: [`${"w".repeat(63)}.${"m".repeat(63)}.${"x".repeat(63)}.example`] });
		await page.waitForSelector(line(row.id));
		assert.deepEqual(await widths(), before);
		assert.equal(await page.getAttribute(`${line(row.id)} .target`, "title"), url);
		assert.equal(await page.getAttribute(`${cell(row.id, "Line group")} span`, "title"), group.name);
		for (const width of [1400, 1290, 1000, 800, 390, 320]) {
			await page.setViewportSize({ width, height: 700 });
			assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
			// Nothing is so narrow that a letter is a line.
			assert.ok(await page.locator(line(row.id)).evaluate(e => e.offsetHeight) < 600, width);
			await shoot(page, `websites-${width}`);
		}
	},

	"an event with anything in it harms no other": async w => {
		const page = await withRows(w, 3);
		const tell = (type, data) => sql(`INSERT INTO ws_events (topic, event_type, payload, tenant_id)
			SELECT 'websites', '${type}', '${JSON.stringify(data)}', id
			FROM tenants WHERE name = '${w.name}'`);
		for (const data of [null, 7, [], {}, { id: "x" }, { id: 900001 },
			{ id: 900002, domains: [null, 3], updated_at: "never", origin_mode: 9, status: {} }])
			await tell("update", data);
		await tell("delete", null);
		const row = await w.create();
		await page.waitForSelector(line(row.id));
		assert.deepEqual(page.problems, []);
	},
};

const breaks = {
	"what was missed has the time at which it happened": async w => {
		const page = await withRows(w, 3);
		const gone = await w.create();
		await page.waitForSelector(line(gone.id));
		await offline(page);
		const row = await w.create();
		await w.delete(gone.id);
		const made = await page.evaluate(at => new Intl.DateTimeFormat(undefined,
			{ timeStyle: "medium" }).format(new Date(at)), row.updated_at);
		// The clock moves on by more than is shown of it.
		await until(() => Date.now() - Date.parse(row.updated_at) > 2000, "two seconds");
		await online(page);
		await page.waitForSelector(line(row.id));
		await until(async () => (await changes(page)).length === 3, "three changes");
		const [deleted, added] = await changes(page);
		assert.ok(added.startsWith(made), `${made}: ${added}`);
		assert.match(deleted, /^while away.*deleted$/);
		await shoot(page, "websites-missed");
	},

	"after a long absence the changes are told, too": async w => {
		const page = await withRows(w, 5);
		const old = await w.create();
		await page.waitForSelector(line(old.id));
		await offline(page);
		// It comes back as a new one, and more happened than is told one by one.
		await page.route("**/socket.io/**", route => {
			const body = route.request().postData();
			return body?.startsWith("40{") ?
				route.continue({ postData: body.replace('"pid"', '"was"') }) : route.continue();
		});
		await w.publish(501);
		await w.update(old.id, { status: "inactive" });
		const row = await w.create();
		await w.delete((await w.create()).id);
		await online(page);
		await page.waitForSelector(line(row.id));
		await page.waitForFunction(([selector]) =>
			document.querySelector(selector).textContent === "inactive", [cell(old.id, "Status")]);
		const [last, before] = await changes(page);
		assert.match(last, /added$/);
		assert.match(before, /updated.*status$/);
	},

	"what was asked for and got lost is asked for again": async w => {
		const page = await open(w);
		await seed(w, 3);
		// The list is on its way when the connection breaks.
		let isCut = false;
		await page.route("**/socket.io/**", async route => {
			const answer = await route.fetch().catch(() => null);
			if (!answer || (!isCut && (await answer.text()).includes("websites:initial"))) {
				isCut = true;
				return route.abort();
			}
			return route.fulfill({ response: answer });
		});
		const { auth } = await withPassword(w, "admin");
		await page.goto(`${URL_}/websites.html`);
		await page.fill("#username", auth.username);
		await page.fill("#password", auth.password);
		await page.click("#login button");
		await page.waitForSelector("#rows tr");
		assert.ok(isCut);
		await countIs(page, "3");
	},

	"who may not see websites is told so": async w => {
		const page = await open(w);
		const user = await w.newUser();
		await signInWith(page, { token: user.token, username: user.username });
		await page.waitForSelector("#notice:not([hidden])");
		assert.ok(await page.isHidden("#loading"));
	},
};

const tokens = {
	"a session that was reloaded outlives its token": async w => {
		const page = await open(w);
		const session = await endsSoon(w, 5);
		await seed(w, 3);
		await signInWith(page, session);
		await page.waitForSelector("#rows tr");
		await until(async () => (await kept(page)).token !== session.token, "a new token");
		const { exp } = JSON.parse(Buffer.from(session.token.split(".")[1], "base64url"));
		await until(() => Date.now() > (exp + 2) * 1000, "the old token's end");
		const row = await w.create();
		await page.waitForSelector(line(row.id));
		assert.equal(await page.textContent("#state"), "Live");
	},

	"a copy of the tab leaves the refresh token alone": async w => {
		const page = await open(w);
		await seed(w, 3);
		await signInWith(page, await endsSoon(w, 3600));
		await page.waitForSelector("#rows tr");
		const copy = await page.context().newPage();
		let refreshes = 0;
		copy.on("request", r => { refreshes += r.url().endsWith("/auth/refresh"); });
		await signInWith(copy, { ...await kept(page), token: await w.issue((await kept(page)).username, 3) });
		await copy.waitForSelector("#rows tr");
		await copy.waitForSelector("#login:not([hidden])", { timeout: 60000 });
		assert.equal(refreshes, 0);
		const row = await w.create();
		await page.waitForSelector(line(row.id));
	},

	"signing in again goes on where one was": async w => {
		const page = await withRows(w, 8);
		await page.fill("#filter", "s3.");
		await countIs(page, "1 of 8");
		const { token, username } = await kept(page);
		await w.rest("POST", "/api/v1/auth/logout", {}, token);
		await page.waitForSelector("#login:not([hidden])");
		assert.ok(await page.isVisible("#login-error"));
		assert.equal(await page.inputValue("#username"), username);
		assert.equal(await page.evaluate(() => document.activeElement.id), "password");
		await page.keyboard.type("correct horse 7");
		await page.keyboard.press("Enter");
		await page.waitForSelector("#state[data-state=live]");
		await countIs(page, "1 of 8");
		assert.equal(await page.locator("#rows tr").count(), 1);
	},

	"signing out shows at once, also with a server that does not answer": async w => {
		const page = await withRows(w, 3);
		await page.route("**/auth/logout", () => {});
		await page.click("#logout");
		await page.waitForSelector("#login:not([hidden])");
	},
};

suite(cases({ clients: ["newest, polling"], tests: { ...rows, ...breaks, ...tokens } }), 3);
