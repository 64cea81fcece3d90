"use strict";
// What users' scripts do with whatever client their project has, the oldest, a middle and the newest:
// the values that JavaScript makes, several sockets, large packets, coming and going in one tick.

const { assert, cases, suite, until, ONE_EACH } = require("./support");

const deep = JSON.parse("[".repeat(60) + "]".repeat(60));

// Each is an argument that a script may come by.
const VALUES = {
	"1e20": 1e20,
	"-1e308": -1e308,
	"the smallest": 5e-324,
	"beyond 2^53": 12345678901234567890,
	"minus zero": -0,
	"NaN": NaN,
	"Infinity": Infinity,
	"undefined": undefined,
	"null": null,
	"a Date": new Date(0),
	"a Map": new Map([[1, 2]]),
	"half an emoji": "\ud83d",
	"half an emoji as a key": { "\ud83d": 1 },
	"NUL": "a\0b",
	"a line separator": "\u2028",
	"a byte order mark": "\ufeff",
	"deep nesting": deep,
	"__proto__": JSON.parse("{\"__proto__\":1}"),
	"a Buffer": Buffer.from([0, 30, 255]),
	"an empty Buffer": Buffer.alloc(0),
	"nested binary": { a: [{ b: Buffer.alloc(10) }, new Uint8Array(3).buffer], c: "x" },
	"what looks like a placeholder": { _placeholder: true, num: 9 },
};

// It is the session of before, and answers.
async function isWell(r) {
	assert.equal((await r.ask("no:such:event")).error.code, "unknown_event");
	assert.equal(r.connects.length, 1, r.toString());
	assert.deepEqual(r.reasons, []);
}

const oneValue = value => async w => {
	const r = await w.connect();
	assert.ok((await r.ask("no:such", value)).error.code);
	r.socket.emit("no:such", value);
	r.socket.emit("request:websites", value);
	const answer = await r.ask("request:websites", { lastEventId: value });
	assert.ok(answer.ok || answer.error.code, JSON.stringify(answer));
	await isWell(r);
};

const tests = {
	"what JSON cannot hold is the script's own error": async w => {
		const r = await w.connect();
		assert.throws(() => r.socket.emit("no:such", 10n), TypeError);
		await isWell(r);
	},

	"odd texts as names of events": async w => {
		const r = await w.connect();
		for (const name of ["", "a b", "\u{1f600}", "x".repeat(300), "__proto__"])
			r.socket.emit(name, 1);
		await isWell(r);
	},

	"two sockets of one user hear the same": async w => {
		const [a, b] = [await w.watch(), await w.watch()];
		const row = await w.create();
		for (const r of [a, b])
			assert.deepEqual((await r.one("websites:update")).data, row);
		a.socket.disconnect();
		await w.update(row.id, { status: "inactive" });
		await b.wait("websites:update", 2);
		await isWell(b);
	},

	"two sockets over one connection, one after the other": async w => {
		const r = await w.watch();
		r.socket.disconnect();
		await r.disconnected();
		const again = await w.watch();
		await w.create();
		await again.one("websites:update");
		await isWell(again);
		assert.deepEqual(r.updates(), []);
	},

	"packets just under maxPayload": async w => {
		const r = await w.connect();
		for (const text of ["x".repeat(999900), "\u00fc".repeat(499900)])
			assert.equal((await r.ask("no:such", text)).error.code, "unknown_event");
		assert.equal((await r.ask("no:such", Buffer.alloc(740000))).error.code, "unknown_event");
		await isWell(r);
	},

	"150 questions at once": async w => {
		const r = await w.connect();
		const answers = await Promise.all(Array.from({ length: 150 }, (_, i) => r.ask("no:such", i)));
		assert.ok(answers.every(a => a.error.code === "unknown_event"));
		await isWell(r);
	},

	"gone and back in one tick": async w => {
		const r = await w.watch();
		r.socket.disconnect();
		r.socket.connect();
		await r.connected(2);
		r.socket.emit("request:websites");
		await r.wait("websites:initial", 2);
		const row = await w.create();
		assert.deepEqual((await r.one("websites:update")).data, row);
		assert.equal(r.reasons[0], "io client disconnect");
		assert.deepEqual(r.errors, []);
	},

	"gone and back three times in one tick": async w => {
		const r = await w.connect();
		for (let i = 0; i < 3; i++) {
			r.socket.disconnect();
			r.socket.connect();
		}
		await until(() => r.socket.connected, () => `connected: ${r}`);
		await r.settle();
		assert.deepEqual(r.errors, []);
	},

	"asked at once, before it is connected": async w => {
		const r = w.open();
		r.socket.emit("request:websites");
		await r.one("websites:initial");
		await isWell(r);
	},
};

for (const [name, value] of Object.entries(VALUES))
	tests[`an argument is ${name}`] = oneValue(value);

suite(cases({ clients: ONE_EACH, tests }));
