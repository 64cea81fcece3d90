"use strict";
// Rooms as a program with a stock client sees them.

const { assert, cases, ctl, suite, NEWEST } = require("./support");

suite([...cases({
	tests: {
		"channels are asked for, and told of one by one": async w => {
			const user = await w.newUser("viewer");
			const r = await w.watch({ auth: { token: user.token } });
			const own = `user:${user.id}`;
			r.socket.emit("subscribe", ["role:admin", own, "role:viewer"]);
			assert.deepEqual(await r.one("subscribed"), { channels: [own, "role:viewer"] });
			assert.deepEqual(await r.one("subscription_error"),
				{ channel: "role:admin", reason: "forbidden" });
			await w.toRoom("role:admin", { n: 1 });
			await w.toRoom("role:viewer", { n: 2 });
			await w.toRoom(own, { n: 3 });
			const got = await r.wait("notes:update", 2);
			assert.deepEqual(got.map(e => e.data.n), [2, 3]);
		},
	},
}), ...cases({
	clients: NEWEST, // those that recover
	tests: {
		"a ticket's channel is kept over a recovery, and lost with the right": async w => {
			const user = await w.newUser("viewer", "admin");
			const r = await w.watch({ auth: { token: user.token } });
			assert.deepEqual(await r.ask("subscribe", "ticket:7"),
				{ ok: true, channels: ["ticket:7"] });
			r.socket.io.engine.close();
			await r.disconnected();
			await w.toRoom("ticket:7", { n: 1 });
			await r.connected(2);
			assert.equal((await r.one("notes:update")).data.n, 1);
			await ctl("user", "revoke-role", user.username, "admin");
			assert.deepEqual(await r.one("subscription_error"),
				{ channel: "ticket:7", reason: "revoked" });
			await w.toRoom("ticket:7", { n: 2 });
			await w.toRoom("role:viewer", { n: 3 });
			const got = await r.wait("notes:update", 2);
			assert.deepEqual(got.map(e => e.data.n), [1, 3]);
		},
	},
})]);
