#include "ws.h"

#include <string.h>

#include "loop.h"
#include "park_question.h"
#include "question.h"
#include "worker.h"

/* ---- questions: the query string is what is asked, and the poller's answer is the data ---- */

static void add_argument(const char *key, const char *value, void *arg)
{
	/* The caller's token: read by dispatch. */
	if (strcmp(key, "token") != 0)
		json_object_object_add(arg, key, json_object_new_string(value));
}

/* The question that a route has in `arg`, of what is the caller's tenant's. */
static void ask(struct ctx *ctx)
{
	const struct question *q =
		question_find((struct slice){ctx->route->arg, strlen(ctx->route->arg)});
	struct json_object *args = json_object_new_object();
	struct park_question *a;

	if (!ctx_permit(ctx, q->perm)) {
		/* Answered. */
	} else if (!query_each(ctx->req.query, add_argument, args)) {
		ctx_fail(ctx, ERR_BAD_REQUEST, "The query string is not well encoded.");
	} else if (ctx->req.is_head) {
		ctx->res.status = 200;
		ctx->res.content_type = "application/json";
	} else if (!loop_reserve(ctx->worker->app->loop, (size_t)ctx->cfg->fcgi.max_parked)) {
		ctx_fail(ctx, ERR_BUSY, NULL);
	} else {
		a = park_question_new();
		a->question = q->name;
		a->tenant_id = ctx->who->tenant_id;
		json_print(&a->arguments, args);
		park_set_caller(&a->park, ctx->who, ctx->arrived_ms);
		ctx->park = &a->park;
	}
	json_object_put(args);
}

#define BOTH(method, path, ...)                                              \
	{.methods = (method), .pattern = "/ws/" path, __VA_ARGS__},          \
	{                                                                    \
		.methods = (method), .pattern = "/api/ws/" path, __VA_ARGS__ \
	}

const struct route ws_routes[] = {
	BOTH(HTTP_GET, "connections", .flags = ROUTE_PARKS, .handle = ask, .arg = "connections"),
};
const size_t ws_routes_n = sizeof(ws_routes) / sizeof(ws_routes[0]);
