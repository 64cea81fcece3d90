"use strict";
// Packets of all kinds there and back, with the application for test suites (conformance.app =
// echo-socketio): it sends back what it gets, acknowledges what it is asked to, and greets with the
// auth payload. Its heartbeat is a fast one.

const { assert, cases, suite, sleep, SLOWER } = require("./support");

const VALUES = [
	[],
	[null, true, 0, -1.5, "", "\u00e4\u20ac\u{1f600}\u2028\u0001\"\\"],
	[{ a: [1, { b: null }], "": {} }, [[[]]]],
	["x".repeat(200000)],
];
const BYTES = [
	[Buffer.from([])],
	[Buffer.from([0, 30, 255, 98, 10])],
	["before", { deep: [Buffer.from([1]), { deeper: Buffer.from([2, 3]) }] }, Buffer.from([4])],
	[Buffer.alloc(150000, 30)],
];

// Bytes come back as a Buffer, whatever the client makes of them.
const plain = x =>
	x instanceof ArrayBuffer ? Buffer.from(x) :
	ArrayBuffer.isView(x) ? Buffer.from(x.buffer, x.byteOffset, x.byteLength) :
	Array.isArray(x) ? x.map(plain) :
	x && typeof x === "object" ?
		Object.fromEntries(Object.entries(x).map(([k, v]) => [k, plain(v)])) : x;

const backs = r => r.events.filter(e => e.name === "message-back");

async function echoes(w, values) {
	const r = await w.open({ auth: {} }).connected();
	for (const [i, args] of values.entries()) {
		r.socket.emit("message", ...args);
		await r.wait("message-back", i + 1);
	}
	assert.deepEqual(r.raw.filter(e => e.name === "message-back").map(e => plain(e.args)), values);
}

async function acknowledges(w, values) {
	const r = await w.open({ auth: {} }).connected();
	for (const args of values) {
		const answer = await new Promise(done =>
			r.socket.emit("message-with-ack", ...args, (...back) => done(back)));
		assert.deepEqual(plain(answer), args);
	}
}

suite(cases({
	isBare: true,
	tests: {
		"messages come back as they were": w => echoes(w, VALUES),
		"binary messages come back as they were": w => echoes(w, BYTES),
		"acks carry what they were asked for": w => acknowledges(w, VALUES),
		"acks carry binary": w => acknowledges(w, BYTES),

		"the auth payload arrives": async w => {
			const auth = { token: "x", "\u00e4": [1, { two: 2 }] };
			const r = await w.open({ auth }).connected();
			assert.deepEqual((await r.one("auth")), auth);
		},

		"another namespace is one of its own": async w => {
			const r = await w.open({ auth: { a: 1 } }, "/custom").connected();
			assert.deepEqual(await r.one("auth"), { a: 1 });
			r.socket.emit("message", 1, "2", Buffer.from([3]));
			await r.one("message-back");
			assert.deepEqual(plain(backs(r)[0].args[0]), 1);
			const refused = w.open({ auth: {} }, "/random");
			assert.equal((await refused.refused()).message, "Invalid namespace");
		},

		"many messages at once come back in order": async w => {
			const r = await w.open({ auth: {} }).connected();
			for (let i = 0; i < 150; i++)
				r.socket.emit("message", i);
			assert.deepEqual(await r.wait("message-back", 150), [...Array(150).keys()]);
		},

		"a client that says nothing stays, by its pongs": async w => {
			const r = await w.open({ auth: {} }).connected();
			let pings = 0;
			r.socket.io.engine.on("packet", packet => { pings += packet.type === "ping"; });
			await sleep(6500 * SLOWER);
			assert.ok(pings >= 2, `${pings} pings`);
			assert.deepEqual(r.reasons, []);
		},
	},
}));
