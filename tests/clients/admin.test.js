"use strict";
// Namespace /admin as the Socket.IO Admin UI uses it: logins, what it is shown, its commands. The
// UI itself is in admin-ui.test.js.

const fs = require("node:fs");
const { assert, cases, ctl, sql, suite, until, withPassword, SLOWER } = require("./support");

const SOON_MS = 1500 * SLOWER;

// ---- helpers ----

// A role of the tenant's test with one permission.
async function roleWith(w, permission) {
	const name = `r-${w.name}`;
	await sql(`INSERT INTO roles (name, description) VALUES ('${name}', '');
		INSERT INTO role_permissions (role_id, permission) VALUES (LAST_INSERT_ID(), '${permission}')`);
	return name;
}

// A socket in /admin; `bytes` has all that comes to it, as it came.
function open(w, auth = { token: w.token }, options = {}) {
	const r = w.open({ auth, ...options }, "/admin");
	r.bytes = "";
	r.socket.io.on("open", () => r.socket.io.engine.on("packet", p => { r.bytes += p.data ?? ""; }));
	return r;
}

async function watch(w, auth, options) {
	const r = await open(w, auth, options).connected();
	await shown(r, "all_sockets");
	return r;
}

// The arguments of each event of that name, which a test waits for to be n (and to pass `wanted`).
async function shown(r, name, n = 1, wanted = () => true) {
	const all = () => r.raw.filter(e => e.name === name && wanted(...e.args)).map(e => e.args);
	await until(() => all().length >= n, () => `${n} ${name}: ${JSON.stringify(r.raw.slice(-9))}`);
	return all();
}

const list = r => r.raw.find(e => e.name === "all_sockets").args[0];
const RECENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

async function refused(w, auth) {
	const e = await open(w, auth).refused();
	assert.equal(e.message, "invalid credentials");
	assert.equal(e.data, undefined);
}

async function ends(r, code, since = Date.now()) {
	assert.equal(await r.disconnected(), "io server disconnect");
	assert.ok(Date.now() - since < SOON_MS, `it took ${Date.now() - since} ms`);
	assert.equal(r.named("error").at(-1).code, code, r.toString());
}

// ---- coming in ----

