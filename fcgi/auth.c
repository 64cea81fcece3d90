#include "auth.h"

#include <string.h>

#include "clock.h"
#include "family.h"
#include "identity.h"
#include "log.h"
#include "loop.h"
#include "password.h"
#include "principal.h"
#include "secret.h"
#include "throttle.h"
#include "token.h"
#include "worker.h"

#define TRIES 5
#define USERNAME_MAX 64 /* characters, users.username */
#define REFRESH_TOKEN_MAX 256

static const struct db_stmt find_user = {
	.name = "auth.find_user",
	.sql = "SELECT u.id, u.username, u.password_hash, u.status = 'active'"
	       " AND t.status = 'active'"
	       " FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.username = ?",
	.params_n = 1,
	.cols_n = 4,
};
/* Only over the hash that was checked: somebody may have set another password meanwhile. */
static const struct db_stmt renew_hash = {
	.name = "auth.renew_hash",
	.sql = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?",
	.params_n = 3,
};
static const struct db_stmt audit = {
	.name = "auth.audit",
	.sql = "INSERT INTO audit_log (tenant_id, subject, action, request_id, address)"
	       " SELECT tenant_id, CONCAT('user:', username), ?, ?, ? FROM users WHERE id = ?",
	.params_n = 4,
};

const struct db_set auth_sql = {
	.name = "auth",
	.stmts = (const struct db_stmt *const[]){&find_user, &renew_hash, &audit, NULL},
};

/* ---- what all of them need ---- */

/* A text the body must have. */
struct field {
	const char *name;
	size_t max;
	bool in_bytes; /* max counts bytes, not characters */
	const char *text;
};

