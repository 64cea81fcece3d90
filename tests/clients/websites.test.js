"use strict";
// A list of websites kept in sync, by each kind of client.

const { assert, cases, ctl, gate, sql, suite, until } = require("./support");

const OFFSET = /^[^:]+:\d+$/;

const byId = rows => [...rows].sort((a, b) => a.id - b.id);

/* The whole of a client that keeps its list through whatever happens: it asks where the server does
 * not go on by itself. `rows` is the list, `seen` the ids of events in the order they came. */
function mirror(recorder) {
	const list = { rows: new Map(), seen: [], lastEventId: 0, initials: 0 };
	const { socket } = recorder;
	let isWhole = false; // nothing is missing before lastEventId
	socket.on("websites:initial", ({ items, lastEventId }) => {
		list.rows = new Map(items.map(w => [w.id, w]));
		list.lastEventId = lastEventId;
		list.initials++;
	});
	socket.on("websites:update", ({ eventId, type, data }) => {
		list.seen.push(eventId);
		if (isWhole)
			list.lastEventId = Math.max(list.lastEventId, eventId);
		if (type === "delete")
			list.rows.delete(data.id);
		else
			list.rows.set(data.id, data);
	});
	socket.on("connect", () => {
		if (socket.recovered)
			return;
		// Live events may come before those that were missed, and then again in their place.
		isWhole = false;
		socket.emit("request:websites", { lastEventId: list.lastEventId }, answer => {
			list.lastEventId = Math.max(list.lastEventId, answer.lastEventId);
			isWhole = true;
		});
	});
	return list;
}

const refused = message => async w => {
	const r = w.open({ auth: await w.badAuth() });
	const error = await r.refused();
	assert.equal(error.message, message);
	assert.equal(error.data.code, 401);
	assert.deepEqual(r.connects, []);
};

