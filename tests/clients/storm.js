"use strict";
/*
 * Many stock clients that each keep a copy of the website list, while somebody changes it and kills
 * what serves it. A client's copy is what `websites:initial` and `websites:update` made of it, and
 * it notes every event id it was given.
 *
 *   node storm.js CLIENTS     CMDB_URL and CMDB_STORM_TOKENS (JSON list) in the environment
 *
 * Says `ready` when all have their list. Then reads one line of JSON {"ids": [..], "rows": [..]}:
 * the ids of all events of the topic and the rows as the database has them; waits until each client
 * has had the last event, and prints what is wrong, as JSON {"clients", "events", "problems": [..]}.
 */
const { isDeepStrictEqual } = require("node:util");
const readline = require("node:readline");
const { io } = require("socket.io-client");

const SLOWER = Number(process.env.CMDB_TEST_SLOWER || 1);
const PATIENCE_MS = 60000 * SLOWER;
const CONNECTING = 50; // at once

const tokens = JSON.parse(process.env.CMDB_STORM_TOKENS);
const sleep = ms => new Promise(done => setTimeout(done, ms));

class Client {
	constructor(number) {
		this.number = number;
		this.rows = new Map();
		this.ids = [];
		this.since = null; // the event that the list is as of
		this.trouble = []; // what no client may see
		this.socket = io(process.env.CMDB_URL, {
			transports: ["polling"],
			forceNew: true,
			auth: { token: tokens[number % tokens.length] },
		});
		const note = what => detail => this.trouble.push(`${what} (${detail?.message ?? detail})`);
		this.socket.on("disconnect", note("disconnect"));
		this.socket.on("connect_error", note("connect_error"));
		this.socket.on("error", e => this.trouble.push(`error event ${JSON.stringify(e)}`));
		this.socket.io.on("reconnect_attempt", note("reconnect_attempt"));
		this.socket.on("websites:initial", list => this.onInitial(list));
		this.socket.on("websites:update", event => this.onUpdate(event));
	}

	async start() {
		await new Promise(done => this.socket.once("connect", done));
		this.socket.emit("request:websites", {});
		while (this.since === null)
			await sleep(20);
	}

	onInitial(list) {
		this.rows = new Map(list.items.map(row => [row.id, row]));
		if (this.since !== null)
			this.trouble.push("a second list");
		this.since = list.lastEventId;
	}

	onUpdate({ eventId, type, data }) {
		// What came before the list is in it.
		if (this.since === null)
			return;
		this.ids.push(eventId);
		if (type === "delete")
			this.rows.delete(data.id);
		else
			this.rows.set(data.id, data);
	}

	has(id) {
		return this.since >= id || this.ids[this.ids.length - 1] >= id;
	}

	problems(ids, rows) {
		const wanted = ids.filter(id => id > this.since), found = [...this.trouble];
		const got = new Set(this.ids);
		const missed = wanted.filter(id => !got.has(id));

		for (let i = 1; i < this.ids.length; i++)
			if (this.ids[i] <= this.ids[i - 1])
				found.push(`event ${this.ids[i]} after ${this.ids[i - 1]}`);
		if (missed.length)
			found.push(`missed ${missed.length} events: ${missed.slice(0, 5)}`);
		if (got.size > wanted.length)
			found.push(`events that are not in the log`);
		if (this.rows.size !== rows.size)
			found.push(`has ${this.rows.size} rows, the database ${rows.size}`);
		for (const [id, row] of rows) {
			if (isDeepStrictEqual(this.rows.get(id), row))
				continue;
			found.push(`row ${id}: ${JSON.stringify(this.rows.get(id))} for ${JSON.stringify(row)}`);
			break;
		}
		return found.map(problem => `client ${this.number}: ${problem}`);
	}
}

async function main() {
	const clients = Array.from({ length: Number(process.argv[2]) });
	const input = readline.createInterface({ input: process.stdin });

	for (let i = 0; i < clients.length; i += CONNECTING)
		await Promise.all(clients.slice(i, i + CONNECTING).map((_, n) => {
			clients[i + n] = new Client(i + n);
			return clients[i + n].start();
		}));
	console.log("ready");
	const [line] = await require("node:events").once(input, "line");
	const { ids, rows } = JSON.parse(line);
	const last = ids[ids.length - 1], end = Date.now() + PATIENCE_MS;

	while (!clients.every(c => c.has(last)) && Date.now() < end)
		await sleep(50);
	const map = new Map(rows.map(row => [row.id, row]));
	const problems = clients.flatMap(c => c.problems(ids, map));
	console.log(JSON.stringify({
		clients: clients.length,
		events: clients.reduce((n, c) => n + c.ids.length, 0),
		problems: problems.slice(0, 50),
	}));
	process.exit(0);
}

main();
