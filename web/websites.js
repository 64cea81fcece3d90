// The list of websites, kept up to date through Socket.IO: what a client of cmdb has to do, and no
// more. The rows come once (`websites:initial`), then one event a change (`websites:update`) with
// the full row. After a break the server sends what was missed; where it cannot, it is asked for
// what came after lastEventId, and sends that or all the rows again.

import { session } from "./session.js";
import { table } from "./table.js";

const $ = id => document.getElementById(id);
const RETRY_MAX_S = 30;
const STEADY_MS = 10000;    // a connection that lasted this long was a good one
const CATCH_UP_MS = 3000;   // what comes so soon after a connect happened before it
const ASK_AGAIN_MS = 5000;

let socket = null, lastEventId = 0, retry = null, asking = null, reason = "";
let isWhole = false;       // nothing is missing before lastEventId
let incomplete = "";       // what is said of a list that is not all
let connectedAt = 0, tries = 0, unauthorized = 0;

// ---- what one sees of the connection ----

function say(state, text, detail = "") {
	$("state").dataset.state = state;
	$("state").textContent = text;
	$("detail").textContent = detail;
}

function notice(text, kind = "error") {
	$("notice").hidden = !text;
	$("notice").textContent = text;
	$("notice").dataset.kind = kind;
}

function showLogin(message = "") {
	stop();
	say("idle", "Not connected");
	$("live").hidden = $("who").hidden = true;
	$("login").hidden = false;
	$("login-error").hidden = !message;
	$("login-error").textContent = message;
	$("password").value = "";
	$($("username").value ? "password" : "username").focus();
}

// ---- the connection ----

function start() {
	$("login").hidden = true;
	$("live").hidden = $("who").hidden = false;
	$("user").textContent = session.username;
	notice(incomplete = "");
	table.clear();
	lastEventId = tries = unauthorized = 0;
	say("wait", "Connecting …");
	socket = io({
		transports: ["polling"],
		// Asked for at each connect, so that a reconnect carries the token of then.
		auth: give => give({ token: session.token }),
		forceNew: true,
	});
	socket.on("connect", onConnect);
	socket.on("disconnect", onDisconnect);
	socket.on("connect_error", onConnectError);
	socket.io.on("reconnect_attempt", n => say("wait", "Reconnecting …", `attempt ${n}`));
	socket.on("websites:initial", onInitial);
	socket.on("websites:update", onUpdate);
	socket.on("token_expiring", renew);
	socket.on("error", e => { reason = e.message; });
}

function stop() {
	clearTimeout(retry);
	clearTimeout(asking);
	if (socket) {
		socket.off();
		socket.io.off();
		socket.disconnect();
	}
	socket = null;
}

function onConnect() {
	connectedAt = Date.now();
	unauthorized = 0;
	reason = "";
	notice(incomplete, "info");
	// What was asked for may have been lost with the connection. Then it is asked for again.
	if (socket.recovered && isWhole) {
		say("live", "Live", "recovered: nothing was missed");
		return;
	}
	say("live", "Live", lastEventId ? "connected anew, caught up" : "");
	ask();
}

// What of the list we do not have.
function ask() {
	clearTimeout(asking);
	// Live events may come before the missed ones: lastEventId stays until those are here.
	isWhole = false;
	socket.emit("request:websites", lastEventId ? { lastEventId } : {}, answer => {
		if (answer.error) {
			notice(answer.error.message || answer.error.code);
			if (answer.error.code === "forbidden")
				table.fail();
			else
				asking = setTimeout(() => socket.connected && ask(), ASK_AGAIN_MS);
			return;
		}
		notice(incomplete, "info");
		lastEventId = Math.max(lastEventId, answer.lastEventId);
		isWhole = true;
	});
}

// Stock clients come back by themselves, but not when it was the server that ended it.
function onDisconnect(why) {
	if (Date.now() - connectedAt > STEADY_MS)
		tries = 0;
	if (why === "io server disconnect") {
		say("wait", "Reconnecting …", reason || "the server ended the session");
		tries ? later() : again();
	} else {
		say("wait", "Reconnecting …", why === "ping timeout" ? "the server has been silent" :
			"the connection was lost");
	}
}

function onConnectError(error) {
	if (error.data && error.data.code === 401) {
		if (++unauthorized > 1)
			end();
		else
			again();
	} else if (socket.active) {
		say("wait", "Reconnecting …", "the server cannot be reached");
	} else {
		say("down", "Refused", error.message);
		later();
	}
}

function end() {
	session.forget();
	showLogin(reason || "Your session has ended. Please sign in again.");
}

// Connects again, with a new token where there can be one.
async function again() {
	tries++;
	try {
		if (await session.isRenewable())
			await session.renew();
	} catch (e) {
		if (!socket)
			return;
		if (e.status && e.status < 500 && e.status !== 429)
			end();
		else
			later();
		return;
	}
	if (socket)
		socket.connect();
}

function later() {
	clearTimeout(retry);
	retry = setTimeout(again, Math.min(RETRY_MAX_S, 2 ** tries) * 1000);
}

// The token ends in a minute: the session goes on with the next one.
async function renew(...args) {
	const ack = args.at(-1);
	if (typeof ack === "function")
		ack({ ok: true });
	try {
		if (!await session.isRenewable())
			return;
		await session.renew();
		socket.emit("auth:refresh", { token: session.token }, answer => {
			if (answer && answer.error)
				console.warn("auth:refresh", answer.error);
		});
	} catch (e) {
		console.warn("auth:refresh", e);
	}
}

// ---- what comes ----

function onInitial({ items, total, lastEventId: id }) {
	lastEventId = id;
	table.set(items, total <= items.length);
	say("live", "Live");
	incomplete = total > items.length ?
		`These are the oldest ${items.length} of ${total} websites, and those that are new.` : "";
	notice(incomplete, "info");
}

function onUpdate({ eventId, type, data }) {
	if (isWhole)
		lastEventId = Math.max(lastEventId, eventId);
	table.apply(type, data, Date.now() - connectedAt < CATCH_UP_MS);
}

// ---- the page ----

$("login").addEventListener("submit", async event => {
	event.preventDefault();
	const button = event.submitter || $("login").querySelector("button");
	button.disabled = true;
	$("login-error").hidden = true;
	try {
		await session.login($("username").value, $("password").value);
		$("password").value = "";
		start();
		$("list").focus({ preventScroll: true });
	} catch (e) {
		showLogin(e.status === 401 ? "The user name or the password is wrong." : e.message);
	} finally {
		button.disabled = false;
	}
});

$("logout").addEventListener("click", async () => {
	showLogin();
	await session.logout();
});

// What stays at the top must not cover what is scrolled to, nor the head of the table.
new ResizeObserver(([bar]) => document.documentElement.style
	.setProperty("--bar", `${bar.target.offsetHeight}px`)).observe(document.querySelector(".bar"));

if (!window.io) {
	say("down", "Not available");
	$("missing").hidden = false;
} else if (session.token) {
	start();
} else {
	showLogin();
}
