#include "ctx.h"

#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "http.h"
#include "identity.h"
#include "log.h"
#include "log_file.h"
#include "loop.h"
#include "mem.h"
#include "park.h"
#include "txn.h"
#include "worker.h"

static const char json[] = "application/json";

/* It is answered otherwise, or to be done again. */
static void ctx_unpark(struct ctx *ctx)
{
	if (!ctx->park)
		return;
	loop_release(ctx->task.worker->app->loop);
	park_free(ctx->park);
	ctx->park = NULL;
}

void ctx_reset(struct ctx *ctx)
{
	ctx_unpark(ctx);
	ctx->res.status = 0;
	str_clear(&ctx->res.headers);
	str_clear(&ctx->res.body);
	str_clear(&ctx->problems);
	ctx->problems_n = 0;
	str_clear(&ctx->audit_target);
	log_lines_free(ctx->lines);
	ctx->lines = NULL;
	ctx->failed = ERR_OK;
}

void ctx_fini(struct ctx *ctx)
{
	ctx_reset(ctx);
	str_fini(&ctx->res.headers);
	str_fini(&ctx->res.body);
	str_fini(&ctx->problems);
	str_fini(&ctx->audit_target);
	json_object_put(ctx->body);
	principal_unref(ctx->task.who);
	cached_put(ctx->cached);
}

void ctx_ok(struct ctx *ctx, int status, const struct str *data)
{
	struct http_res *res = &ctx->res;

	ctx->failed = ERR_OK;
	res->status = status;
	res->content_type = json;
	str_clear(&res->body);
	str_reserve(&res->body, data->len + 32);
	str_adds(&res->body, "{\"success\":true,\"data\":");
	str_add(&res->body, str_c(data), data->len);
	str_addc(&res->body, '}');
}

void ctx_fail(struct ctx *ctx, enum err e, const char *message)
{
	struct http_res *res = &ctx->res;

	ctx_unpark(ctx);
	if (ctx->failed != ERR_OK)
		str_clear(&res->headers);
	ctx->failed = e;
	res->status = err_status(e);
	res->content_type = json;
	str_clear(&res->body);
	http_put_error(&res->body, e, message, str_c(&ctx->problems));
	if (e == ERR_RATE_LIMITED && ctx->task.retry_s)
		str_addf(&res->headers, "Retry-After: %lld\r\n", (long long)ctx->task.retry_s);
	else if (!strstr(str_c(&res->headers), "Retry-After: "))
		http_put_error_headers(&res->headers, e);
}

void ctx_failf(struct ctx *ctx, enum err e, const char *fmt, ...)
{
	struct str message = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&message, fmt, ap);
	va_end(ap);
	ctx_fail(ctx, e, str_c(&message));
	str_fini(&message);
}

void ctx_fail_db(struct ctx *ctx, enum err e, const char *what)
{
	if (e == ERR_DB_RETRY)
		log_debug("db_retry", "%s: %s request_id=%s", what, db_errmsg(ctx->task.db),
			ctx->req.request_id);
	else
		log_error("db", "%s: %s request_id=%s", what, db_errmsg(ctx->task.db),
			ctx->req.request_id);
	ctx_fail(ctx, e, NULL);
}

void ctx_problem(struct ctx *ctx, const char *field, const char *fmt, ...)
{
	struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	if (ctx->problems_n++ > 0)
		str_addc(&ctx->problems, ',');
	str_adds(&ctx->problems, "{\"field\":");
	str_add_json(&ctx->problems, field);
	str_adds(&ctx->problems, ",\"problem\":");
	str_add_json_n(&ctx->problems, str_c(&text), text.len);
	str_addc(&ctx->problems, '}');
	str_fini(&text);
}

bool ctx_authenticate(struct ctx *ctx)
{
	enum err e;

	if (ctx->task.who)
		return true;
	e = identity_get(&ctx->task, &ctx->req, &ctx->task.who);
	if (e != ERR_OK) {
		if (err_status(e) >= 500)
			ctx_fail_db(ctx, e, "who asks");
		else
			ctx_fail(ctx, e, NULL);
		return false;
	}
	return true;
}

bool ctx_permit(struct ctx *ctx, const char *perm)
{
	if (perm_has(ctx->task.who, perm))
		return true;
	ctx_failf(ctx, ERR_FORBIDDEN, "This needs the permission %s.", perm);
	return false;
}

void ctx_emit(struct ctx *ctx, const struct event_out *e)
{
	struct event_out own = *e;

	/* What tells of users, roles and tokens concerns every tenant's caches. */
	own.tenant_id = ctx->task.who && strcmp(e->topic, EVENT_TOPIC_AUTH) != 0
				? ctx->task.who->tenant_id
				: 0;
	txn_emit(ctx->txn, &own);
}

void ctx_audit(struct ctx *ctx, const char *fmt, ...)
{
	va_list ap;

	if (ctx->audit_target.len > 0)
		str_addc(&ctx->audit_target, ' ');
	va_start(ap, fmt);
	str_addv(&ctx->audit_target, fmt, ap);
	va_end(ap);
}
