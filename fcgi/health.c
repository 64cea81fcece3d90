#include "health.h"

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

static void ready(struct ctx *ctx)
{
	struct app *app = ctx->worker->app;
	/* A process of plain CGI has no link of its own until it needs one. */
	bool has_poller = shm_is_fresh(ctx->shm) && (app->is_cgi || loop_is_linked(app->loop));
	size_t n = loop_parked_n(app->loop);
	bool has_room = (int64_t)n * 10 < ctx->cfg->fcgi.max_parked * 9;
	struct str data = STR_INIT;
	struct probe_found db;
	bool is_healthy;

	probe_look(app->probe, &db);
	is_healthy = db.is_written && has_poller && has_room;
	str_addf(&data,
		"{\"connections\":%zu,\"maxConnections\":%lld,\"healthy\":%s,\"database\":\"%s\","
		"\"writes\":\"%s\",\"poller\":\"%s\"}",
		n, (long long)ctx->cfg->fcgi.max_parked, is_healthy ? "true" : "false",
		db.is_read ? "ok" : "unreachable",
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

struct metric {
	const char *name, *labels, *type, *help; /* help NULL: one more of the metric before */
	double value;
	const double *sum; /* of a summary, whose value is its count */
};

static double count(const atomic_uint_fast64_t *c)
{
	return (double)atomic_load_explicit(c, memory_order_relaxed);
}

static void put_metric(struct str *out, const struct metric *m)
{
	if (m->help)
		str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
	if (m->sum)
		str_addf(out, "%s_sum{pid=\"%ld\"} %.15g\n", m->name, (long)getpid(), *m->sum);
	str_addf(out, "%s%s{pid=\"%ld\"%s%s} %.15g\n", m->name, m->sum ? "_count" : "",
		(long)getpid(), m->labels[0] ? "," : "", m->labels, m->value);
}

static void put_metrics(struct str *out, struct app *app)
{
	const struct stats *s = &app->stats;
	const struct shm *page = atomic_load(&app->shm);
	const double hold_s = count(&s->hold_ms) / 1e3, database_s = count(&s->database_us) / 1e6;
	const double job_s = count(&s->job_us) / 1e6;
	const struct metric all[] = {
		{"cmdb_fcgi_requests_total", "class=\"2xx\"", "counter",
			"Requests by class of status.", count(&s->requests[2]), NULL},
		{"cmdb_fcgi_requests_total", "class=\"3xx\"", NULL, NULL, count(&s->requests[3]),
			NULL},
		{"cmdb_fcgi_requests_total", "class=\"4xx\"", NULL, NULL, count(&s->requests[4]),
			NULL},
		{"cmdb_fcgi_requests_total", "class=\"5xx\"", NULL, NULL, count(&s->requests[5]),
			NULL},
		{"cmdb_fcgi_parked", "", "gauge", "Requests held now.",
			(double)loop_parked_n(app->loop), NULL},
		{"cmdb_fcgi_parked_total", "", "counter", "Requests held so far.",
			count(&s->parked_n), NULL},
		{"cmdb_fcgi_parked_ended_total", "how=\"answered\"", "counter",
			"Held requests by how they ended; an answer may be empty.",
			count(&s->answered), NULL},
		{"cmdb_fcgi_parked_ended_total", "how=\"expired\"", NULL, NULL, count(&s->expired),
			NULL},
		{"cmdb_fcgi_parked_ended_total", "how=\"hung_up\"", NULL, NULL, count(&s->hung_up),
			NULL},
		{"cmdb_fcgi_parked_ended_total", "how=\"revoked\"", NULL, NULL, count(&s->revoked),
			NULL},
		{"cmdb_fcgi_parked_ended_total", "how=\"refused\"", NULL, NULL, count(&s->refused),
			NULL},
		{"cmdb_fcgi_hold_seconds", "", "summary", "How long requests were held.",
			count(&s->ended), &hold_s},
		{"cmdb_fcgi_database_seconds", "", "summary",
			"How long requests used the database.", count(&s->database_n), &database_s},
		{"cmdb_fcgi_engine_requests_total", "kind=\"handshake\"", "counter",
			"Engine.IO requests.", count(&s->handshakes), NULL},
		{"cmdb_fcgi_engine_requests_total", "kind=\"get\"", NULL, NULL, count(&s->polls),
			NULL},
		{"cmdb_fcgi_engine_requests_total", "kind=\"post\"", NULL, NULL, count(&s->posts),
			NULL},
		{"cmdb_fcgi_engine_refused_total", "", "counter",
			"Engine.IO requests that were bad, or not let in.",
			count(&s->engine_refused), NULL},
		{"cmdb_fcgi_job_seconds", "", "summary",
			"How long events of Socket.IO requests took.", count(&s->job_n), &job_s},
		{"cmdb_fcgi_unknown_events_total", "", "counter",
			"Socket.IO events that nobody handles.", count(&s->unknown_events), NULL},
		{"cmdb_fcgi_cache_hits_total", "", "counter", "Answers served from memory.",
			count(&s->cache_hits), NULL},
		{"cmdb_fcgi_cache_misses_total", "", "counter", "Cacheable answers made anew.",
			count(&s->cache_misses), NULL},
		{"cmdb_fcgi_poller_up", "", "gauge", "Is there a connection to the poller?",
			loop_is_linked(app->loop), NULL},
		{"cmdb_fcgi_poller_connects_total", "", "counter",
			"Connections made to the poller.", count(&s->poller_connects), NULL},
		{"cmdb_fcgi_poller_losses_total", "", "counter", "Connections to the poller lost.",
			count(&s->poller_losses), NULL},
		{"cmdb_tail", "", "gauge", "Last event released on this host.",
			page ? (double)atomic_load(&page->tail) : 0, NULL},
		{"cmdb_fcgi_uptime_seconds", "", "gauge", "Age of this process.",
			(double)(clock_ms() - app->started_ms) / 1e3, NULL},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		put_metric(out, &all[i]);
}

/* The poller's figures: the same from whichever process answers, so they have no pid. */
static const struct {
	enum shm_figure figure;
	const char *name, *labels, *type, *help;
} poller_figures[] = {
	{SHM_WAITERS, "cmdb_poller_waiters", "", "gauge",
		"Requests waiting for events on this host."},
	{SHM_EVENTS_RELEASED, "cmdb_poller_events_released_total", "", "counter",
		"Events released in order."},
	{SHM_EVENTS_DELIVERED, "cmdb_poller_events_delivered_total", "", "counter",
		"Events in answers, counted per request."},
	{SHM_READ_AGE_MS, "cmdb_poller_read_age_milliseconds", "", "gauge",
		"Time since the event log was last read."},
	{SHM_GAP_AGE_MS, "cmdb_poller_gap_age_milliseconds", "", "gauge",
		"How long an open transaction has held back the events behind its own; 0: none "
		"does."},
	{SHM_EVENTS_HELD, "cmdb_poller_events_held", "", "gauge",
		"Committed events held back by it."},
	{SHM_DEAD_IDS, "cmdb_poller_dead_ids_total", "", "counter", "Ids that were rolled back."},
	{SHM_LATE_EVENTS, "cmdb_poller_late_events_total", "", "counter",
		"Events delivered behind others that have larger ids."},
	{SHM_RENAMED_EVENTS, "cmdb_poller_renamed_events_total", "", "counter",
		"Events with a name that no event may have."},
	{SHM_REPLAYED_PAGES, "cmdb_poller_replayed_pages_total", "", "counter",
		"Pages of old events looked through for clients that catch up."},
	{SHM_RESETS_EXPIRED, "cmdb_poller_resets_total", "reason=\"expired\"", "counter",
		"Cursors that were answered with a reset."},
	{SHM_RESETS_EPOCH, "cmdb_poller_resets_total", "reason=\"epoch\"", NULL, NULL},
	{SHM_RESETS_AHEAD, "cmdb_poller_resets_total", "reason=\"ahead\"", NULL, NULL},
	{SHM_BINLOG_UP, "cmdb_poller_binlog_up", "", "gauge",
		"Do commits come through the binlog?"},
	{SHM_SESSIONS, "websocket_connections", "", "gauge", "Socket.IO sessions now."},
	{SHM_SESSIONS_OPENED, "websocket_connections_total", "", "counter",
		"Socket.IO sessions opened."},
	{SHM_SESSIONS_REFUSED, "websocket_connections_refused_total", "", "counter",
		"Sessions and sockets above a limit."},
	{SHM_SESSIONS_RECOVERED, "websocket_recoveries_total", "", "counter",
		"Clients that went on where they were after a drop."},
	{SHM_SESSIONS_ADOPTED, "websocket_sessions_adopted_total", "", "counter",
		"Sessions taken up from before the poller's start."},
	{SHM_PING_TIMEOUTS, "websocket_ping_timeouts_total", "", "counter",
		"Sessions whose client answered no ping."},
	{SHM_MESSAGES_SENT, "websocket_messages_sent_total", "", "counter",
		"Events sent, counted per session."},
	{SHM_MESSAGES_RECEIVED, "websocket_messages_received_total", "", "counter",
		"Events received."},
	{SHM_MESSAGES_LIMITED, "websocket_messages_limited_total", "", "counter",
		"Events refused because their session sent too many."},
	{SHM_SUBSCRIPTIONS, "websocket_subscriptions_total", "", "counter",
		"Topics that sessions have asked for."},
	{SHM_ANSWERS_RESENT, "websocket_answers_resent_total", "", "counter",
		"Answers given again, because whether they arrived was not known."},
	{SHM_QUEUE_OVERFLOWS, "websocket_queue_overflows_total", "", "counter",
		"Clients that did not fetch their replies and had to start anew."},
};

static void put_poller_figures(struct str *out, const struct shm *page)
{
	for (size_t i = 0; page && i < sizeof(poller_figures) / sizeof(poller_figures[0]); i++) {
		const char *name = poller_figures[i].name, *labels = poller_figures[i].labels;

		if (poller_figures[i].help)
			str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, poller_figures[i].help,
				name, poller_figures[i].type);
		str_addf(out, "%s%s%s%s %llu\n", name, labels[0] ? "{" : "", labels,
			labels[0] ? "}" : "",
			(unsigned long long)atomic_load(&page->figure[poller_figures[i].figure]));
	}
}

static void metrics(struct ctx *ctx)
{
	/* Whoever is on this machine may; from elsewhere it takes a permission. */
	if (!http_is_loopback(ctx->req.remote_addr) &&
		(!ctx_authenticate(ctx) || !ctx_permit(ctx, "ws:admin")))
		return;
	ctx->res.status = 200;
	ctx->res.content_type = "text/plain; version=0.0.4; charset=utf-8";
	put_metrics(&ctx->res.body, ctx->worker->app);
	put_poller_figures(&ctx->res.body, ctx->shm);
}

const struct route health_routes[] = {
	{.methods = HTTP_GET, .pattern = "/healthz", .flags = ROUTE_OPEN, .handle = alive},
	{.methods = HTTP_GET, .pattern = "/api/ws/health", .flags = ROUTE_OPEN, .handle = ready},
	{.methods = HTTP_GET, .pattern = "/metrics", .flags = ROUTE_OPEN, .handle = metrics},
};
const size_t health_routes_n = sizeof(health_routes) / sizeof(health_routes[0]);
