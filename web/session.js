// Who is signed in on this page: the access token, and getting the next one in time.
//
// Both tokens are kept for this tab, so that a reload need not ask again. A tab made from this one
// has a copy of them, and a refresh token that comes twice revokes all: so only the tab that holds
// the lock of its sign-in uses it. Where there are no locks (plain HTTP), it is kept for this page
// alone.

const KEY = "cmdb.session";
const { locks } = navigator;

let token = null, refreshToken = null, username = null, signIn = null, renewing = null;
let owned = null;       // the sign-in whose lock this page holds

try {
	({ token, username, refreshToken = null, signIn = null } =
		JSON.parse(sessionStorage.getItem(KEY)));
} catch {
	// Nothing kept, or storage is closed to us: signing in works all the same.
}

/* Does this page hold the lock of its sign-in? Until it goes away, then. */
async function isOwner() {
	if (!locks || owned === signIn)
		return true;
	await new Promise(done => locks.request(`${KEY}.${signIn}`, { ifAvailable: true }, lock => {
		if (lock)
			owned = signIn;
		done();
		return lock && new Promise(() => {});
	}).catch(done));
	return owned === signIn;
}

function keep(data) {
	token = data ? data.access_token : null;
	refreshToken = data ? data.refresh_token : null;
	username = data ? data.user.username : null;
	try {
		if (data)
			sessionStorage.setItem(KEY, JSON.stringify({ token, username,
				...(locks && { refreshToken, signIn }) }));
		else
			sessionStorage.removeItem(KEY);
	} catch {
		// As above.
	}
}

async function post(path, body, headers = {}) {
	let answer, json;
	try {
		answer = await fetch(`/api/v1/auth/${path}`, {
			method: "POST",
			headers: { "Content-Type": "application/json", ...headers },
			body: JSON.stringify(body),
		});
		json = await answer.json();
	} catch {
		throw new Error("The server cannot be reached.");
	}
	if (!json.success)
		throw Object.assign(new Error(json.error.message), { status: answer.status });
	return json.data;
}

export const session = {
	get token() { return token; },
	get username() { return username; },

	async isRenewable() {
		return refreshToken !== null && isOwner();
	},

	async login(name, password) {
		const data = await post("login", { username: name, password });
		signIn = `${Date.now()}.${Math.random()}`;
		await isOwner();
		keep(data);
	},

	// A new access token for the refresh token, once for all who ask meanwhile.
	renew() {
		renewing ??= post("refresh", { refresh_token: refreshToken })
			.then(keep)
			.finally(() => { renewing = null; });
		return renewing;
	},

	async logout() {
		const old = token;
		keep(null);
		if (old)
			await post("logout", {}, { Authorization: `Bearer ${old}` }).catch(() => {});
	},

	forget() {
		keep(null);
	},
};

// Taken now, lest a tab that was made from this one be the first to ask.
if (refreshToken)
	isOwner();
