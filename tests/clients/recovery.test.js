"use strict";
// Connection state recovery, as the stock client drives it: it sends the pid it was given and the
// offset of the last event it saw, and what it missed comes before anything else.

const { assert, cases, ctl, gate, suite, until, NEWEST } = require("./support");

/* A watching socket whose next connects wait for `held.open()`, so that a test can do things while
 * it is away. */
async function holdable(w, token = () => w.token) {
	const h = { held: null };
	h.r = await w.watch({
		auth: give => (h.held ? h.held.passed : Promise.resolve()).then(() => give({ token: token() })),
	});
	h.drop = async () => {
		h.held = gate();
		const n = h.r.reasons.length;
		h.r.socket.io.engine.close();
		await h.r.disconnected(n + 1);
	};
	h.back = async () => {
		const n = h.r.connects.length;
		h.held.open();
		await h.r.connected(n + 1);
		return h.r.connects.at(-1);
	};
	return h;
}

const ids = r => r.updates().map(e => e.data.id);

suite(cases({
	clients: NEWEST,

	tests: {
		"what was missed comes, in order": async w => {
			const { r, drop, back } = await holdable(w);
			const sid = r.socket.id;
			await w.publish(2);
			await r.wait("websites:update", 2);
			await drop();
			await w.publish(30);
			assert.equal(await back(), true);
			assert.equal(r.socket.id, sid);
			await r.wait("websites:update", 32);
			await w.publish(1);
			await r.wait("websites:update", 33);
			const seen = r.updates().map(e => e.eventId);
			assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b));
			assert.deepEqual(ids(r).slice(2, 32), Array.from({ length: 30 }, (_, i) => i + 1));
			assert.equal(r.named("websites:initial").length, 1);
		},

		"with nothing missed nothing comes": async w => {
			const { r, drop, back } = await holdable(w);
			await w.publish(1);
			await r.one("websites:update");
			const before = r.events.filter(e => e.name !== "connected").length;
			await drop();
			assert.equal(await back(), true);
			await r.settle();
			assert.equal(r.events.filter(e => e.name !== "connected").length, before);
		},

		"also when no event had come before the drop": async w => {
			const h = gate();
			let held = { passed: Promise.resolve() };
			const r = w.open({ auth: give => held.passed.then(() => give({ token: w.token })) });
			await r.connected();
			await r.one("connected");
			held = h;
			r.socket.io.engine.close();
			await r.disconnected();
			await w.publish(3);
			held.open();
			await r.connected(2);
			assert.equal(r.connects[1], true);
			assert.deepEqual((await r.wait("websites:update", 3)).map(e => e.data.id), [1, 2, 3]);
		},

		"twice in a row, with nothing in between": async w => {
			const { r, drop, back } = await holdable(w);
			await w.publish(1);
			await r.one("websites:update");
			await drop();
			await w.publish(2);
			assert.equal(await back(), true);
			await drop();
			await w.publish(3);
			assert.equal(await back(), true);
			await drop();
			assert.equal(await back(), true);
			await r.wait("websites:update", 6);
			await r.settle();
			assert.deepEqual(ids(r), [1, 1, 2, 1, 2, 3]);
		},

		"while the old connection is still half open": async w => {
			const r = await w.watch();
			await w.publish(1);
			await r.one("websites:update");
			// It hangs up on the server without a word: the held poll goes on.
			const { transport } = r.socket.io.engine;
			transport.doClose = () => {};
			transport.write = () => {};
			transport.onError("the network has changed");
			await r.connected(2);
			assert.equal(r.connects[1], true);
			await w.publish(2);
			await r.wait("websites:update", 3);
			await r.settle();
			assert.deepEqual(ids(r), [1, 1, 2]);
			assert.equal(r.named("websites:initial").length, 1);
		},

		"the old connection that comes back too late is told to go": async w => {
			const first = await w.watch();
			const { _pid, _lastOffset } = first.socket;
			first.socket.io.reconnection(false);
			// Another client with its pid and offset, as the same page woken up elsewhere.
			const second = w.open({ autoConnect: false });
			Object.assign(second.socket, { _pid, _lastOffset });
			second.socket.connect();
			await second.connected();
			assert.equal(second.connects[0], true);
			await first.disconnected();
			await w.publish(1);
			await second.one("websites:update");
			assert.deepEqual(first.updates(), []);
		},

		"with an expired token it is refused": async w => {
			const token = await w.issue(w.user.username, 10);
			const { r, drop, back } = await holdable(w, () => token);
			await drop();
			const { exp } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
			await until(() => Date.now() >= exp * 1000, "the token to expire");
			back().catch(() => {});
			const error = await r.refused();
			assert.equal(error.message, "Authentication failed");
			assert.equal(error.data.code, 401);
		},

		"with a token revoked meanwhile it is refused": async w => {
			const { r, drop, back } = await holdable(w);
			await drop();
			await ctl("token", "revoke", w.token);
			back().catch(() => {});
			assert.equal((await r.refused()).message, "Authentication failed");
		},

		"with another token of the same user it goes on": async w => {
			let token = w.token;
			const { r, drop, back } = await holdable(w, () => token);
			await drop();
			token = await w.issue(w.user.username, 600);
			await w.publish(1);
			assert.equal(await back(), true);
			await r.one("websites:update");
		},

		"another user's pid is worth nothing": async w => {
			const other = await w.newUser("admin");
			let token = w.token;
			const { r, drop, back } = await holdable(w, () => token);
			const sid = r.socket.id;
			await drop();
			token = other.token;
			assert.equal(await back(), false);
			assert.notEqual(r.socket.id, sid);
			await r.wait("connected", 2);
		},

		"a pid that nobody had is worth nothing": async w => {
			const r = w.open({ autoConnect: false });
			Object.assign(r.socket, { _pid: "x".repeat(20), _lastOffset: "x:1" });
			r.socket.connect();
			await r.connected();
			assert.equal(r.connects[0], false);
			await r.one("connected");
		},

		"after leaving on purpose there is nothing to go on with": async w => {
			const r = await w.watch();
			const { id } = r.socket.io.engine;
			r.socket.disconnect();
			await r.disconnected();
			// When the server has heard of it, too.
			await until(async () => (await fetch(
				`${process.env.CMDB_URL}/socket.io/?EIO=4&transport=polling&sid=${id}`,
				{ method: "POST", body: "3" })).status === 400, "the end of the session");
			r.socket.connect();
			await r.connected(2);
			assert.equal(r.connects[1], false);
			await r.wait("connected", 2);
		},
	},

	alone: {
		// conftest.py has socketio.max_replay at 20000.
		"too far behind, the list that was asked for comes again unasked": async w => {
			const { r, drop, back } = await holdable(w);
			await drop();
			const row = await w.create();
			const end = await w.tail() + 20001;
			await w.publish(20001, "elsewhere");
			await until(async () => await w.tail() >= end, "the events to be released");
			assert.equal(await back(), false);
			const [, again] = await r.wait("websites:initial", 2);
			assert.deepEqual(again.items, [row]);
			await w.create();
			await r.one("websites:update");
		},
	},
}));
