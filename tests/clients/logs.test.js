"use strict";
// Lines of devices' logs, as stock clients get them that subscribe with a filter.

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { assert, cases, ctl, ONE_EACH, suite, until } = require("./support");

const TABLE = JSON.parse(readFileSync(join(__dirname, "../data/log_filters.json")));

// Lines with these messages, of one device.
const lines = (n, text = "line", more = {}) =>
	Array.from({ length: n }, (_, i) => ({ deviceId: "d-1", level: "INFO", message: `${text} ${i}`, ...more }));

const post = async (w, entries) => (await w.rest("POST", "/api/logs", entries)).ids;

// All lines that came, in order.
const came = r => r.events.flatMap(({ name, args }) =>
	name === "log:new" ? [args[0]] : name === "log:batch" ? args[0].logs : []);

const dropped = r => r.named("log:dropped");

async function subscribe(w, filter, options) {
	const r = await w.connect(options);
	assert.deepEqual(await r.ask("log:subscribe", filter), { success: true });
	assert.deepEqual(await r.one("log:subscribed"), { success: true });
	return r;
}

// Until so many lines have come; then that there are no more.
async function exactly(w, r, n) {
	await until(() => came(r).length >= n, () => `${n} lines, got ${came(r).length}: ${r}`);
	await w.released();
	await r.settle();
	assert.equal(came(r).length, n);
	return came(r);
}

