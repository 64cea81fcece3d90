"use strict";
/*
 * Many stock clients that each subscribe to logs with a filter of their own, while devices log and
 * somebody kills what serves it. A client notes what it is sent, in order.
 *
 *   node log_storm.js     CMDB_URL and CMDB_STORM {"tokens": [..], "filters": [..]} in the environment
 *
 * Says `ready` when all are subscribed. Then reads one line, the first id of the lines that end it:
 * one of them is for each client, and it is sent that, or told that it is left out. Prints of each
 * client what came, a line of JSON: {"trouble": [..], "got": [id or {"count","from","to"}, ..]}.
 */
const { once } = require("node:events");
const readline = require("node:readline");
const { io } = require("socket.io-client");

const PATIENCE_MS = 60000 * Number(process.env.CMDB_TEST_SLOWER || 1);
const CONNECTING = 50; // at once

const { tokens, filters } = JSON.parse(process.env.CMDB_STORM);
const sleep = ms => new Promise(done => setTimeout(done, ms));

class Client {
	constructor(number) {
		this.filter = filters[number];
		this.got = [];
		this.newest = 0;   // line that it was told of
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
		this.socket.on("log:new", line => this.add([line.id], line.id));
		this.socket.on("log:batch", ({ logs, count }) => {
			if (count !== logs.length || count > 50)
				this.trouble.push(`a batch of ${count}, with ${logs.length}`);
			this.add(logs.map(line => line.id), logs.at(-1).id);
		});
		this.socket.on("log:dropped", ({ count, from, to }) => this.add([{ count, from, to }], to));
	}

	add(what, newest) {
		this.got.push(...what);
		this.newest = Math.max(this.newest, newest);
	}

	ask(...args) {
		return new Promise(done => this.socket.emit(...args, done));
	}

	async start() {
		await new Promise(done => this.socket.once("connect", done));
		await this.ask("log:subscribe", this.filter);
	}

	report(end) {
		if (this.newest < end)
			this.trouble.push(`did not come to the end: ${this.newest} of ${end}`);
		return JSON.stringify({ trouble: this.trouble, got: this.got });
	}
}

async function main() {
	const clients = Array.from({ length: filters.length });
	const input = readline.createInterface({ input: process.stdin });

	for (let i = 0; i < clients.length; i += CONNECTING)
		await Promise.all(clients.slice(i, i + CONNECTING).map((_, n) => {
			clients[i + n] = new Client(i + n);
			return clients[i + n].start();
		}));
	console.log("ready");
	const end = Number((await once(input, "line"))[0]), late = Date.now() + PATIENCE_MS;

	while (!clients.every(c => c.newest >= end) && Date.now() < late)
		await sleep(50);
	const said = clients.map(c => c.report(end) + "\n").join("");
	process.stdout.write(said, () => process.exit(0));
}

main();
