#include "dispatch.h"

#include <string.h>

#include "cache.h"
#include "clock.h"
#include "conn.h"
#include "ctx.h"
#include "engine.h"
#include "http.h"
#include "intake.h"
#include "route_txn.h"
#include "worker.h"

#define PREFLIGHT_MAX_AGE_S "600"
#define TEXT_OF(n) TEXT_OF_TOKEN(n)
#define TEXT_OF_TOKEN(n) #n

static const struct {
	enum http_method method;
	const char *names;
} methods[] = {{HTTP_GET, "GET, HEAD"}, {HTTP_POST, "POST"}, {HTTP_PUT, "PUT"},
	{HTTP_DELETE, "DELETE"}, {HTTP_OPTIONS, "OPTIONS"}};

static void add_methods(struct str *headers, const char *name, unsigned allowed)
{
	const char *between = ": ";

	str_adds(headers, name);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (!(allowed & methods[i].method))
			continue;
		str_adds(headers, between);
		str_adds(headers, methods[i].names);
		between = ", ";
	}
	str_adds(headers, "\r\n");
}

void dispatch_options(struct ctx *ctx, unsigned allowed)
{
	ctx->res.status = 204;
	add_methods(&ctx->res.headers, "Allow", allowed);
	if (!ctx->cors_origin || !ctx->req.cors_method[0])
		return;
	add_methods(&ctx->res.headers, "Access-Control-Allow-Methods", allowed);
	str_adds(&ctx->res.headers,
		"Access-Control-Allow-Headers: Authorization, "
		"Content-Type, Content-Encoding, X-API-Key, Idempotency-Key, If-None-Match, "
		"Last-Event-ID, Cache-Control\r\n"
		"Access-Control-Max-Age: " PREFLIGHT_MAX_AGE_S "\r\n");
}

/* Each step returns false when the request has been answered. */

static bool find_path(struct ctx *ctx, const struct http_meta *meta)
{
	if (http_read_target(
		    &ctx->req, meta, ctx->task.cfg->socketio.path, &ctx->task.worker->path))
		return true;
	ctx_fail(ctx, ERR_BAD_REQUEST,
		"The address is not well-formed, or too long: check its percent-encoding; its path "
		"may have " TEXT_OF(HTTP_PATH_MAX) " bytes, its query " TEXT_OF(
			HTTP_QUERY_MAX) ".");
	return false;
}

static bool find_route(struct ctx *ctx, const struct http_meta *meta)
{
	bool is_known = http_read_method(&ctx->req, meta->method);
	unsigned allowed;

	ctx->route = routes_find(ctx->task.worker->app->routes, is_known ? ctx->req.method : 0,
		ctx->req.path, &ctx->params, &allowed);
	if (ctx->route)
		return true;
	if (!allowed) {
		ctx_fail(ctx, ERR_NOT_FOUND, NULL);
		return false;
	}
	allowed |= HTTP_OPTIONS;
	if (is_known && ctx->req.method == HTTP_OPTIONS) {
		dispatch_options(ctx, allowed);
		return false;
	}
	ctx_fail(ctx, ERR_METHOD, NULL);
	add_methods(&ctx->res.headers, "Allow", allowed);
	return false;
}

/* The process that had the request died, and the web server tries again with what it knows of it:
 * the method and the body are gone. What is held may be held again; of all else nobody can say
 * whether it was done. */
static bool is_whole(struct ctx *ctx, const struct http_meta *meta)
{
	uint64_t length = 0;

	if (!http_is_again(meta))
		return true;
	parse_u64(meta->sent_length, 0, UINT64_MAX, &length);
	if ((ctx->route->flags & ROUTE_PARKS) && length == 0)
		return true;
	ctx_fail(ctx, ERR_UNAVAILABLE, NULL);
	return false;
}

static bool read_body(struct ctx *ctx, const struct http_meta *meta, struct conn *conn)
{
	const size_t max = (size_t)ctx->task.cfg->fcgi.max_body;
	struct str *body = &ctx->task.worker->body;

	if (ctx->req.method == HTTP_GET)
		return true;
	switch (conn_read_body(conn, meta->content_length, meta->transfer_encoding, max, body)) {
	case CONN_BODY_WHOLE:
		ctx->req.body = str_c(body);
		ctx->req.body_len = body->len;
		return true;
	case CONN_BODY_TOO_LARGE:
		ctx_failf(ctx, ERR_TOO_LARGE, "The body may have at most %zu bytes.", max);
		return false;
	case CONN_BODY_SHORT:
		ctx_fail(ctx, ERR_BAD_REQUEST, "The body ended before its Content-Length.");
		return false;
	case CONN_BODY_LATE:
		ctx_fail(ctx, ERR_TIMEOUT, NULL);
		return false;
	case CONN_BODY_NO_LENGTH:
		ctx_fail(ctx, ERR_NO_LENGTH, NULL);
		return false;
	case CONN_BODY_BAD_LENGTH:
		break;
	}
	ctx_fail(ctx, ERR_BAD_REQUEST, "Content-Length is no number.");
	return false;
}

/* Whose work it is, if not everybody's. */
static struct jobs *place_of(const struct ctx *ctx)
{
	const struct app *app = ctx->task.worker->app;