const logins = {
	"a password brings a session that lasts": async w => {
		const user = await withPassword(w, "admin");
		const r = await watch(w, user.auth);
		const [[token]] = await shown(r, "session");
		const again = await watch(w, { sessionId: token });
		assert.equal(again.named("session").length, 0);
		// It is a token like any other.
		const me = await w.rest("GET", "/api/v1/me", undefined, token);
		assert.equal(me.username, user.username);
		const { iat, exp } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
		assert.equal(exp - iat, 43200);
		assert.deepEqual(await w.audits("auth.login"),
			[[`user:${user.username}`, "auth.login", "/admin", "1", "1"]]);
	},

	"what it brings is written down nowhere": async w => {
		const user = await withPassword(w, "admin");
		const r = await watch(w, user.auth);
		const [[token]] = await shown(r, "session");
		const journal = `${process.env.CMDB_POLLER_SOCKET}.sessions`;
		const bytes = fs.readFileSync(journal);
		assert.ok(bytes.includes(r.socket.id), "the session is in the journal");
		assert.ok(!bytes.includes(token), "its token is");
		assert.ok(!bytes.includes(token.split(".")[2]));
		assert.equal(fs.statSync(journal).mode & 0o777, 0o600);
	},

	"a token will do": async w => {
		assert.equal((await watch(w)).named("session").length, 0);
	},

	"one permission is enough": async w => {
		const user = await withPassword(w, await roleWith(w, "ws:admin"));
		await watch(w, user.auth);
		await watch(w, { token: user.token });
	},

	"who shows nothing good is told so": async w => {
		const user = await withPassword(w, "admin");
		for (const auth of [{}, { username: user.username, password: "wrong" },
			{ username: "nobody", password: user.auth.password }, { username: user.username },
			{ username: user.username, password: "" }, { username: 7, password: {} },
			{ username: "x".repeat(5000), password: "x".repeat(5000) },
			{ sessionId: "" }, { sessionId: null }, { sessionId: "x.y.z" }, { token: "x" },
			{ sessionId: ["x"] }])
			await refused(w, auth);
	},

	"who may do other things is told the same": async w => {
		const viewer = await withPassword(w, "viewer");
		await refused(w, viewer.auth);
		await refused(w, { token: viewer.token });
		await refused(w, { sessionId: viewer.token });
		assert.deepEqual(await w.audits("auth.%"), []);
	},

	"guessing is slowed": async w => {
		const user = await withPassword(w, "admin");
		for (let i = 0; i < 5; i++)
			await refused(w, { ...user.auth, password: `guess ${i}` });
		const e = await open(w, user.auth).refused();
		assert.equal(e.data.code, 429);
		assert.ok(e.data.retry_after > 0, JSON.stringify(e.data));
		const login = await fetch(`${process.env.CMDB_URL}/api/v1/auth/login`, {
			method: "POST", headers: { "Content-Type": "application/json" },
			body: JSON.stringify(user.auth),
		});
		assert.equal(login.status, 429);
	},

	"a logout ends it": async w => {
		const user = await withPassword(w, "admin");
		const r = await watch(w, user.auth);
		const [[token]] = await shown(r, "session");
		const since = Date.now();
		await w.rest("POST", "/api/v1/auth/logout", {}, token);
		await ends(r, "token_revoked", since);
		await refused(w, { sessionId: token });
	},

	"who is disabled goes": async w => {
		const user = await withPassword(w, "admin");
		const r = await watch(w, user.auth);
		await ctl("user", "disable", user.username);
		await ends(r, "token_revoked");
		await refused(w, user.auth);
	},

	"who loses the permission goes": async w => {
		const role = await roleWith(w, "ws:admin");
		const user = await withPassword(w, role, "viewer");
		const r = await watch(w, user.auth);
		await ctl("user", "revoke-role", user.username, role);
		await ends(r, "forbidden");
		await refused(w, user.auth);
	},

	"a token that expires ends it": async w => {
		const token = await w.issue(w.user.username, 3);
		const r = await watch(w, { token });
		await shown(r, "token_expiring");
		await r.disconnected();
		assert.equal(r.named("error").at(-1).code, "token_expired");
	},
};

// ---- what is shown ----