suite(cases({
	clients: ONE_EACH,
	tests: {
		"a line comes as it is stored": async w => {
			const r = await subscribe(w);
			const [id] = await post(w, { deviceId: "d-1", level: "warn", message: "hot", tags: ["a"],
				source: "kernel", meta: { t: 91.5 }, timestamp: "2026-03-01T13:00:00.5+01:00" });
			const { receivedAt, ...line } = await r.one("log:new");
			assert.match(receivedAt, /^20\d\d-\d\d-\d\dT.*Z$/);
			assert.deepEqual(line, { id, deviceId: "d-1", timestamp: "2026-03-01T12:00:00.500Z",
				level: "WARN", message: "hot", tags: ["a"], source: "kernel", meta: { t: 91.5 } });
		},

		"several come as batches of at most 50": async w => {
			const r = await subscribe(w);
			const ids = await post(w, lines(90));
			const got = await exactly(w, r, 90);
			assert.deepEqual(got.map(l => l.id), ids);
			for (const { logs, count } of r.named("log:batch")) {
				assert.equal(logs.length, count);
				assert.ok(count >= 2 && count <= 50);
			}
		},

		"what is past the rate is told": async w => {
			const r = await subscribe(w);
			const ids = await post(w, lines(1000));
			await r.wait("log:dropped");
			const got = await exactly(w, r, 100);
			assert.deepEqual(got.map(l => l.id), ids.slice(0, 100));
			assert.deepEqual(dropped(r), [{ count: 900, from: ids[100], to: ids.at(-1) }]);
		},

		"a new subscription replaces the one before, and none is none": async w => {
			const r = await subscribe(w, { keywords: ["one"] });
			await r.ask("log:subscribe", { keywords: ["two"] });
			await post(w, [...lines(1, "one"), ...lines(1, "two")]);
			assert.deepEqual((await exactly(w, r, 1)).map(l => l.message), ["two 0"]);
			assert.deepEqual(await r.ask("log:unsubscribe"), { success: true });
			assert.deepEqual(await r.one("log:unsubscribed"), { success: true });
			await post(w, lines(1, "two"));
			await exactly(w, r, 1);
		},

		"what came during a pause comes with the end of it": async w => {
			const r = await subscribe(w, { keywords: ["wanted"] });
			const before = await post(w, lines(3, "wanted"));
			await exactly(w, r, 3);
			assert.deepEqual(await r.ask("log:pause"), { success: true });
			const during = await post(w, lines(1000, "wanted"));
			await post(w, lines(10, "other"));
			await exactly(w, r, 3);
			assert.deepEqual(await r.ask("log:resume"), { success: true });
			const after = await post(w, lines(5, "wanted"));
			const got = await exactly(w, r, 1008);
			assert.deepEqual(got.map(l => l.id), [...before, ...during, ...after]);
			assert.deepEqual(dropped(r), []);
		},

		"of more than that the rest is told": async w => {
			const r = await subscribe(w);
			await r.ask("log:pause");
			const ids = [...await post(w, lines(1000)), ...await post(w, lines(500))];
			await w.released();
			await r.ask("log:resume");
			const got = await exactly(w, r, 1000);
			assert.deepEqual(got.map(l => l.id), ids.slice(0, 1000));
			assert.deepEqual(dropped(r), [{ count: 500, from: ids[1000], to: ids.at(-1) }]);
		},

		"pausing twice, resuming twice": async w => {
			const r = await subscribe(w);
			await Promise.all([r.ask("log:pause"), r.ask("log:pause")]);
			const ids = await post(w, lines(2));
			await w.released();
			await Promise.all([r.ask("log:resume"), r.ask("log:resume"), r.ask("log:pause"),
				r.ask("log:resume")]);
			assert.deepEqual((await exactly(w, r, 2)).map(l => l.id), ids);
		},

		"a pause outlives the connection": async w => {
			const r = await subscribe(w);
			const first = await post(w, lines(1));
			await exactly(w, r, 1);
			await r.ask("log:pause");
			r.socket.io.engine.close();
			const ids = await post(w, lines(20));
			await w.released();
			await r.connected(2);
			if (!r.connects.at(-1))
				await r.ask("log:subscribe", {});
			await r.ask("log:resume");
			const got = await exactly(w, r, r.connects.at(-1) ? 21 : 1);
			assert.deepEqual(got.map(l => l.id), r.connects.at(-1) ? [...first, ...ids] : first);
		},

		"there is nothing to pause": async w => {
			const r = await w.connect();
			for (const name of ["log:pause", "log:resume"])
				assert.equal((await r.ask(name)).error.code, "not_subscribed");
		},

		"filters that are none": async w => {
			const r = await w.connect();
			const bad = [[], "x", 7, { devices: ["a"] }, { deviceIds: "a" }, { levels: ["TRACE"] },
				{ keywords: [""] }, { tags: [1] }, { keywords: ["\ud800"] }];
			for (const filter of bad)
				assert.equal((await r.ask("log:subscribe", filter)).error.code, "bad_arguments",
					JSON.stringify(filter));
			await post(w, lines(1));
			await exactly(w, r, 0);
		},

		"it takes the permission, and ends with it": async w => {
			const role = `logs-${w.name}`;
			await ctl("role", "add", role, "logs:read");
			const reader = await w.newUser(role), nobody = await w.newUser("viewer");
			const r = await subscribe(w, {}, { auth: { token: reader.token } });
			const none = await w.connect({ auth: { token: nobody.token } });
			assert.equal((await none.ask("log:subscribe", {})).error.code, "forbidden");
			await post(w, lines(1));
			await exactly(w, r, 1);
			await ctl("user", "revoke-role", reader.username, role);
			assert.deepEqual(await r.one("subscription_error"), { channel: "logs", reason: "revoked" });
			await post(w, lines(1));
			await exactly(w, r, 1);
		},
	},

	alone: {
		"the table of filters": async w => {
			const all = await Promise.all(TABLE.cases.map(async ({ filter, matches }) =>
				({ filter, matches, r: await subscribe(w, filter) })));
			const ids = await post(w, TABLE.lines);
			for (const { filter, matches, r } of all) {
				const got = await exactly(w, r, matches.length);
				assert.deepEqual(got.map(l => ids.indexOf(l.id)), matches, JSON.stringify(filter));
			}
		},
	},
}));
