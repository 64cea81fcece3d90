"use strict";
/*
 * What the Node tests stand on. A test is a function of a World: a tenant and a user of its own on
 * the stack that CMDB_URL and the rest of the environment name (as in stack.env), a kind of client,
 * and helpers that wait for a state. Sockets that a World made are closed after its test.
 *
 * A test file gives cases() a table of name -> test. `node FILE --list` prints the names, as JSON;
 * with CMDB_CASES, a JSON list of names, only these are run.
 */
const { describe, it } = require("node:test");
const { execFile, spawn } = require("node:child_process");
const { once } = require("node:events");
const { promisify } = require("node:util");
const assert = require("node:assert/strict");

const SLOWER = Number(process.env.CMDB_TEST_SLOWER || 1);
const PATIENCE_MS = 10000 * SLOWER;
const AT_ONCE = 12; // tests that run side by side: most of the time they wait

const run = promisify(execFile);
let serial = 0;

// ---- clients ----

// What a client is made with. 4.0 knows nothing of connection state recovery. 3.1, the first for
// Engine.IO 4, is asked for by name.
const CLIENTS = {
	"3.1, polling": { module: "socket.io-client-31", options: { transports: ["polling"] } },
	"newest, defaults": { module: "socket.io-client", options: {} },
	"newest, polling": { module: "socket.io-client", options: { transports: ["polling"] } },
	"4.0, defaults": { module: "socket.io-client-40", options: {} },
	"4.0, polling": { module: "socket.io-client-40", options: { transports: ["polling"] } },
};
const NEWEST = ["newest, defaults", "newest, polling"];
const USUAL = [...NEWEST, "4.0, defaults", "4.0, polling"];
const ONE_EACH = ["3.1, polling", "4.0, polling", "newest, polling"];

// ---- waiting ----

async function until(predicate, what, ms = PATIENCE_MS) {
	const end = Date.now() + ms;
	for (;;) {
		const value = await predicate();
		if (value)
			return value;
		if (Date.now() >= end)
			throw new Error(`not within ${ms} ms: ${typeof what === "function" ? what() : what}`);
		await new Promise(done => setTimeout(done, 10));
	}
}

const sleep = ms => new Promise(done => setTimeout(done, ms));

/* A socket and all that came to it, in order: {name, args, offset}. `offset` is the last argument
 * of a server's event, which recovery goes by. */
class Recorder {
	constructor(socket) {
		this.socket = socket;
		this.events = [];
		this.raw = [];       // the same, with the arguments as they came
		this.connects = [];  // one a connect: was it recovered?
		this.errors = [];    // connect_error
		this.reasons = [];   // disconnect
		socket.onAny((name, ...args) => {
			this.raw.push({ name, args });
			if (typeof args.at(-1) === "function")
				args = args.slice(0, -1); // what acknowledges it
			const offset = typeof args.at(-1) === "string" ? args.at(-1) : null;
			this.events.push({ name, args: offset === null ? args : args.slice(0, -1), offset });
		});
		socket.on("connect", () => this.connects.push(!!socket.recovered));
		socket.on("connect_error", e => this.errors.push(e));
		socket.on("disconnect", reason => this.reasons.push(reason));
	}

	named(name) {
		return this.events.filter(e => e.name === name).map(e => e.args[0]);
	}

	// The first n arguments of events of that name, when there are so many.
	async wait(name, n = 1) {
		await until(() => this.named(name).length >= n, () => `${n} ${name}: ${this}`);
		return this.named(name).slice(0, n);
	}

	async one(name) {
		return (await this.wait(name))[0];
	}

	updates(topic = "websites") {
		return this.named(`${topic}:update`);
	}

	async connected(n = 1) {
		await until(() => this.connects.length >= n, () => `${n} connects: ${this}`);
		return this;
	}

	async disconnected(n = 1) {
		await until(() => this.reasons.length >= n, () => `${n} disconnects: ${this}`);
		return this.reasons[n - 1];
	}

	async refused() {
		await until(() => this.errors.length, () => `a connect_error: ${this}`);
		return this.errors[0];
	}