const views = {
	"features, and all sockets there are": async w => {
		const client = await w.connect();
		const r = await watch(w);
		const [[{ supportedFeatures }]] = await shown(r, "config");
		assert.deepEqual(supportedFeatures, ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN",
			"MLEAVE", "MDISCONNECT", "AGGREGATED_EVENTS", "ALL_EVENTS"]);
		assert.deepEqual(list(r).map(s => [s.nsp, s.id]).sort(),
			[["/", client.socket.id], ["/admin", r.socket.id]]);
		const s = list(r).find(s => s.nsp === "/");
		assert.deepEqual(s.data, { username: w.user.username });
		assert.deepEqual(new Set(s.rooms),
			new Set([client.socket.id, `user:${w.user.id}`, "role:admin"]));
		assert.equal(s.transport, "polling");
		assert.match(s.clientId, /^[\w-]{8,}$/);
		assert.match(s.handshake.address, /^(127\.|::1|::ffff:127\.)/);
		assert.equal(s.handshake.query.EIO, "4");
		assert.ok(s.handshake.url.startsWith("/socket.io/"));
		assert.equal(s.handshake.headers.host, new URL(process.env.CMDB_URL).host);
		assert.ok(Math.abs(Date.now() - s.handshake.issued) < 60000);
		assert.equal(s.handshake.secure, false);
	},

	"nothing that lets one in": async w => {
		const next = await w.issue(w.user.username, 600);
		const key = "ck_0123456789abcdefghijklmn";
		const r = await watch(w);
		const client = await w.connect({
			auth: {}, query: { token: w.token },
			extraHeaders: { Authorization: `Bearer ${w.token}`, Cookie: "c00kie=s3cret",
				"X-API-Key": key, "User-Agent": "tell me" },
		});
		const late = await watch(w);
		assert.ok(!(await client.ask("auth:refresh", { token: next })).error);
		const heard = await shown(r, "event_received", 1, (nsp, id) => id === client.socket.id);
		assert.deepEqual(heard[0][2], ["auth:refresh"]);
		const [[s]] = await shown(r, "socket_connected", 1, s => s.id === client.socket.id);
		assert.equal(s.handshake.headers["user-agent"], "tell me");
		await shown(r, "server_stats", 2);
		for (const { bytes } of [r, late]) {
			assert.ok(bytes.includes(client.socket.id));
			for (const secret of [w.token, next, key, "c00kie", "s3cret"])
				assert.ok(!bytes.includes(secret), secret);
			assert.doesNotMatch(bytes.slice(bytes.indexOf("config")),
				/"(cookie|authorization|x-api-key|token|sid|auth)":/i);
			assert.doesNotMatch(bytes, /eyJ[\w-]{10}/);
		}
	},

	"figures every two seconds": async w => {
		await w.connect();
		await w.connect();
		const r = await watch(w);
		const at = [];
		r.socket.on("server_stats", () => at.push(Date.now()));
		const first = (await shown(r, "server_stats"))[0][0];
		assert.equal(first.clientsCount, 3);
		assert.equal(first.pollingClientsCount, 3);
		assert.deepEqual(first.namespaces,
			[{ name: "/", socketsCount: 2 }, { name: "/admin", socketsCount: 1 }]);
		assert.equal(first.hostname, first.serverId.split("#")[0]);
		assert.ok(first.pid > 1 && first.uptime > 0);
		const third = await w.connect();
		third.socket.emit("no:such", "12345");
		await third.settle();
		third.socket.disconnect();
		let counts;
		const goes = "rawDisconnection client namespace disconnect";
		await until(() => {
			counts = {};
			for (const { type, subType, count, timestamp } of
				r.named("server_stats").flatMap(s => s.aggregatedEvents)) {
				assert.equal(timestamp % 1000, 0);
				const key = subType ? `${type} ${subType}` : type;
				counts[key] = (counts[key] ?? 0) + count;
			}
			return counts[goes];
		}, () => JSON.stringify(counts));
		assert.equal(counts.rawConnection, 2, "itself, and the third");
		assert.equal(counts[goes], 1);
		assert.equal(counts.packetsIn, 2);
		assert.ok(counts.bytesIn > 20 && counts.bytesOut > 20 && counts.packetsOut >= 1);
		assert.equal(r.named("server_stats").at(-1).namespaces[0].socketsCount, 2);
		await shown(r, "server_stats", 4);
		for (let i = 2; i < at.length; i++)
			assert.ok(Math.abs(at[i] - at[i - 1] - 2000) < 700 * SLOWER, `${at}`);
	},

	"who comes, and why who goes": async w => {
		const r = await watch(w);
		const ways = [
			["client namespace disconnect", c => c.socket.disconnect()],
			["transport close", c => { c.socket.io.reconnection(false); c.socket.io.engine.close(); }],
			["server namespace disconnect", c => ask(r, "_disconnect", "/", false, c.socket.id)],
		];
		for (const [reason, go] of ways) {
			const client = await w.connect();
			const { id } = client.socket;
			const [[s, at]] = await shown(r, "socket_connected", 1, s => s.id === id);
			assert.equal(s.nsp, "/");
			assert.match(at, RECENT);
			await go(client);
			const [gone] = await shown(r, "socket_disconnected", 1, (nsp, i) => i === id);
			assert.deepEqual(gone.slice(0, 3), ["/", id, reason]);
			assert.match(gone[3], RECENT);
			// The UI forgets a room when all have left it.
			const left = await shown(r, "room_left", 3, (nsp, room, i) => i === id);
			assert.deepEqual(new Set(left.map(a => a[1])),
				new Set([id, `user:${w.user.id}`, "role:admin"]));
		}
	},

	"other watchers come and go too": async w => {
		const r = await watch(w);
		const other = await watch(w);
		const { id } = other.socket;
		await shown(r, "socket_connected", 1, s => s.id === id && s.nsp === "/admin");
		other.socket.disconnect();
		await shown(r, "socket_disconnected", 1, (nsp, i) => i === id && nsp === "/admin");
	},

	"events, heard and sent": async w => {
		const r = await watch(w);
		const client = await w.watch();
		const of = name => (nsp, id, args) => nsp === "/" && id === client.socket.id &&
			args[0] === name;
		await shown(r, "event_received", 1, of("request:websites"));
		const [initial] = await shown(r, "event_sent", 1, of("websites:initial"));
		assert.deepEqual(initial[2][1], client.initial);
		client.socket.emit("no:such", { a: [1, "\u00e4\"\\"] }, null, 12345678901234567);
		const [heard] = await shown(r, "event_received", 1, of("no:such"));
		assert.deepEqual(heard[2], ["no:such", { a: [1, "\u00e4\"\\"] }, null, 12345678901234567]);
		assert.match(heard[3], RECENT);
		// Events that a held poll gets, and those that wait for the next one.
		await w.publish(50);
		await client.wait("websites:update", 50);
		const sent = await shown(r, "event_sent", 50, of("websites:update"));
		assert.deepEqual(new Set(sent.map(a => a[2][1].data.id)).size, 50);
		assert.equal(sent[0][2].length, 2);
	},

	"what goes to many at once is shown for each of them": async w => {
		const users = [w.user, await w.newUser("viewer"), await w.newUser("editor")];
		const clients = [];
		for (const user of users)
			clients.push(await w.watch({ auth: { token: user.token } }));
		const r = await watch(w);
		for (let i = 1; i <= 5; i++) {
			const row = await w.create();
			for (const client of clients) {
				const update = (await client.wait("websites:update", i)).at(-1);
				assert.deepEqual(update.data, row);
				await shown(r, "event_sent", 1, (nsp, id, args) => id === client.socket.id &&
					args[1].eventId === update.eventId);
			}
		}
		assert.deepEqual(r.reasons, []);
	},

	"of large arguments the size": async w => {
		const r = await watch(w);
		const client = await w.connect();
		client.socket.emit("no:such:\"event", "x".repeat(100000));
		const [heard] = await shown(r, "event_received");
		assert.equal(heard[2][0], "no:such:\"event");
		assert.match(heard[2][1], /^\(1000\d\d bytes\)$/);
	},

	"rooms that come with rights": async w => {
		const user = await w.newUser("viewer");
		const client = await w.connect({ auth: { token: user.token } });
		const r = await watch(w);
		await ctl("user", "grant-role", user.username, "editor");
		const [joined] = await shown(r, "room_joined");
		assert.deepEqual(joined.slice(0, 3), ["/", "role:editor", client.socket.id]);
		await ctl("user", "revoke-role", user.username, "viewer");
		const [left] = await shown(r, "room_left");
		assert.deepEqual(left.slice(0, 3), ["/", "role:viewer", client.socket.id]);
	},

	"a flood is counted, and shown in part": async w => {
		const client = await w.watch();
		const r = await watch(w);
		await shown(r, "server_stats");
		await w.publish(1500);
		await client.wait("websites:update", 1500);
		const sum = () => r.named("server_stats").flatMap(s => s.aggregatedEvents)
			.filter(e => e.type === "packetsOut").reduce((n, e) => n + e.count, 0);
		await until(() => sum() >= 1500, () => `${sum()} events`);
		assert.equal(sum(), 1500);
		const n = r.raw.filter(e => e.name === "event_sent").length;
		assert.ok(n > 100 && n < 1200, `${n} were shown`);
	},

	"nothing of another tenant's": async w => {
		const r = await watch(w, { token: await w.issue(process.env.CMDB_ADMIN_USER) });
		const mine = await watch(w);
		const client = await w.watch();
		const ids = { client: client.socket.id, mine: mine.socket.id };
		await w.publish(3);
		await client.wait("websites:update", 3);
		await mine.ask("emit", "/", null, "hello");
		await client.one("hello");
		await ask(mine, "join", "/", "room:of-another", client.socket.id);
		// Neither does the other one's command reach them.
		await ask(r, "emit", "/", client.socket.id, "not:for:you");
		await ask(r, "_disconnect", "/", true, client.socket.id);
		await ask(r, "_disconnect", "/admin", true, mine.socket.id);
		client.socket.disconnect();
		await shown(mine, "socket_disconnected");
		await shown(r, "server_stats", 2);
		// Long enough not to turn up in a random id.
		for (const text of [ids.client, ids.mine, w.user.username, "websites:", "room:of-another"])
			assert.ok(!r.bytes.includes(text), text);
		assert.equal(client.named("not:for:you").length, 0);
		assert.deepEqual(client.reasons, ["io client disconnect"]);
		assert.deepEqual(mine.reasons, []);
		assert.ok(!list(mine).some(s => s.id === r.socket.id));
	},
};

