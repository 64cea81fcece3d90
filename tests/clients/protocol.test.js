"use strict";
// What every Socket.IO client takes for granted: acks, binary, namespaces, coming and going.

const { assert, cases, sql, suite, until, NEWEST } = require("./support");

suite([...cases({
	tests: {
		"an unknown event with an ack is told so": async w => {
			const r = await w.connect();
			const answer = await r.ask("no:such", 1, { two: [3] });
			assert.deepEqual(answer, { error: { code: "unknown_event" } });
		},

		"an unknown event without one is ignored": async w => {
			const r = await w.connect();
			r.socket.emit("no:such", { a: 1 });
			r.socket.emit("no:such");
			await r.settle();
			assert.deepEqual(r.events.map(e => e.name), ["connected"]);
			assert.deepEqual(r.reasons, []);
		},

		"each of many acks at once comes to its own": async w => {
			const r = await w.connect();
			const answers = await Promise.all(Array.from({ length: 60 }, () => r.ask("no:such")));
			assert.ok(answers.every(a => a.error.code === "unknown_event"));
		},

		"an event with binary arguments is understood": async w => {
			const r = await w.connect();
			const bytes = Buffer.from([0, 1, 2, 254, 255, 30, 0]);
			const answer = await r.ask("no:such", bytes, { deep: [new Uint8Array(70000), "x"] });
			assert.equal(answer.error.code, "unknown_event");
		},

		"bad arguments are told in the ack": async w => {
			const r = await w.connect();
			for (const bad of [7, "x", [], { lastEventId: -1 }, { lastEventId: "x" }]) {
				const answer = await r.ask("request:websites", bad);
				assert.ok(answer.error && answer.error.code, JSON.stringify([bad, answer]));
			}
			await r.settle();
			assert.deepEqual(r.named("websites:initial"), []);
		},

		"bad arguments without an ack are told by the event error": async w => {
			const r = await w.connect();
			r.socket.emit("request:websites", { lastEventId: -1 });
			const error = await r.one("error");
			assert.deepEqual(Object.keys(error).sort(), ["code", "message"]);
			assert.deepEqual(r.reasons, []);
		},

		"what JavaScript can say and we cannot read is that event's affair": async w => {
			const deep = JSON.parse("[".repeat(40) + "]".repeat(40));
			const r = await w.connect();
			for (const odd of [1e20, -1e20, 2 ** 63, "\ud83d", "\ude00 x", "\0", { "\0": 1 }, deep]) {
				const answer = await r.ask("request:websites", odd);
				assert.equal(answer.error?.code, "bad_arguments", JSON.stringify([odd, answer]));
				assert.equal((await r.ask("x", odd)).error.code, "bad_arguments");
			}
			r.socket.emit("x", 1e20);
			r.socket.emit("\ud83d");
			for (const error of await r.wait("error", 2))
				assert.equal(error.code, "bad_arguments");
			// these are nothing odd
			for (const fine of [1e21, 1e300, Infinity, NaN, -0, undefined, "x".repeat(300000)])
				assert.equal((await r.ask("x", fine)).error.code, "unknown_event");
			assert.deepEqual(r.reasons, []);
			assert.equal(r.connects.length, 1);
		},

		"no row that SQL can make harms a client, or what comes behind it": async w => {
			const r = await w.watch();
			const hostile = ["connect", "connect_error", "disconnect", "disconnecting",
				"newListener", "removeListener", "a\u001e4"];
			const row = (name, payload) => sql(`SET check_constraint_checks = 0;
				INSERT INTO ws_events (topic, event_type, payload, name, tenant_id)
				SELECT 'websites', 'update', FROM_BASE64('${Buffer.from(payload).toString("base64")}'),
				FROM_BASE64('${Buffer.from(name).toString("base64")}'), id
				FROM tenants WHERE name = '${w.name}'`);
			for (const [i, name] of hostile.entries()) {
				await row(name, `{"n":${i}}`);
				await row("tick", `${i}`);
			}
			for (const payload of ['{"a":"\\ud800"}', "1e999", '{"a":1,"a":2}', '"\u001e"', "{", "",
				"[".repeat(3000) + "]".repeat(3000)])
				await row("odd", payload);
			assert.equal((await r.wait("odd", 7)).length, 7);
			assert.deepEqual(r.named("tick"), hostile.map((_, i) => i));
			assert.deepEqual(r.named("event"), hostile.map((name, n) => ({ name, data: { n } })));
			assert.deepEqual([r.reasons, r.connects.length], [[], 1]);
		},

		"an event may have a number for a name": async w => {
			const r = await w.connect();
			assert.deepEqual(await r.ask(1, 2), { error: { code: "unknown_event" } });
			r.socket.emit(1, 2);
			await r.settle();
			assert.deepEqual(r.reasons, []);
		},

		"an auth payload that cannot be read is refused, and the next one taken": async w => {
			const bad = [{ token: "\0" }, { token: w.token, n: 1e20 }, { token: "\ud83d" }];
			const r = w.open({ auth: answer => answer(bad.shift() || { token: w.token }) });
			for (let n = 1; n <= 3; n++) {
				await until(() => r.errors.length === n, () => `${n} errors: ${r}`);
				assert.equal(r.errors[n - 1].message, "Invalid auth payload");
				assert.deepEqual(r.errors[n - 1].data, { code: 400 });
				r.socket.connect();
			}
			await r.connected();
		},

		"30000 events in one go end no session": async w => {
			const r = await w.connect();
			for (let i = 0; i < 30000; i++)
				r.socket.emit("x");
			assert.equal((await r.one("error")).code, "rate_limited");
			assert.deepEqual(r.reasons, []);
		},

		"text beyond ASCII arrives as it was written": async w => {
			const r = await w.connect();
			r.socket.emit("request:line-groups");
			await r.one("line-groups:initial");
			const name = "N\u00f6rd \u20ac \u{1f600} \"\\\u2028";
			await w.rest("POST", "/api/v1/line-groups/create", { name: "x", description: name });
			assert.equal((await r.one("line-groups:update")).data.description, name);
		},

		"an unknown namespace is refused": async w => {
			const r = w.open({}, "/nope");
			assert.equal((await r.refused()).message, "Invalid namespace");
		},

		"a refused namespace leaves the others of its connection alone": async w => {
			const r = await w.connect();
			const { socket } = r;
			const other = socket.io.socket("/nope", { auth: { token: w.token } });
			w.closing.push(other);
			let error = null;
			other.on("connect_error", e => { error = e; });
			other.connect();
			await until(() => error, "the refusal");
			assert.equal(error.message, "Invalid namespace");
			await r.settle();
			assert.deepEqual(r.reasons, []);
		},

		"a socket that disconnects can connect again": async w => {
			const r = await w.watch();
			r.socket.disconnect();
			assert.equal(await r.disconnected(), "io client disconnect");
			r.socket.connect();
			await r.connected(2);
			r.socket.emit("request:websites");
			await r.wait("websites:initial", 2);
			await w.create();
			await r.one("websites:update");
		},

		"what was emitted while offline is sent on return": async w => {
			const r = await w.connect();
			r.socket.io.engine.close();
			await r.disconnected();
			const answer = r.ask("no:such");
			assert.equal((await answer).error.code, "unknown_event");
		},

		"a body over the limit ends the connection, and a new one works": async w => {
			const r = await w.connect();
			r.socket.emit("no:such", "x".repeat(1100000));
			await r.disconnected();
			await r.connected(2);
			await r.settle();
		},

		"the connection stays on polling": async w => {
			const r = await w.connect();
			await r.settle();
			await r.settle();
			assert.equal(r.socket.io.engine.transport.name, "polling");
			assert.deepEqual(r.reasons, []);
		},
	},
}), ...cases({
	clients: NEWEST, // those that know of maxPayload
	tests: {
		"attachments that are too large for us are that event's affair": async w => {
			const r = await w.connect();
			const half = Buffer.alloc(400000);
			const answer = await r.ask("x", half, half, half);
			assert.equal(answer.error.code, "bad_arguments");
			assert.equal((await r.ask("x", half, half)).error.code, "unknown_event");
			assert.deepEqual(r.reasons, []);
		},
	},
})]);
