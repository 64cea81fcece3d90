#include "health.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "http.h"
#include "loop.h"
#include "probe.h"
#include "worker.h"

static void alive(struct ctx *ctx)
{
	struct str data = STR_INIT;

	str_adds(&data, "{\"status\":\"alive\"}");
	ctx_ok(ctx, 200, &data);
	str_fini(&data);
}

/* Places that are taken, of so many that there are. */
struct places {
	const char *name, *max_name;
	uint64_t n, max;
};

static bool has_places(const struct places *p)
{
	return p->n * 10 < p->max * 9;
}

static uint64_t figure_of_host(const struct ctx *ctx, enum figure which)
{
	return ctx->task.shm ? figure_get(ctx->task.shm->figures, which) : 0;
}

/* What can run out: on the host, whichever process answers, and in this process. */
static bool put_places(struct ctx *ctx, struct str *data)
{
	const struct config *cfg = ctx->task.cfg;
	const struct places all[] = {
		{"connections", "maxConnections", figure_of_host(ctx, FIGURE_SESSIONS),
			(uint64_t)cfg->socketio.max_sessions},
		{"clients", "maxClients", figure_of_host(ctx, FIGURE_CLIENTS),
			(uint64_t)cfg->poller.max_clients},
		{"parked", "maxParked", loop_parked_n(ctx->task.worker->app->loop),
			(uint64_t)cfg->fcgi.max_parked},
	};
	bool is_enough = true;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		str_addf(data, "\"%s\":%llu,\"%s\":%llu,", all[i].name,
			(unsigned long long)all[i].n, all[i].max_name,
			(unsigned long long)all[i].max);
		is_enough = is_enough && has_places(&all[i]);
	}
	return is_enough;
}

static void ready(struct ctx *ctx)
{
	struct app *app = ctx->task.worker->app;
	/* A process of plain CGI has no link of its own until it needs one. */
	bool has_poller = shm_is_fresh(ctx->task.shm) && (app->is_cgi || loop_is_linked(app->loop));
	struct str data = STR_INIT;
	struct probe_found db;
	bool is_healthy;

	probe_look(app->probe, &db);
	str_addc(&data, '{');
	is_healthy = put_places(ctx, &data) && db.is_written && has_poller;
	str_addf(&data, "\"healthy\":%s,\"database\":\"%s\",\"writes\":\"%s\",\"poller\":\"%s\"}",
		is_healthy ? "true" : "false", db.is_read ? "ok" : "unreachable",
		db.is_written                  ? "ok"
		: db.is_waiting || !db.is_read ? "unknown"
					       : "failing",
		has_poller ? "ok" : "unreachable");
	ctx_ok(ctx, 200, &data);
	if (!is_healthy) {
		ctx->res.status = 503;
		str_adds(&ctx->res.headers, "Retry-After: 1\r\n");
	}
	str_fini(&data);
}

/* ---- /metrics ---- */

/* What is not counted but looked up. */
static void look(struct app *app)
{
	const struct shm *page = atomic_load(&app->shm);
	_Atomic uint64_t *stats = app->stats;

	figure_set(stats, STAT_PARKED_NOW, loop_parked_n(app->loop));
	figure_set(stats, STAT_POLLER_UP, loop_is_linked(app->loop));
	figure_set(stats, STAT_TAIL, page ? atomic_load(&page->tail) : 0);
	figure_set(stats, STAT_UPTIME_MS, (uint64_t)(clock_ms() - app->started_ms));
}

static void metrics(struct ctx *ctx)
{
	struct app *app = ctx->task.worker->app;
	char pid[32];

	/* Whoever is on this machine may; from elsewhere it takes a permission. */
	if (!http_is_loopback(ctx->req.remote_addr) &&
		(!ctx_authenticate(ctx) || !ctx_permit(ctx, "ws:admin")))
		return;
	ctx->res.status = 200;
	ctx->res.content_type = "text/plain; version=0.0.4; charset=utf-8";
	look(app);
	snprintf(pid, sizeof(pid), "pid=\"%ld\"", (long)getpid());
	figure_put_metrics(&ctx->res.body, stat_rows, STAT_N, app->stats, pid);
	/* The same from whichever process answers, so they have no pid. */
	if (ctx->task.shm)
		figure_put_metrics(
			&ctx->res.body, figure_rows, FIGURE_N, ctx->task.shm->figures, "");
}

const struct route health_routes[] = {
	{.methods = HTTP_GET, .pattern = "/healthz", .flags = ROUTE_OPEN, .handle = alive},
	{.methods = HTTP_GET, .pattern = "/api/ws/health", .flags = ROUTE_OPEN, .handle = ready},
	{.methods = HTTP_GET, .pattern = "/ws/health", .flags = ROUTE_OPEN, .handle = ready},
	{.methods = HTTP_GET, .pattern = "/metrics", .flags = ROUTE_OPEN, .handle = metrics},
};
const size_t health_routes_n = sizeof(health_routes) / sizeof(health_routes[0]);