suite(cases({
	tests: {
		"1 no token is refused": w => {
			w.badAuth = () => ({});
			return refused("Authentication required")(w);
		},

		"2 a good token gets connected": async w => {
			const r = await w.connect();
			assert.deepEqual(r.events[0].name, "connected");
			assert.deepEqual(r.events[0].args, [{ ok: true }]);
			assert.match(r.events[0].offset, OFFSET);
			assert.equal(r.socket.io.engine.transport.name, "polling");
		},

		"3 the list comes when asked for": async w => {
			const made = [await w.create(), await w.create({ status: "inactive" })];
			const r = await w.watch();
			assert.deepEqual(Object.keys(r.initial).sort(),
				["items", "lastEventId", "total", "version"]);
			assert.deepEqual(byId(r.initial.items), byId(made));
			assert.equal(r.initial.total, 2);
			assert.equal(typeof r.initial.version, "number");
			assert.ok(r.initial.lastEventId <= await w.tail());
			assert.match(r.events.find(e => e.name === "websites:initial").offset, OFFSET);
		},

		"4 a new website arrives": async w => {
			const r = await w.watch();
			const row = await w.create();
			const { eventId, type, data } = await r.one("websites:update");
			assert.deepEqual({ type, data }, { type: "add", data: row });
			assert.ok(eventId > r.initial.lastEventId);
			const { offset } = r.events.find(e => e.name === "websites:update");
			assert.equal(offset.split(":")[1], String(eventId));
		},

		"5 a change arrives": async w => {
			const old = await w.create();
			const r = await w.watch();
			const row = await w.update(old.id, { status: "inactive" });
			const { type, data } = await r.one("websites:update");
			assert.deepEqual({ type, data }, { type: "update", data: row });
			assert.equal(data.status, "inactive");
			assert.equal(data.version, old.version + 1);
		},

		"6 deletes arrive, an event a row": async w => {
			const [a, b] = [await w.create(), await w.create()];
			const r = await w.watch();
			await w.delete(a.id, b.id);
			const got = await r.wait("websites:update", 2);
			assert.deepEqual(got.map(({ type, data }) => ({ type, data })),
				[a, b].map(row => ({ type: "delete", data: { id: row.id } })));
			assert.ok(got[0].eventId < got[1].eventId);
		},

		"7 an old lastEventId gets what came since": async w => {
			const first = await w.watch();
			first.socket.close();
			const a = await w.create();
			const b = await w.update(a.id, { status: "inactive" });
			await w.delete(a.id);
			const r = await w.connect();
			r.socket.emit("request:websites", { lastEventId: first.initial.lastEventId });
			const got = await r.wait("websites:update", 3);
			assert.deepEqual(got.map(({ type, data }) => [type, data]),
				[["add", a], ["update", b], ["delete", { id: a.id }]]);
			await r.settle();
			assert.equal(r.updates().length, 3);
			assert.deepEqual(r.named("websites:initial"), []);
			// And it goes on from there.
			await w.create();
			await r.wait("websites:update", 4);
		},

		"8 500 missed events come one by one": async w => {
			const { initial } = await w.watch();
			await w.publish(500);
			const r = await w.connect();
			r.socket.emit("request:websites", initial);
			const got = await r.wait("websites:update", 500);
			assert.deepEqual(got.map(e => e.data.id), Array.from({ length: 500 }, (_, i) => i + 1));
			assert.deepEqual(r.named("websites:initial"), []);
		},

		"8 more get the list again": async w => {
			const { initial } = await w.watch();
			await w.publish(501);
			const r = await w.connect();
			r.socket.emit("request:websites", initial);
			const again = await r.one("websites:initial");
			assert.ok(again.lastEventId >= initial.lastEventId + 501);
			await r.settle();
			assert.deepEqual(r.updates(), []);
		},

		"8 a lastEventId from the future gets the list": async w => {
			const r = await w.connect();
			r.socket.emit("request:websites", { lastEventId: await w.tail() + 1000000000 });
			await r.one("websites:initial");
		},

		"9 an expired token is refused": w => {
			w.badAuth = async () => {
				const token = await w.issue(w.user.username, 1);
				const { exp } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
				await until(() => Date.now() >= exp * 1000, "the token to expire");
				return { token };
			};
			return refused("Authentication failed")(w);
		},

		"10 an invalid token is refused": w => {
			const [head, body, signature] = w.token.split(".");
			const other = signature.replace(/^./, c => c === "x" ? "y" : "x");
			w.badAuth = () => ({ token: `${head}.${body}.${other}` });
			return refused("Authentication failed")(w);
		},

		"10 what is no token at all is refused": w => {
			w.badAuth = () => ({ token: " not.a.token \u{1f600}" });
			return refused("Authentication failed")(w);
		},

		"10 a revoked token is refused": w => {
			w.badAuth = async () => {
				await ctl("token", "revoke", w.token);
				return { token: w.token };
			};
			return refused("Authentication failed")(w);
		},

		"12 a client that reconnects misses nothing": async w => {
			let held = { passed: Promise.resolve() };
			const r = w.open({ auth: give => held.passed.then(() => give({ token: w.token })) });
			const list = mirror(r);
			await r.one("websites:initial");
			const made = [await w.create()];
			for (let round = 1; round <= 2; round++) {
				held = gate();
				r.socket.io.engine.close();
				await r.disconnected(round);
				made.push(await w.create(), await w.create());
				await w.update(made[0].id, { redirect_url: `https://example.net/${round}` });
				held.open();
				await r.connected(round + 1);
				made.push(await w.create());
				await until(() => list.rows.size === made.length, () => r.toString());
			}
			assert.deepEqual(byId(list.rows.values()),
				byId((await w.rest("GET", "/api/v1/websites?page_size=200")).items));
			// In order, and without a second list.
			const last = list.seen.filter((id, i) => list.seen.lastIndexOf(id) === i);
			assert.deepEqual(last, [...last].sort((a, b) => a - b));
			assert.equal(last.length, 9);
			assert.equal(list.initials, 1);
			if (w.client.startsWith("newest"))
				assert.deepEqual(list.seen, last);
		},

		"13 without lastEventId, or with 0, everything comes": async w => {
			const row = await w.create();
			const r = await w.connect();
			let n = 0;
			for (const args of [[], [{}], [{ lastEventId: 0 }]]) {
				r.socket.emit("request:websites", ...args);
				const got = (await r.wait("websites:initial", ++n)).at(-1);
				assert.deepEqual(got.items, [row]);
			}
			assert.deepEqual(r.updates(), []);
		},

		"other tenants see nothing of it": async w => {
			const r = await w.watch();
			const other = new w.constructor(w.client);
			await other.init();
			await other.create();
			const mine = await w.create();
			assert.equal((await r.one("websites:update")).data.id, mine.id);
			await r.settle();
			assert.equal(r.updates().length, 1);
			assert.deepEqual(r.initial.items, []);
		},

		"who may not read websites gets none": async w => {
			const nobody = await w.newUser();
			const r = await w.connect({ auth: { token: nobody.token } });
			r.socket.emit("request:websites");
			const error = await r.one("error");
			assert.equal(error.code, "forbidden");
			await w.create();
			const watcher = await w.watch();
			await w.create();
			await watcher.one("websites:update");
			await r.settle();
			assert.deepEqual(r.named("websites:initial"), []);
			assert.deepEqual(r.updates(), []);
		},

		"line groups are kept in sync the same way": async w => {
			const r = await w.connect();
			r.socket.emit("request:line-groups");
			const { items, total } = await r.one("line-groups:initial");
			assert.deepEqual([items, total], [[], 0]);
			const row = await w.rest("POST", "/api/v1/line-groups/create", { name: "North" });
			const { type, data } = await r.one("line-groups:update");
			assert.deepEqual({ type, data }, { type: "add", data: row });
		},
	},

	alone: {
		"8 a lastEventId below what is kept gets the list": async w => {
			const { initial } = await w.watch();
			const row = await w.create();
			await w.publish(3);
			// What the poller has not noted in the database as passed is kept a moment longer.
			await until(async () => {
				const { floor } = JSON.parse(await ctl("events", "prune", "--rows", 1, "--json"));
				return floor > initial.lastEventId;
			}, "the floor to rise");
			const r = await w.connect();
			r.socket.emit("request:websites", initial);
			assert.deepEqual((await r.one("websites:initial")).items, [row]);
			await r.settle();
			assert.deepEqual(r.updates(), []);
		},

		"11 fifty clients all get it": async w => {
			const all = await Promise.all(Array.from({ length: 50 }, () => w.watch()));
			const row = await w.create();
			await w.update(row.id, { status: "inactive" });
			await w.delete(row.id);
			for (const r of all) {
				const got = await r.wait("websites:update", 3);
				assert.deepEqual(got.map(e => e.type), ["add", "update", "delete"]);
				assert.deepEqual(got[0].data, row);
			}
		},
	},
}));
