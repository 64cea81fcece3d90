#include "auth.h"

#include <string.h>

#include "clock.h"
#include "family.h"
#include "identity.h"
#include "log.h"
#include "login.h"
#include "loop.h"
#include "principal.h"
#include "secret.h"
#include "throttle.h"
#include "token.h"
#include "txn.h"
#include "worker.h"

#define REFRESH_TOKEN_MAX 256

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
	json_object_object_foreach (ctx->body, key, value) {
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

/* Tokens were revoked: caches of identities here forget at once, the poller is told. */
static void auth_tell(struct ctx *ctx)
{
	struct app *app = ctx->task.worker->app;

	shm_raise(atomic_load(&app->shm), 0, EVENT_TOPIC_AUTH);
	loop_doorbell(app->loop);
}

static void auth_refuse(struct ctx *ctx, enum err e)
{
	if (err_status(e) >= 500 && e != ERR_BUSY)
		ctx_fail_db(ctx, e, ctx->route->pattern);
	else
		ctx_fail(ctx, e, NULL);
}

/* A step answers by ctx_ok(), or returns what is to be answered. */
struct attempt {
	struct ctx *ctx;
	enum err (*step)(struct ctx *ctx, void *arg);
	void *arg;
};

static enum err run_once(void *arg)
{
	const struct attempt *t = arg;

	return t->step(t->ctx, t->arg);
}

static void auth_run(struct ctx *ctx, enum err (*step)(struct ctx *ctx, void *arg), void *arg)
{
	struct attempt t = {ctx, step, arg};
	enum err e = txn_retry(ctx->task.db, run_once, &t);

	if (e != ERR_OK)
		auth_refuse(ctx, e);
}

/* Gives out an access token and the next refresh token of f: adds the answer's data to out. In the
 * transaction. */
static enum err auth_grant(struct task *task, const struct family *f, struct str *out)
{
	char jti[33], refresh[64];
	int64_t now_s = clock_wall_ms() / 1000, ttl_s = task->cfg->auth.access_ttl_s;
	const struct family_access access = {jti, now_s + ttl_s};
	struct principal *who = NULL;
	enum err e;

	secret_random_hex(jti, 16);
	e = principal_load_user(task->db, f->user_id, jti, access.expires_at_s, &who);
	if (e == ERR_TOKEN_REVOKED)
		e = ERR_BAD_CREDENTIALS;
	if (e != ERR_OK)
		goto out;
	str_adds(out, "{\"access_token\":\"");
	e = token_issue(task->worker->settings->key, who, now_s, ttl_s, out);
	if (e != ERR_OK) {
		log_error("token", "user %llu can get no token: no private key, or too many roles",
			(unsigned long long)f->user_id);
		goto out;
	}
	e = family_add(task->db, f, &access, task->cfg->auth.refresh_ttl_s, refresh);
	if (e != ERR_OK)
		goto out;
	str_addf(out,
		"\",\"refresh_token\":\"%s\",\"token_type\":\"Bearer\","
		"\"expires_in\":%lld,\"user\":",
		refresh, (long long)ttl_s);
	principal_render(out, who);
	str_addc(out, '}');
out:
	principal_unref(who);
	return e;
}

/* ---- login ---- */

static enum err login_grant(struct task *task, uint64_t user_id, void *arg)
{
	struct str *data = arg;
	struct family f;

	secret_wipe(data->p, data->len);
	str_clear(data);
	family_new(&f, user_id);
	return auth_grant(task, &f, data);
}

static void handle_login(struct ctx *ctx)
{
	struct field fields[] = {
		{.name = "username", .max = LOGIN_USERNAME_MAX},
		{.name = "password", .max = SECRET_PASSWORD_MAX, .in_bytes = true},
	};
	struct str data = STR_INIT;
	struct login in = {.target = "", .grant = login_grant, .arg = &data};
	enum err e;

	if (!body_read(ctx, fields, 2))
		return;
	in.username = fields[0].text;
	in.password = fields[1].text;
	in.password_len = strlen(in.password);
	e = login_run(&ctx->task, &in);
	if (e == ERR_OK)
		ctx_ok(ctx, 200, &data);
	else
		auth_refuse(ctx, e);
	secret_wipe(data.p, data.len);
	str_fini(&data);
}

/* ---- refresh ---- */

/* A token that was used before: the family ends, in the transaction that found it. */
static enum err refresh_reused(struct ctx *ctx, const struct family *f)
{
	enum err e = login_note(&ctx->task, f->user_id, "auth.refresh_reused", "");

	if (e == ERR_OK)
		e = family_revoke(ctx->task.db, f);
	if (e == ERR_OK)
		e = txn_commit(ctx->task.db);
	if (e != ERR_OK)
		return e;
	auth_tell(ctx);
	log_warn("refresh_reused", "user=%llu address=%s request_id=%s",
		(unsigned long long)f->user_id, ctx->req.remote_addr, ctx->req.request_id);
	return ERR_BAD_CREDENTIALS;
}

static enum err refresh_good(struct ctx *ctx, const struct family *f)
{
	struct str data = STR_INIT;
	enum err e = auth_grant(&ctx->task, f, &data);

	if (e == ERR_OK)
		e = txn_commit(ctx->task.db);
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
	enum err e = db_begin(ctx->task.db);

	if (e == ERR_OK)
		e = family_use(ctx->task.db, token, strlen(token), &f, &state);
	if (e != ERR_OK)
		return e;
	switch (state) {
	case FAMILY_GOOD:
		return refresh_good(ctx, &f);
	case FAMILY_REUSED:
		return refresh_reused(ctx, &f);
	case FAMILY_UNKNOWN:
		db_rollback(ctx->task.db);
		e = throttle_bad_token(&ctx->task);
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
		auth_run(ctx, refresh_step, (void *)fields[0].text);
}

/* ---- logout, me ---- */

static enum err logout_step(struct ctx *ctx, void *arg)
{
	const struct family_access access = {ctx->task.who->jti, ctx->task.who->expires_at_s};
	struct str data = STR_INIT;
	struct family f;
	bool is_found;
	enum err e = db_begin(ctx->task.db);

	if (e == ERR_OK)
		e = family_find(ctx->task.db, ctx->task.who->user_id, access.jti, &f, &is_found);
	if (e == ERR_OK)
		e = login_note(&ctx->task, ctx->task.who->user_id, "auth.logout", "");
	if (e == ERR_OK)
		e = is_found ? family_revoke(ctx->task.db, &f)
			     : family_revoke_access(ctx->task.db, &access);
	if (e == ERR_OK)
		e = txn_commit(ctx->task.db);
	if (e != ERR_OK)
		return e;
	auth_tell(ctx);
	str_adds(&data, "{\"logged_out\":true}");
	ctx_ok(ctx, 200, &data);
	str_fini(&data);
	return ERR_OK;
}

static void handle_logout(struct ctx *ctx)
{
	if (!ctx->task.who->jti)
		ctx_fail(ctx, ERR_FORBIDDEN,
			"An API key has no session to end; revoke the key instead.");
	else
		auth_run(ctx, logout_step, NULL);
}

static void handle_me(struct ctx *ctx)
{
	struct str data = STR_INIT;

	principal_render(&data, ctx->task.who);
	ctx_ok(ctx, 200, &data);
	str_fini(&data);
}

const struct route auth_routes[] = {
	{.methods = HTTP_POST,
		.pattern = "/api/v1/auth/login",
		.flags = ROUTE_OPEN | ROUTE_JSON | ROUTE_DB | ROUTE_HASHES,
		.handle = handle_login},
	{.methods = HTTP_POST,
		.pattern = "/api/v1/auth/refresh",
		.flags = ROUTE_OPEN | ROUTE_JSON | ROUTE_DB,
		.handle = handle_refresh},
	{.methods = HTTP_POST,
		.pattern = "/api/v1/auth/logout",
		.flags = ROUTE_DB,
		.handle = handle_logout},
	{.methods = HTTP_GET, .pattern = "/api/v1/auth/me", .handle = handle_me},
	{.methods = HTTP_GET, .pattern = "/api/v1/me", .handle = handle_me},
};
const size_t auth_routes_n = sizeof(auth_routes) / sizeof(auth_routes[0]);
