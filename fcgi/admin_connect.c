#include "admin_connect.h"

#include <string.h>

#include "clock.h"
#include "identity.h"
#include "log.h"
#include "login.h"
#include "principal.h"
#include "secret.h"
#include "socket_connect.h"
#include "token.h"
#include "worker.h"

/* ---- a password ---- */

/* A token for the session, in the login's transaction. */
static enum err admin_connect_grant(struct task *task, uint64_t user_id, void *arg)
{
	struct str *token = arg;
	int64_t now_s = clock_wall_ms() / 1000, ttl_s = task->cfg->socketio.admin_ttl_s;
	struct principal *who = NULL;
	char jti[33];
	enum err e;

	secret_wipe(token->p, token->len);
	str_clear(token);
	secret_random_hex(jti, 16);
	e = principal_load_user(task->db, user_id, jti, now_s + ttl_s, &who);
	if (e == ERR_TOKEN_REVOKED)
		e = ERR_BAD_CREDENTIALS;
	if (e == ERR_OK && !perm_has(who, ADMIN_PERM))
		e = ERR_FORBIDDEN;
	if (e == ERR_OK)
		e = token_issue(task->worker->settings->key, who, now_s, ttl_s, token);
	principal_unref(who);
	return e;
}

static enum err log_in(struct socket_work *w, struct json_object *username,
	struct json_object *password, struct str *token)
{
	const struct login in = {.username = json_object_get_string(username),
		.password = json_object_get_string(password),
		.password_len = (size_t)json_object_get_string_len(password),
		.target = "/admin",
		.grant = admin_connect_grant,
		.arg = token};

	/* What no user has is not worth a hash. */
	if (strlen(in.username) > LOGIN_USERNAME_MAX * 4 || in.password_len > SECRET_PASSWORD_MAX)
		return ERR_BAD_CREDENTIALS;
	if (w->task.worker->is_refusing)
		return ERR_BUSY;
	if (!w->task.worker->hashes) {
		/* It will be done again, elsewhere. */
		w->task.worker->needs = w->task.worker->app->passwords;
		return ERR_BUSY;
	}
	return login_run(&w->task, &in);
}

/* ---- who ---- */

static bool admin_connect_is_text(struct json_object *o)
{
	return json_object_is_type(o, json_type_string) && json_object_get_string_len(o) > 0;
}

static bool is_refusal(enum err e)
{
	return e == ERR_TOKEN_INVALID || e == ERR_TOKEN_EXPIRED || e == ERR_TOKEN_REVOKED;
}

/* *token: one that was given out, else empty. */
static enum err admin_connect_find(struct socket_work *w, const struct packet *p, struct str *token,
	const struct principal **who)
{
	struct json_object *session = json_get(p->json, "sessionId"),
			   *username = json_get(p->json, "username"),
			   *password = json_get(p->json, "password");
	bool has_password = admin_connect_is_text(username) && admin_connect_is_text(password);
	enum err e;

	*who = NULL;
	if (admin_connect_is_text(session)) {
		e = identity_of_text(&w->task, IDENTITY_TOKEN, json_object_get_string(session),
			(size_t)json_object_get_string_len(session), who);
		if (!has_password || !is_refusal(e))
			return e;
	}
	if (!has_password)
		return socket_connect_find(w, p, who);
	e = log_in(w, username, password, token);
	if (e == ERR_OK)
		e = identity_of_text(&w->task, IDENTITY_TOKEN, str_c(token), token->len, who);
	return e;
}

static void admin_connect_refuse(struct socket_work *w, struct slice nsp, enum err e)
{
	if (socket_connect_failed(w, nsp, e))
		return;
	log_info("refuse", "connect to /admin from %s: %s request_id=%s", w->post->address,
		err_code(e), w->post->request_id);
	socket_refuse(w, nsp, "invalid credentials", 0);
}

/* ---- CONNECT ---- */

static void admin_connect_join(
	struct socket_work *w, const struct packet *p, const struct principal *who)
{
	char socket_id[SOCKET_ID_SIZE], pid[SOCKET_PID_SIZE];
	struct op op = {
		.type = OP_CONNECT, .id = OPS_FROM_NOW, .nsp = p->nsp, .caller = caller_of(who)};

	/* Without a private id: there is nothing to recover. */
	socket_make_ids(socket_id, pid);
	op.socket_id = (struct slice){socket_id, strlen(socket_id)};
	socket_join(w, &op, who);
}

static void emit_session(struct socket_work *w, struct slice nsp, const struct str *token)
{
	struct str args = STR_INIT;

	str_adds(&args, "\"session\",");
	str_add_json(&args, str_c(token));
	socket_emit(w, nsp, &args);
	secret_wipe(args.p, args.len);
	str_fini(&args);
}

void admin_connect(struct socket_work *w, const struct packet *p)
{
	struct str token = STR_INIT;
	const struct principal *who;
	enum err e;

	do
		e = admin_connect_find(w, p, &token, &who);
	while (socket_connect_again(w, e));
	if (e == ERR_OK && !perm_has(who, ADMIN_PERM)) {
		principal_unref(who);
		e = ERR_FORBIDDEN;
	}
	if (e == ERR_OK) {
		admin_connect_join(w, p, who);
		if (token.len && !w->why_bad)
			emit_session(w, p->nsp, &token);
	} else {
		admin_connect_refuse(w, p->nsp, e);
	}
	secret_wipe(token.p, token.len);
	str_fini(&token);
}