static size_t length(const char *text, bool in_bytes)
{
	size_t n = 0;

	for (; *text; text++)
		n += in_bytes || ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void field_read(struct ctx *ctx, struct field *f)
{
	struct json_object *v = NULL;
	size_t len;

	if (!json_object_object_get_ex(ctx->body, f->name, &v)) {
		ctx_problem(ctx, f->name, "is required");
		return;
	}
	if (!json_object_is_type(v, json_type_string)) {
		ctx_problem(ctx, f->name, "must be a string");
		return;
	}
	f->text = json_object_get_string(v);
	len = length(f->text, f->in_bytes);
	if (len == 0 || len > f->max)
		ctx_problem(ctx, f->name, "must have 1 to %zu %s", f->max,
			f->in_bytes ? "bytes" : "characters");
}

/* Exactly these fields. false: answered with all that is wrong. */
static bool body_read(struct ctx *ctx, struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		field_read(ctx, &fields[i]);
	json_object_object_foreach(ctx->body, key, value)
	{
		bool is_known = false;

		(void)value;
		for (size_t i = 0; i < n; i++)
			is_known = is_known || strcmp(key, fields[i].name) == 0;
		if (!is_known)
			ctx_problem(ctx, key, "is not a field of this request");
	}
	if (ctx->problems_n == 0)
		return true;
	ctx_fail(ctx, ERR_VALIDATION, NULL);
	return false;
}

static enum err note(struct ctx *ctx, uint64_t user_id, const char *action)
{
	const struct db_val in[] = {dbv_s(action), dbv_s(ctx->req.request_id),
		dbv_s(ctx->req.remote_addr), DBV_U(user_id)};

	return db_exec(ctx->db, &audit, in, 4, NULL, NULL);
}

/* A COMMIT whose fate is not known is not tried again: a refresh token may be used up by it. */
static enum err commit(struct ctx *ctx)
{
	enum err e = db_commit(ctx->db);

	return e == ERR_DB_LOST ? ERR_UNAVAILABLE : e;
}

/* Tokens were revoked: caches of identities here forget at once, the poller is told. */
static void tell(struct ctx *ctx)
{
	struct app *app = ctx->worker->app;

	shm_raise(atomic_load(&app->shm), 0, EVENT_TOPIC_AUTH);
	loop_doorbell(app->loop);
}

/* Runs step, again after a deadlock or, once, when the connection was lost before COMMIT. A step
 * answers by ctx_ok(), or returns what is to be answered. */
static void run(struct ctx *ctx, enum err (*step)(struct ctx *ctx, void *arg), void *arg)
{
	enum err e = ERR_DB_RETRY;

	for (int i = 0; i < TRIES && (e == ERR_DB_RETRY || (e == ERR_DB_LOST && i == 1)); i++) {
		e = db_ensure(ctx->db);
		if (e == ERR_OK)
			e = step(ctx, arg);
		if (e != ERR_OK)
			db_rollback(ctx->db);
	}
	if (e == ERR_OK)
		return;
	if (err_status(e) >= 500 && e != ERR_BUSY)
		ctx_fail_db(ctx, e, ctx->route->pattern);
	else
		ctx_fail(ctx, e, NULL);
}

/* Gives out an access token and the next refresh token of f: adds the answer's data to out. In the
 * transaction. */
static enum err grant(struct ctx *ctx, const struct family *f, struct str *out)
{
	char jti[33], refresh[64];
	int64_t now_s = clock_wall_ms() / 1000, ttl_s = ctx->cfg->auth.access_ttl_s;
	const struct family_access access = {jti, now_s + ttl_s};
	struct principal *who = NULL;
	enum err e;

	secret_random_hex(jti, 16);
	e = principal_load_user(ctx->db, f->user_id, jti, access.expires_at_s, &who);
	if (e == ERR_TOKEN_REVOKED)
		e = ERR_BAD_CREDENTIALS;
	if (e != ERR_OK)
		goto out;
	str_adds(out, "{\"access_token\":\"");
	e = token_issue(ctx->worker->settings->key, who, now_s, ttl_s, out);
	if (e != ERR_OK) {
		log_error("token", "user %llu can get no token: no private key, or too many roles",
			(unsigned long long)f->user_id);
		goto out;
	}
	e = family_add(ctx->db, f, &access, ctx->cfg->auth.refresh_ttl_s, refresh);
	if (e != ERR_OK)
		goto out;
	str_addf(out, "\",\"refresh_token\":\"%s\",\"token_type\":\"Bearer\","
		      "\"expires_in\":%lld,\"user\":",
		refresh, (long long)ttl_s);
	principal_render(out, who);
	str_addc(out, '}');
out:
	perm_principal_free(who);
	return e;
}

/* ---- login ---- */

struct login {
	const char *username, *password;
	size_t password_len;
	struct str account; /* username in lower case: what failures are counted under */
};

struct user {
	uint64_t id; /* 0: there is none that may log in */
	char phc[SECRET_PHC_SIZE];
	char renewed[SECRET_PHC_SIZE]; /* "": phc is as the configuration wants it */
};

static enum err user_find(struct db *db, const char *username, struct user *u)
{
	const struct db_val in[] = {dbv_s(username)}, *row;
	enum err e = db_one(db, &find_user, in, 1, &row);

	*u = (struct user){0};
	/* The collation of the column passes over blanks at the end. */
	if (e != ERR_OK || !row || strcmp(dbv_text(&row[1]), username) != 0)
		return e;
	if (row[2].s.len < sizeof(u->phc))
		memcpy(u->phc, row[2].s.p, row[2].s.len + 1);
	if (dbv_i(&row[3]))
		u->id = dbv_u(&row[0]);
	return ERR_OK;
}

/* ERR_BAD_CREDENTIALS: wrong password, or nobody; that has been counted. A hash with other
 * parameters is made anew. */
static enum err user_check(struct ctx *ctx, const struct login *in, struct user *u)
{
	uint64_t passes = (uint64_t)ctx->cfg->auth.argon2_passes;
	uint64_t memory_kib = (uint64_t)ctx->cfg->auth.argon2_memory_kib;
	bool is_right;
	enum err e = password_enter(ctx->cfg);

	if (e != ERR_OK)
		return e;
	/* The limit is looked at and the failure counted inside the place: of many at once, no more
	 * than there are places can have looked before another's failure counted. */
	e = throttle_check(ctx, str_c(&in->account));
	if (e == ERR_OK) {
		is_right = password_is_right(ctx->cfg, u->phc, in->password, in->password_len);
		e = is_right && u->id ? ERR_OK : ERR_BAD_CREDENTIALS;
	}
	if (e == ERR_OK && secret_password_is_stale(u->phc, passes, memory_kib) &&
		!secret_password_hash(
			u->renewed, in->password, in->password_len, passes, memory_kib))
		u->renewed[0] = '\0';
	if (e == ERR_BAD_CREDENTIALS) {
		e = throttle_failed(ctx, str_c(&in->account));
		if (e == ERR_OK)
			e = ERR_BAD_CREDENTIALS;
	}
	password_leave();
	return e;
}

static enum err login_commit(struct ctx *ctx, const struct login *in, const struct user *u,
	struct str *data)
{
	const struct db_val renew[] = {dbv_s(u->renewed), DBV_U(u->id), dbv_s(u->phc)};
	struct family f;
	enum err e = db_begin(ctx->db);

	family_new(&f, u->id);
	if (e == ERR_OK)
		e = throttle_clear(ctx, str_c(&in->account));
	if (e == ERR_OK && u->renewed[0])
		e = db_exec(ctx->db, &renew_hash, renew, 3, NULL, NULL);
	if (e == ERR_OK)
		e = grant(ctx, &f, data);
	if (e == ERR_OK)
		e = note(ctx, u->id, "auth.login");
	return e == ERR_OK ? commit(ctx) : e;
}

static enum err login_step(struct ctx *ctx, void *arg)
{
	struct login *in = arg;
	struct str data = STR_INIT;
	struct user u;
	enum err e = throttle_check(ctx, str_c(&in->account));

	if (e == ERR_OK)
		e = user_find(ctx->db, in->username, &u);
	if (e == ERR_OK)
		e = user_check(ctx, in, &u);
	if (e == ERR_OK) {
		e = login_commit(ctx, in, &u, &data);
	} else if (e == ERR_BAD_CREDENTIALS) {
		log_warn("login_refused", "address=%s request_id=%s", ctx->req.remote_addr,
			ctx->req.request_id);
	}
	if (e == ERR_OK) {
		log_info("login", "user=%llu address=%s request_id=%s", (unsigned long long)u.id,
			ctx->req.remote_addr, ctx->req.request_id);
		ctx_ok(ctx, 200, &data);
		family_sweep(ctx->db);
	}
	secret_wipe(data.p, data.len);
	str_fini(&data);
	return e;
}

static void handle_login(struct ctx *ctx)
{
	struct field fields[] = {
		{.name = "username", .max = USERNAME_MAX},
		{.name = "password", .max = SECRET_PASSWORD_MAX, .in_bytes = true},
	};
	struct login in = {0};

	if (!body_read(ctx, fields, 2))
		return;
	in.username = fields[0].text;
	in.password = fields[1].text;
	in.password_len = strlen(in.password);
	for (const char *p = in.username; *p; p++)
		str_addc(&in.account, *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p);
	run(ctx, login_step, &in);
	str_fini(&in.account);
}

/* ---- refresh ---- */

/* A token that was used before: the family ends, in the transaction that found it. */
static enum err refresh_reused(struct ctx *ctx, const struct family *f)
{
	enum err e = note(ctx, f->user_id, "auth.refresh_reused");

	if (e == ERR_OK)
		e = family_revoke(ctx->db, f);
	if (e == ERR_OK)
		e = commit(ctx);
	if (e != ERR_OK)
		return e;
	tell(ctx);
	log_warn("refresh_reused", "user=%llu address=%s request_id=%s",
		(unsigned long long)f->user_id, ctx->req.remote_addr, ctx->req.request_id);
	return ERR_BAD_CREDENTIALS;
}

static enum err refresh_good(struct ctx *ctx, const struct family *f)
{
	struct str data = STR_INIT;
	enum err e = grant(ctx, f, &data);

	if (e == ERR_OK)
		e = commit(ctx);
	if (e == ERR_OK)
		ctx_ok(ctx, 200, &data);
	secret_wipe(data.p, data.len);
	str_fini(&data);
	return e;
}

static enum err refresh_step(struct ctx *ctx, void *arg)
{
	const char *token = arg;
	enum family_state state;
	struct family f;
	enum err e = db_begin(ctx->db);

	if (e == ERR_OK)
		e = family_use(ctx->db, token, strlen(token), &f, &state);
	if (e != ERR_OK)
		return e;
	switch (state) {
	case FAMILY_GOOD:
		return refresh_good(ctx, &f);
	case FAMILY_REUSED:
		return refresh_reused(ctx, &f);
	case FAMILY_UNKNOWN:
		db_rollback(ctx->db);
		e = throttle_bad_token(ctx);
		return e == ERR_OK ? ERR_BAD_CREDENTIALS : e;
	case FAMILY_OVER:
		break;
	}
	return ERR_BAD_CREDENTIALS;
}

static void handle_refresh(struct ctx *ctx)
{
	struct field fields[] = {
		{.name = "refresh_token", .max = REFRESH_TOKEN_MAX, .in_bytes = true}};

	if (body_read(ctx, fields, 1))
		run(ctx, refresh_step, (void *)fields[0].text);
}

/* ---- logout, me ---- */

static enum err logout_step(struct ctx *ctx, void *arg)
{
	const struct family_access access = {ctx->who->jti, ctx->who->expires_at_s};
	struct str data = STR_INIT;
	struct family f;
	bool is_found;
	enum err e = db_begin(ctx->db);

	if (e == ERR_OK)
		e = family_find(ctx->db, ctx->who->user_id, access.jti, &f, &is_found);
	if (e == ERR_OK)
		e = note(ctx, ctx->who->user_id, "auth.logout");
	if (e == ERR_OK)
		e = is_found ? family_revoke(ctx->db, &f) : family_revoke_access(ctx->db, &access);
	if (e == ERR_OK)
		e = commit(ctx);
	if (e != ERR_OK)
		return e;
	tell(ctx);
	str_adds(&data, "{\"logged_out\":true}");
	ctx_ok(ctx, 200, &data);
	str_fini(&data);
	return ERR_OK;
}

static void handle_logout(struct ctx *ctx)
{
	if (!ctx->who->jti)
		ctx_fail(ctx, ERR_FORBIDDEN,
			"An API key has no session to end; revoke the key instead.");
	else
		run(ctx, logout_step, NULL);
}

static void handle_me(struct ctx *ctx)
{
	struct str data = STR_INIT;

	principal_render(&data, ctx->who);
	ctx_ok(ctx, 200, &data);
	str_fini(&data);
}

const struct route auth_routes[] = {
	{.methods = HTTP_POST, .pattern = "/api/v1/auth/login",
		.flags = ROUTE_OPEN | ROUTE_JSON | ROUTE_DB, .handle = handle_login},
	{.methods = HTTP_POST, .pattern = "/api/v1/auth/refresh",
		.flags = ROUTE_OPEN | ROUTE_JSON | ROUTE_DB, .handle = handle_refresh},
	{.methods = HTTP_POST, .pattern = "/api/v1/auth/logout",
		.flags = ROUTE_DB, .handle = handle_logout},
	{.methods = HTTP_GET, .pattern = "/api/v1/auth/me", .handle = handle_me},
	{.methods = HTTP_GET, .pattern = "/api/v1/me", .handle = handle_me},
};
const size_t auth_routes_n = sizeof(auth_routes) / sizeof(auth_routes[0]);
