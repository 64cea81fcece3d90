// Who is signed in on this page: the access token, and getting the next one in time.
//
// The access token is kept for this tab, so that a reload need not ask again. The refresh token is
// not: a second tab made from this one would use it again, and that revokes both.

const KEY = "cmdb.session";

let token = null, refreshToken = null, username = null, renewing = null;

try {
	({ token, username } = JSON.parse(sessionStorage.getItem(KEY)));
} catch {
	// Nothing kept, or storage is closed to us: signing in works all the same.
}

function keep(data) {
	token = data ? data.access_token : null;
	refreshToken = data ? data.refresh_token : null;
	username = data ? data.user.username : null;
	try {
		if (data)
			sessionStorage.setItem(KEY, JSON.stringify({ token, username }));
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
	get isRenewable() { return refreshToken !== null; },

	async login(name, password) {
		keep(await post("login", { username: name, password }));
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