// ---- commands ----

async function ask(r, ...args) {
	assert.deepEqual(await r.ask(...args), { ok: true });
}

const commands = {
	"emit reaches all, a room, or one": async w => {
		const r = await watch(w);
		const [a, b] = [await w.connect(), await w.connect()];
		const other = await w.newUser("viewer");
		const c = await w.connect({ auth: { token: other.token } });
		const args = [{ deep: [1.50, "\u00e4\\\"", null] }, 123456789012345, [], "x,y"];
		await ask(r, "emit", "/", undefined, "to:all", ...args);
		await ask(r, "emit", "/", `user:${w.user.id}`, "to:room");
		await ask(r, "emit", "/", a.socket.id, "to:one", 1);
		for (const client of [a, b, c]) {
			await client.one("to:all");
			await client.settle();
		}
		const names = x => x.events.map(e => e.name).filter(n => n.startsWith("to:"));
		assert.deepEqual(names(a), ["to:all", "to:room", "to:one"]);
		assert.deepEqual(names(b), ["to:all", "to:room"]);
		assert.deepEqual(names(c), ["to:all"]);
		const got = a.events.find(e => e.name === "to:all");
		assert.deepEqual(got.args, args);
		assert.match(got.offset, /^\w+:\d+$/);
		// Those of /admin are not meant, but by name.
		assert.equal(r.named("to:all").length, 0);
		await ask(r, "emit", "/admin", null, "to:admins", 7);
		assert.equal(await r.one("to:admins"), 7);
	},

	"join and leave": async w => {
		const r = await watch(w);
		const [a, b] = [await w.connect(), await w.connect()];
		await ask(r, "join", "/", "den", a.socket.id);
		const [joined] = await shown(r, "room_joined");
		assert.deepEqual(joined.slice(0, 3), ["/", "den", a.socket.id]);
		assert.match(joined[3], RECENT);
		await w.toRoom("den", { n: 1 });
		assert.equal((await a.one("notes:update")).data.n, 1);
		const late = await watch(w);
		assert.ok(list(late).find(s => s.id === a.socket.id).rooms.includes("den"));
		// By room; in it twice is once.
		await ask(r, "join", "/", "den", `user:${w.user.id}`);
		await w.toRoom("den", { n: 2 });
		await a.wait("notes:update", 2);
		await b.one("notes:update");
		await ask(r, "emit", "/", "den", "to:den");
		await b.one("to:den");
		await ask(r, "leave", "/", "den");
		await shown(r, "room_left", 2, (nsp, room) => room === "den");
		await w.toRoom("den", { n: 3 });
		await w.create();
		await a.settle();
		await b.settle();
		assert.deepEqual(a.named("notes:update").map(e => e.data.n), [1, 2]);
		assert.deepEqual(b.named("notes:update").map(e => e.data.n), [2]);
	},

	"a room is kept over a recovery": async w => {
		const r = await watch(w);
		const a = await w.connect();
		await ask(r, "join", "/", "den", a.socket.id);
		a.socket.io.engine.close();
		await a.disconnected();
		await w.toRoom("den", { n: 1 });
		await a.connected(2);
		assert.equal(a.connects[1], true);
		assert.equal((await a.one("notes:update")).data.n, 1);
		await shown(r, "socket_connected", 2, s => s.id === a.socket.id);
		const [again] = (await shown(r, "socket_connected", 2, s => s.id === a.socket.id)).slice(-1);
		assert.ok(again[0].rooms.includes("den"));
	},

	"disconnect a namespace, or the connection": async w => {
		const r = await watch(w);
		const two = async () => {
			const main = await w.connect({ reconnection: false });
			const admin = main.socket.io.socket("/admin", { auth: { token: w.token } });
			w.closing.push(admin);
			await until(() => admin.connected, "both namespaces");
			return { main, admin };
		};
		const kept = await two();
		await ask(r, "_disconnect", "/", false, kept.main.socket.id);
		assert.equal(await kept.main.disconnected(), "io server disconnect");
		assert.ok(kept.admin.connected);
		const closed = await two();
		await ask(r, "_disconnect", "/", true, closed.main.socket.id);
		await closed.main.disconnected();
		await until(() => !closed.admin.connected, "the connection's end");
		assert.ok(kept.admin.connected);
	},

	"disconnect all of a room, and all": async w => {
		const r = await watch(w);
		const viewer = await w.newUser("viewer");
		const [a, b] = [await w.connect(), await w.connect({ auth: { token: viewer.token } })];
		await ask(r, "_disconnect", "/", false, "role:viewer");
		await b.disconnected();
		assert.deepEqual(a.reasons, []);
		await ask(r, "_disconnect", "/");
		await a.disconnected();
		assert.deepEqual(r.reasons, []);
	},

	"one can send oneself away": async w => {
		for (const close of [false, true]) {
			const r = await watch(w);
			await ask(r, "_disconnect", "/admin", close, r.socket.id);
			assert.equal(await r.disconnected(), "io server disconnect");
		}
		await watch(w);
	},

	"every command is in the audit log": async w => {
		const user = await withPassword(w, await roleWith(w, "ws:admin"));
		const r = await watch(w, user.auth);
		await ask(r, "emit", "/", "den", "hello", "secret");
		await ask(r, "emit", "/admin", null, "hello");
		await ask(r, "join", "/", "den", "x");
		await ask(r, "leave", "/", "den");
		await ask(r, "_disconnect", "/", true, "x");
		const rows = [["emit", "nsp=/ to=den event=hello"], ["emit", "nsp=/admin to=* event=hello"],
			["join", "nsp=/ to=x room=den"], ["leave", "nsp=/ to=* room=den"],
			["disconnect", "nsp=/ to=x close=true"]];
		assert.deepEqual(await w.audits("socketio.%"), rows.map(([action, target]) =>
			[`user:${user.username}`, `socketio.${action}`, target, "1", "1"]));
	},

	"what is no command is refused": async w => {
		const r = await watch(w);
		const a = await w.connect();
		const long = "x".repeat(129);
		for (const args of [["emit"], ["emit", "/"], ["emit", "/", null], ["emit", "/", null, ""],
			["emit", "/", null, "connect"], ["emit", "/", null, "disconnect"], ["emit", "/", null, 7],
			["emit", "/", null, long], ["emit", "/", long, "x"], ["emit", "/", 7, "x"],
			["emit", "/nope", null, "x"], ["emit", null, null, "x"],
			["emit", "/", null, "x", Buffer.from([1])],
			["join", "/"], ["join", "/", ""], ["join", "/", long], ["join", "/admin", "x"],
			["join", "/", {}], ["leave", "/", null], ["leave", "/", "x", long],
			["_disconnect"], ["_disconnect", "/nope", true], ["_disconnect", "/", "yes"],
			["_disconnect", "/", true, {}]]) {
			const answer = await r.ask(...args);
			assert.equal(answer.error?.code, "bad_arguments", JSON.stringify([args, answer]));
		}
		assert.equal((await r.ask("no:such")).error.code, "unknown_event");
		// Without an acknowledgement an event says so.
		r.socket.emit("join", "/", "");
		assert.equal((await r.one("error")).code, "bad_arguments");
		await a.settle();
		assert.deepEqual(a.reasons, []);
		assert.deepEqual(await w.audits("socketio.%"), []);
	},

	"others have no such commands": async w => {
		const a = await w.connect();
		for (const name of ["emit", "join", "leave", "_disconnect"])
			assert.equal((await a.ask(name, "/", false)).error.code, "unknown_event");
	},
};

suite(cases({ clients: ["newest, defaults"], tests: { ...logins, ...views, ...commands } }));
