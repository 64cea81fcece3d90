"use strict";
// What every Socket.IO client takes for granted: acks, binary, namespaces, coming and going.

const { assert, cases, suite, until } = require("./support");

suite(cases({
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
}));
