#include "route_txn.h"

#include <string.h>

#include "ctx.h"
#include "log_file.h"
#include "loop.h"
#include "secret.h"
#include "shm.h"
#include "worker.h"

static const char unknown[] =
	"The database went away while it committed, so it is not known whether the change was "
	"made. Send the request again with an Idempotency-Key; if it had one, with the same.";

/* ---- Idempotency-Key ---- */

static bool read_key(struct ctx *ctx, struct txn_key *key)
{
	struct str all = STR_INIT, subject = STR_INIT;
	size_t len = strlen(ctx->req.idempotency_key);

	key->text = ctx->task.who ? ctx->req.idempotency_key : "";
	if (!key->text[0])
		return true;
	if (len > TXN_KEY_MAX || !json_is_utf8(key->text, len)) {
		ctx_problem(
			ctx, "Idempotency-Key", "must be UTF-8 and at most %d bytes", TXN_KEY_MAX);
		ctx_fail(ctx, ERR_BAD_REQUEST, NULL);
		return false;
	}
	str_addf(&subject, "%c:%llu", ctx->task.who->apikey_id ? 'k' : 'u',
		(unsigned long long)(ctx->task.who->apikey_id ? ctx->task.who->apikey_id
							      : ctx->task.who->user_id));
	memcpy(key->subject, subject.p, subject.len + 1);
	key->tenant_id = ctx->task.who->tenant_id;
	key->ttl_s = ctx->task.cfg->http.idempotency_ttl_s;
	str_addf(&all, "%d %s\n", (int)ctx->req.method, ctx->req.path);
	str_add(&all, ctx->req.body, ctx->req.body_len);
	secret_hash(key->hash, all.p, all.len);
	str_fini(&subject);
	str_fini(&all);
	return true;
}

static void give_answer(void *arg, int *status, struct slice *body)
{
	const struct http_res *res = &((struct ctx *)arg)->res;

	*status = res->status;
	*body = (struct slice){str_c(&res->body), res->body.len};
}

static void replay_answer(void *arg, int status, struct slice body)
{
	struct http_res *res = &((struct ctx *)arg)->res;

	res->status = status;
	res->content_type = "application/json";
	str_adds(&res->headers, "Idempotency-Replayed: true\r\n");
	str_add(&res->body, body.p, body.len);
}

/* ---- the work ---- */

static void reset_answer(void *arg)
{
	ctx_reset(arg);
}

static const char *method_name(enum http_method method)
{
	return method == HTTP_POST ? "POST" : method == HTTP_PUT ? "PUT" : "DELETE";
}

static void audit_request(struct ctx *ctx)
{
	struct str action = STR_INIT;

	str_addf(&action, "%s %s", method_name(ctx->req.method), ctx->route->pattern);
	txn_audit(ctx->txn, str_c(&action), str_c(&ctx->audit_target));
	str_fini(&action);
}

static enum err handle_request(struct txn *t, void *arg)
{
	struct ctx *ctx = arg;

	ctx->route->handle(ctx);
	if (ctx->failed == ERR_OK && !(ctx->route->flags & ROUTE_UNAUDITED))
		audit_request(ctx);
	return ctx->failed;
}

void route_txn_told(struct app *app, const struct event_out *events, size_t n)
{
	struct shm *shm = atomic_load(&app->shm);

	for (size_t i = 0; i < n; i++)
		shm_raise(shm, events[i].tenant_id, events[i].topic);
	if (n > 0)
		loop_doorbell(app->loop);
}

static void route_txn_tell_events(const struct event_out *events, size_t n, void *arg)
{
	route_txn_told(((struct ctx *)arg)->task.worker->app, events, n);
}

static const struct txn_work request_work = {
	.reset = reset_answer,
	.run = handle_request,
	.answer = give_answer,
	.replay = replay_answer,
	.told = route_txn_tell_events,
};

void route_txn_run(struct ctx *ctx)
{
	struct txn_key key = {.text = ""};
	struct str subject = STR_INIT;
	struct txn t = {.db = ctx->task.db,
		.request_id = ctx->task.request_id,
		.address = ctx->task.address};
	enum err e;

	if (!read_key(ctx, &key))
		return;
	if (ctx->task.who) {
		txn_put_subject(&subject, ctx->task.who);
		t.subject = subject.p;
		t.tenant_id = ctx->task.who->tenant_id;
	}
	t.key = key.text[0] ? &key : NULL;
	ctx->txn = &t;
	e = txn_run(&t, &request_work, ctx);
	ctx->txn = NULL;
	str_fini(&subject);
	if (e == ERR_OK && ctx->lines)
		log_file_write(ctx->task.worker->app->log_file, ctx->task.cfg, ctx->lines);
	/* What the handler refused, it has answered. */
	if (e == ERR_OK || (e == ctx->failed && e != ERR_DB_RETRY && e != ERR_DB_LOST))
		return;
	ctx_reset(ctx);
	if (t.is_unknown)
		ctx_fail(ctx, e, unknown);
	else if (e == ERR_IDEMPOTENCY)
		ctx_fail(ctx, e, NULL);
	else
		ctx_fail_db(ctx, e, ctx->route->pattern);
}