	if (ctx->route->flags & ROUTE_HASHES)
		return app->passwords;
	if (!(ctx->route->flags & (ROUTE_DB | ROUTE_TXN)))
		return NULL;
	if (ctx->route->flags & ROUTE_SEARCH)
		return app->searches;
	return ctx->req.method == HTTP_GET ? app->reads : app->changes;
}

/* true: it is to be begun anew by other threads. */
static bool is_elsewhere(struct ctx *ctx)
{
	struct jobs *place = place_of(ctx), *here = ctx->task.worker->pool;

	if (place && here && place != here)
		ctx->pass_to = place;
	return ctx->pass_to != NULL;
}

static bool is_in_place(struct ctx *ctx)
{
	/* Of what else needs other threads it is to be known first who asks. */
	if ((ctx->route->flags & (ROUTE_OPEN | ROUTE_HASHES)) && is_elsewhere(ctx))
		return false;
	if ((ctx->route->flags & ROUTE_HASHES) && ctx->task.worker->is_refusing) {
		ctx_fail(ctx, ERR_BUSY, NULL);
		return false;
	}
	return true;
}

static bool admit(struct ctx *ctx)
{
	if (ctx->route->flags & ROUTE_OPEN)
		return true;
	if (!ctx_authenticate(ctx))
		return false;
	return !ctx->route->perm || ctx_permit(ctx, ctx->route->perm);
}

/* What is in the cache is answered by whoever has it. */
static bool is_for_others(struct ctx *ctx)
{
	return !(ctx->route->flags & ROUTE_CACHED) && is_elsewhere(ctx);
}

static bool take_body(struct ctx *ctx)
{
	struct str why = STR_INIT;
	enum err e = ERR_OK;

	if (ctx->req.method != HTTP_GET)
		e = intake_body(ctx->route, &ctx->req, (size_t)ctx->task.cfg->fcgi.max_body,
			&ctx->task.worker->inflated, &ctx->body, &why);
	if (e != ERR_OK)
		ctx_fail(ctx, e, str_c(&why));
	if (e == ERR_MEDIA_TYPE && intake_is_encoded(&ctx->req)) /* RFC 9110 section 15.5.16 */
		str_addf(&ctx->res.headers, "Accept-Encoding: %s\r\n",
			ctx->route->flags & ROUTE_GZIP ? "gzip" : "identity");
	str_fini(&why);
	return e == ERR_OK;
}

static void run_db(struct ctx *ctx)
{
	enum err e;

	/* A lost connection shows when it is used; a GET has changed nothing then. */
	for (int i = 0; i < 2; i++) {
		ctx_reset(ctx);
		e = db_ensure(ctx->task.db);
		if (e != ERR_OK) {
			ctx_fail_db(ctx, e, "connect");
			return;
		}
		ctx->route->handle(ctx);
		if (ctx->failed != ERR_DB_LOST || ctx->req.method != HTTP_GET)
			return;
	}
}

static void run_timed(struct ctx *ctx)
{
	_Atomic uint64_t *stats = ctx->task.worker->app->stats;
	int64_t from = clock_us();

	if (ctx->route->flags & ROUTE_TXN)
		route_txn_run(ctx);
	else
		run_db(ctx);
	figure_add(stats, STAT_DATABASE_US, (uint64_t)(clock_us() - from));
	figure_add(stats, STAT_DATABASE, 1);
}

static void run_cached(struct ctx *ctx)
{
	struct app *app = ctx->task.worker->app;
	const struct route *r = ctx->route;
	struct cache_note note;
	bool is_fresh = cache_note(&note, ctx->task.shm, ctx->task.who->tenant_id, r->topic);
	bool may_keep = is_fresh && ctx->task.cfg->fcgi.cache;

	if (may_keep)
		ctx->cached = cache_get(
			app->cache, ctx->task.who->tenant_id, ctx->req.path, ctx->req.query, &note);
	if (!ctx->cached && is_elsewhere(ctx))
		return;
	figure_add(app->stats, ctx->cached ? STAT_CACHE_HITS : STAT_CACHE_MISSES, 1);
	if (!ctx->cached) {
		run_timed(ctx);
		if (ctx->res.status != 200)
			return;
		ctx->cached = cached_new(&ctx->res.body, is_fresh ? &note.tail : NULL);
		if (may_keep)
			cache_add(app->cache, ctx->task.who->tenant_id, ctx->req.path,
				ctx->req.query, &note, ctx->cached);
	}
	ctx->res.status = 200;
	ctx->res.content_type = "application/json";
	if (http_etag_matches(ctx->req.if_none_match, ctx->cached->etag))
		ctx->res.status = 304;
}

void dispatch(struct ctx *ctx, const struct http_meta *meta, struct conn *conn)
{
	if (!find_path(ctx, meta))
		return;
	if (engine_is_at(ctx->task.cfg, ctx->req.path)) {
		engine_serve(ctx, meta, conn);
		return;
	}
	if (!find_route(ctx, meta) || !is_whole(ctx, meta) || !is_in_place(ctx) ||
		!read_body(ctx, meta, conn) || !admit(ctx) || is_for_others(ctx) || !take_body(ctx))
		return;
	if (ctx->route->flags & ROUTE_CACHED)
		run_cached(ctx);
	else if (ctx->route->flags & (ROUTE_DB | ROUTE_TXN))
		run_timed(ctx);
	else
		ctx->route->handle(ctx);
}
