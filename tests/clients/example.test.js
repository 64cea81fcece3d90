"use strict";
/* The client in docs/socketio.md, section 1, as it stands there: its copy is what the database has,
 * whatever comes in between. */
const fs = require("node:fs");
const path = require("node:path");

const {assert, cases, suite, until} = require("./support");

const DOCS = path.join(__dirname, "../../docs/socketio.md");

// The indented block under "## 1. A client".
function example()
{
	const section = fs.readFileSync(DOCS, "utf8").split("## 1. A client")[1].split("\n## ")[0];
	return section.split("\n").filter(line => /^ {4}/.test(line)).join("\n");
}

/* Runs it. Its io() gives `socket`; what it keeps is looked at through get(). */
function run(socket, token = "")
{
	const body =
		`${example()}\nreturn { get rows() { return rows; }, get since() { return since; },` +
		" get epoch() { return epoch; }, get isWhole() { return isWhole; } };";
	return new Function("io", "currentAccessToken", body)((url, options) => {
		socket.auth = options.auth;
		return socket;
	}, () => token);
}

/* A socket as the client library's, on which the test says what comes. */
class Puppet
{
	constructor()
	{
		this.handlers = {};
		this.asked = [];
		this.connected = true;
		this.recovered = false;
	}

	on(name, f)
	{
		this.handlers[name] = f;
	}

	emit(name, arg, ack)
	{
		this.asked.push({name, arg : {...arg}, ack});
	}

	comes(name, ...args)
	{
		this.handlers[name]?.(...args);
	}

	connect(recovered = false)
	{
		this.recovered = recovered;
		this.comes("connect");
		return this.asked.at(-1);
	}
}

const row = (id, v) => ({id, v});
const update = (p, eventId, data, type = "update") =>
	p.comes("websites:update", {eventId, type, data}, `e:${eventId}`);
const list = (p, lastEventId, ...items) =>
	p.comes("websites:initial", {items, lastEventId, total : items.length}, `e:${lastEventId}`);

function started()
{
	const p = new Puppet(), copy = run(p), first = p.connect();
	assert.deepEqual(first.arg, {lastEventId : 0, epoch : undefined});
	list(p, 10, row(1, "a"), row(2, "a"));
	first.ack({ok : true, lastEventId : 10});
	return {p, copy};
}

const told = {
	"the first list" : async () => {
		const {p, copy} = started();
		update(p, 11, row(1, "b"));
		assert.deepEqual([...copy.rows.values() ], [ row(1, "b"), row(2, "a") ]);
		assert.equal(copy.since, 11);
	},

	"an update before the first list is no place to go on from" : async () => {
		const p = new Puppet(), copy = run(p);
		p.connect();
		update(p, 11, row(1, "b"));
		assert.equal(copy.since, 0);
		const again = p.connect(); // the connection was lost before the list came
		assert.equal(again.arg.lastEventId, 0);
	},

	"an update before what was missed" : async () => {
		const {p, copy} = started(), ask = p.connect();
		assert.deepEqual(ask.arg, {lastEventId : 10, epoch : "e"});
		update(p, 15, row(1, "new"));
		update(p, 11, row(1, "old"));
		// Lost in the middle: 12 to 14 have not come.
		assert.equal(p.connect().arg.lastEventId, 10);
		update(p, 11, row(1, "old"));
		update(p, 15, row(1, "new"));
		p.asked.at(-1).ack({ok : true, lastEventId : 15});
		assert.equal(copy.since, 15);
		assert.deepEqual(copy.rows.get(1), row(1, "new"));
	},

	"a list older than the copy" : async () => {
		const {p, copy} = started();
		update(p, 20, row(1, "b"));
		p.connect();
		list(p, 15, row(1, "a"), row(2, "a"));
		assert.equal(copy.since, 15);
		update(p, 20, row(1, "b"));
		assert.equal(copy.since, 20);
		assert.deepEqual(copy.rows.get(1), row(1, "b"));
	},

	"recovered in the middle of an answer" : async () => {
		const {p} = started(), n = p.asked.length;
		p.connect(true);
		assert.equal(p.asked.length, n, "what is whole is not asked for");
		p.connect();
		p.connect(true); // the acknowledgement is lost
		assert.equal(p.asked.length, n + 2);
	},

	"refused for now" : async () => {
		const {p, copy} = started(), ask = p.connect();
		ask.ack({error : {code : "unavailable"}});
		await until(() => p.asked.length > 2, "it asks again");
		p.asked.at(-1).ack({ok : true, lastEventId : 30});
		assert.equal(copy.since, 30);
	},

	"not let in for now" : async () => {
		const p = new Puppet();
		run(p);
		p.comes("connect_error", new Error("xhr poll error")); // the library comes again
		p.comes("connect_error", Object.assign(new Error(), {data : {code : 401}}));
		p.comes("connect_error", Object.assign(new Error(), {data : {code : 503, retry_after : 0.1}}));
		await until(() => p.asked.length === 1, "it comes again, once");
	},
};

/* The live list of a real client, which loses its connection again and again while somebody changes
 * things. */
const live = {
	"keeps its copy" : async w => {
		const r = w.open({autoConnect : false}), copy = run(r.socket, w.token);
		const first = await w.create();
		r.socket.connect();
		await until(() => copy.isWhole, "the list");
		assert.deepEqual(copy.rows.get(first.id), first);
		for (let i = 0; i < 5; i++) {
			r.socket.io.engine.close(); // recovered, or not: an old client never is
			await w.update(first.id, {https_enabled : i % 2 === 0});
			if (i === 2)
				r.socket.disconnect().connect();
			const made = await w.create();
			await until(() => copy.rows.has(made.id), "the new row");
		}
		await w.delete(first.id);
		await until(() => !copy.rows.has(first.id), "it is gone");
		const {items} = await w.rest("GET", "/api/v1/websites?page_size=200&sort=id");
		await until(() => copy.rows.size === items.length, "as many rows");
		assert.deepEqual([...copy.rows.values() ].sort((a, b) => a.id - b.id), items);
		assert.ok(copy.isWhole);
	},
};

/* No live event comes before the list, however many there are: `busy` has some written all the
 * time.
 */
const first = {
	"events follow the list" : async w => {
		let isOver = false;
		const busy = (async () => {
			while (!isOver)
				await w.publish(3);
		})();
		try {
			for (let i = 0; i < 10; i++) {
				const r = await w.watch();
				await r.wait("websites:update", 5);
				const names = r.events.map(e => e.name)
						      .filter(n => n.startsWith("websites:"));
				assert.equal(names[0], "websites:initial", String(r));
				assert.equal(names.filter(n => n === "websites:initial").length, 1);
				const ids = r.updates().map(u => u.eventId);
				assert.deepEqual(ids, [...ids ].sort((a, b) => a - b), "in order");
				assert.ok(ids[0] > r.initial.lastEventId);
				r.socket.disconnect();
			}
		} finally {
			isOver = true;
			await busy;
		}
	},

	"one that asks for nothing gets events" : async w => {
		const r = await w.connect();
		await w.publish(3);
		await r.wait("websites:update", 3);
	},
};

suite([
	...cases({tests : told, clients : [ "newest, defaults" ], isBare : true}),
	...cases({tests : {...live, ...first}}),
]);