	ask(name, ...args) {
		return new Promise((done, fail) => {
			const late = () => fail(new Error(`no ack of ${name}: ${this}`));
			const timer = setTimeout(late, PATIENCE_MS);
			this.socket.emit(name, ...args, (...answer) => {
				clearTimeout(timer);
				done(answer[0]);
			});
		});
	}

	/* A marker through the server and back: what was sent to the client before it has come. */
	async settle() {
		await this.ask("no:such:event");
	}

	toString() {
		return JSON.stringify({
			events: this.events.map(e => [e.name, e.offset]).slice(-20),
			connects: this.connects,
			errors: this.errors.map(e => e.message).slice(-5),
			reasons: this.reasons,
		});
	}
}

// ---- the database and cmdbctl ----

async function sql(text) {
	const child = spawn("mariadb", ["--no-defaults", "--socket", process.env.CMDB_DB_SOCKET,
		"--batch", "--raw", "--skip-column-names", process.env.CMDB_DB_NAME],
	{ stdio: ["pipe", "pipe", "inherit"] });
	let out = "";
	child.stdout.on("data", data => { out += data; });
	child.stdin.end(text);
	const [status] = await once(child, "close");
	assert.equal(status, 0, text);
	return out.split("\n").filter(Boolean).map(line => line.split("\t"));
}

async function ctl(...args) {
	return (await run(process.env.CMDB_CTL, args.map(String))).stdout.trim();
}

// Somebody of the World's tenant who can log in: `auth` is how.
async function withPassword(w, ...roles) {
	const user = await w.newUser(...roles);
	const auth = { username: user.username, password: "correct horse 7" };
	const child = spawn(process.env.CMDB_CTL, ["user", "passwd", user.username, "--password-stdin"],
		{ stdio: ["pipe", "ignore", "inherit"] });
	child.stdin.end(auth.password);
	const [status] = await once(child, "close");
	assert.equal(status, 0);
	return { ...user, auth };
}

// ---- a test's own corner of the server ----

class World {
	constructor(client) {
		this.client = client;
		this.name = `t-${process.pid}-${++serial}`;
		this.closing = [];
	}

	async init() {
		this.user = await this.newUser("admin");
		this.token = this.user.token;
	}

	// Somebody else of the tenant, without a password: tokens are issued.
	async newUser(...roles) {
		const username = `u-${process.pid}-${++serial}`;
		const [[id]] = await sql(`
			INSERT IGNORE INTO tenants (name) VALUES ('${this.name}');
			INSERT INTO users (tenant_id, username, password_hash)
				SELECT id, '${username}', '!' FROM tenants WHERE name = '${this.name}';
			SET @id = LAST_INSERT_ID();
			${roles.map(role => `INSERT INTO user_roles (user_id, role_id)
				SELECT @id, id FROM roles WHERE name = '${role}';`).join("")}
			SELECT @id`);
		return { id: Number(id), username, token: await this.issue(username) };
	}

	issue(username, ttl_s = 3600) {
		return ctl("token", "issue", username, "--ttl", ttl_s);
	}

	async rest(method, path, body, token = this.token) {
		const answer = await fetch(process.env.CMDB_URL + path, {
			method,
			headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
			body: body && JSON.stringify(body),
		});
		const json = await answer.json();
		assert.ok(json.success, `${method} ${path}: ${JSON.stringify(json)}`);
		return json.data;
	}

	create(more = {}) {
		return this.rest("POST", "/api/v1/websites/create", {
			domains: [`w${++serial}.${this.name}.example`],
			origin_mode: "redirect",
			redirect_url: "https://example.org/",
			...more,
		});
	}

	update(id, change) {
		return this.rest("POST", "/api/v1/websites/update", { id, ...change });
	}

	delete(...ids) {
		return this.rest("POST", "/api/v1/websites/delete", { ids });
	}

	// The cursor of now.
	async tail() {
		const answer = await fetch(`${process.env.CMDB_URL}/events?timeout=0`,
			{ headers: { Authorization: `Bearer ${this.token}` } });
		return (await answer.json()).lastEventId;
	}

