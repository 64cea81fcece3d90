"use strict";
// Live sessions and their tokens: what ends a right ends it on a socket within a second.

const { assert, cases, ctl, sleep, suite, until, SLOWER } = require("./support");

const SOON_MS = 1500 * SLOWER;      // a second, and what the machine takes

const expiry = token => JSON.parse(Buffer.from(token.split(".")[1], "base64url")).exp * 1000;

// The socket is told why, and is closed by the server, not long after `since`.
async function ends(r, code, since = Date.now()) {
	assert.equal(await r.disconnected(), "io server disconnect");
	const took = Date.now() - since;
	const error = r.named("error").at(-1);
	assert.equal(error && error.code, code, r.toString());
	assert.equal(typeof error.message, "string");
	assert.ok(took < SOON_MS, `it took ${took} ms`);
	assert.equal(r.events.at(-1).name, "error");
}

suite(cases({
	tests: {
		"the end of a token is announced 60 s ahead": async w => {
			const token = await w.issue(w.user.username, 62);
			const r = await w.open({ auth: { token } }).connected();
			// Now, should the machine have been too slow to be here earlier.
			const due = Math.max(expiry(token) - 60000, Date.now());
			await r.one("token_expiring");
			const late = Date.now() - due;
			assert.ok(Date.now() >= expiry(token) - 60500 && late < 5000 * SLOWER, `${late} ms`);
			assert.deepEqual(r.reasons, []);
		},

		"a token with less to live is announced at once, and that is acknowledged": async w => {
			const acknowledged = async () =>
				JSON.parse(await ctl("status", "--json")).poller.sessions.acknowledged;
			const before = await acknowledged();
			const r = w.open({ auth: { token: await w.issue(w.user.username, 30) } });
			r.socket.on("token_expiring", (...args) => args.at(-1)({ ok: true }));
			await r.one("token_expiring");
			await until(async () => await acknowledged() > before, "the acknowledgement");
			assert.deepEqual(r.reasons, []);
		},

		"an expired token ends the socket": async w => {
			const token = await w.issue(w.user.username, 10);
			const r = await w.watch({ auth: { token } });
			await ends(r, "token_expired", expiry(token));
			assert.ok(Date.now() >= expiry(token));
		},

		"auth:refresh carries it on": async w => {
			const next = await w.issue(w.user.username, 600);
			const token = await w.issue(w.user.username, 12);
			const r = await w.watch({ auth: { token } });
			const answer = await r.ask("auth:refresh", { token: next });
			assert.ok(answer && !answer.error, JSON.stringify(answer));
			await until(() => Date.now() > expiry(token) + 1200, "the old token to be long expired",
				20000 * SLOWER);
			await w.create();
			await r.one("websites:update");
			assert.deepEqual(r.reasons, []);
		},

		"auth:refresh with a bad token is refused, and changes nothing": async w => {
			const r = await w.watch();
			for (const bad of [{ token: "x" }, {}, null, { token: 7 }]) {
				const answer = await r.ask("auth:refresh", bad);
				assert.ok(answer.error && answer.error.code, JSON.stringify([bad, answer]));
			}
			await w.create();
			await r.one("websites:update");
			assert.deepEqual(r.reasons, []);
		},

		"auth:refresh with another user's token is refused": async w => {
			const other = await w.newUser("admin");
			const r = await w.watch();
			const answer = await r.ask("auth:refresh", { token: other.token });
			assert.ok(answer.error && answer.error.code, JSON.stringify(answer));
			assert.deepEqual(r.reasons, []);
		},

		"logout ends its sockets": async w => {
			const r = await w.watch();
			await w.rest("POST", "/api/v1/auth/logout", {});
			await ends(r, "token_revoked");
		},

		"a token that was refreshed away does not end the socket when it is revoked": async w => {
			const r = await w.watch();
			const next = await w.issue(w.user.username, 600);
			await r.ask("auth:refresh", { token: next });
			await ctl("token", "revoke", w.token);
			await sleep(1100);
			await r.settle();
			assert.deepEqual(r.reasons, []);
			await ctl("token", "revoke", next);
			await ends(r, "token_revoked");
		},

		"a user who is disabled is sent away": async w => {
			const r = await w.watch();
			await ctl("user", "disable", w.user.username);
			await r.disconnected();
			await ends(r, r.named("error").at(-1).code);
		},

		"who loses the role gets no more": async w => {
			const viewer = await w.newUser("viewer");
			const [r, witness] = [await w.watch({ auth: { token: viewer.token } }), await w.watch()];
			await w.create();
			await r.one("websites:update");
			await ctl("user", "revoke-role", viewer.username, "viewer");
			await sleep(1000);
			await w.create();
			await witness.wait("websites:update", 2);
			await sleep(200);
			assert.equal(r.updates().length, 1);
		},

		"who gets a role gets what it brings": async w => {
			const late = await w.newUser();
			const r = await w.connect({ auth: { token: late.token } });
			await ctl("user", "grant-role", late.username, "viewer");
			// A client may have to ask again; it need not connect again.
			await until(async () => {
				r.socket.emit("request:websites");
				await r.settle();
				return r.named("websites:initial").length;
			}, "the list", SOON_MS);
			await w.create();
			await r.one("websites:update");
		},
	},
}));