	/* Until what the tenant has written so far is behind the cursor of now: a list that is taken
	 * earlier may be followed by events of rows that it has. */
	async released() {
		const [[id]] = await sql(`SELECT COALESCE(MAX(e.id), 0)
			FROM ws_events e JOIN tenants t ON t.id = e.tenant_id
			WHERE t.name = '${this.name}'`);
		await until(async () => await this.tail() >= Number(id), `the tail at ${id}`);
	}

	// An event to a room of the tenant, published by SQL.
	toRoom(room, data) {
		return sql(`INSERT INTO ws_events (topic, event_type, payload, room, tenant_id)
			SELECT 'notes', 'add', '${JSON.stringify(data)}', '${room}', id
			FROM tenants WHERE name = '${this.name}'`);
	}

	// The tenant's rows of the audit log, oldest first.
	audits(action) {
		return sql(`SELECT subject, action, target, address <> '', request_id <> ''
			FROM audit_log a JOIN tenants t ON t.id = a.tenant_id
			WHERE t.name = '${this.name}' AND action LIKE '${action}' ORDER BY a.id`);
	}

	// n events of the tenant's topic that change no row, published by SQL, and released.
	async publish(n, topic = "websites") {
		await sql(`SET max_recursive_iterations = ${n};
			INSERT INTO ws_events (topic, event_type, payload, tenant_id)
			WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < ${n})
			SELECT '${topic}', 'update', JSON_OBJECT('id', n), t.id
			FROM k, tenants t WHERE t.name = '${this.name}' ORDER BY n`);
		await this.released();
	}

	// A socket that is about to connect. Its token is the user's, unless `auth` says otherwise.
	open(options = {}, namespace = "/") {
		const { io } = require(CLIENTS[this.client].module);
		const socket = io(process.env.CMDB_URL + namespace, {
			forceNew: true,
			reconnectionDelay: 50,
			reconnectionDelayMax: 200,
			auth: { token: this.token },
			...CLIENTS[this.client].options,
			...options,
		});
		this.closing.push(socket);
		return new Recorder(socket);
	}

	// One that is connected, and has been told so.
	async connect(options) {
		const recorder = await this.open(options).connected();
		await recorder.one("connected");
		return recorder;
	}

	// One that has the list of websites, and no events yet.
	async watch(options) {
		await this.released();
		const recorder = await this.connect(options);
		recorder.socket.emit("request:websites");
		recorder.initial = await recorder.one("websites:initial");
		return recorder;
	}

	async close() {
		for (const x of this.closing)
			await x.close();
	}
}

// A promise and what settles it: holds an `auth` callback until a test says go.
function gate() {
	let open;
	const passed = new Promise(done => { open = done; });
	return { open, passed };
}

// ---- the tables of tests ----

function suite(list, atOnce = AT_ONCE) {
	if (process.argv.includes("--list")) {
		console.log(JSON.stringify(list.map(c => c.name)));
		return;
	}
	const wanted = process.env.CMDB_CASES && new Set(JSON.parse(process.env.CMDB_CASES));
	const chosen = list.filter(c => !wanted || wanted.has(c.name));
	const add = c => it(c.name, { timeout: 4 * PATIENCE_MS }, async () => {
		const world = new World(c.client);
		try {
			if (!c.isBare)
				await world.init();
			await c.test(world);
		} finally {
			await world.close();
		}
	});
	describe("", { concurrency: atOnce }, () => chosen.filter(c => !c.isAlone).forEach(add));
	// These disturb others, or want the machine for themselves.
	describe("", { concurrency: 1 }, () => chosen.filter(c => c.isAlone).forEach(add));
}

/* One test for each of the clients (names in CLIENTS) and each name in `tests`, a table of
 * functions. Those in `alone` run one after another, when nothing else does. isBare: they want no
 * tenant and no user. */
function cases({ clients = USUAL, tests = {}, alone = {}, isBare = false }) {
	const rows = (table, isAlone) => Object.entries(table).flatMap(([name, test]) =>
		clients.map(client => ({ name: `${client}: ${name}`, test, client, isAlone, isBare })));
	return [...rows(tests, false), ...rows(alone, true)];
}

module.exports = {
	assert, cases, ctl, gate, sleep, sql, suite, until, withPassword, CLIENTS, NEWEST,
	ONE_EACH, SLOWER,
};
