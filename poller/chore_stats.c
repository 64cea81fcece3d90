/*
 * system:stats: what the census has found of each tenant (census.h), with how the host is, as one
 * stored event a tenant, all by one statement. It says what was, so a try that fails is not made
 * again: the next figures come soon.
 */
#include <stdlib.h>

#include "census.h"
#include "chore.h"
#include "clock.h"
#include "event.h"
#include "host.h"
#include "str.h"
#include "txn.h"

struct stats_work {
	const struct census_result *found;
	int64_t node_id;
	struct host host;
};

static double stats_rate(uint64_t n, const struct census_result *found)
{
	return (double)n * 1000 / (double)(found->over_ms > 0 ? found->over_ms : 1);
}

static void stats_put_host(struct str *out, const struct host *h)
{
	str_addf(out,
		"\"host\":{\"load\":[%.2f,%.2f,%.2f],\"processors\":%llu,"
		"\"memory\":{\"total\":%llu,\"available\":%llu}}",
		h->load[0], h->load[1], h->load[2], (unsigned long long)h->processors_n,
		(unsigned long long)h->memory_bytes, (unsigned long long)h->free_bytes);
}

static void stats_put(struct str *out, const struct stats_work *w, const struct census_row *r)
{
	char at[CLOCK_RFC3339_SIZE];

	clock_rfc3339(w->found->wall_ms, at);
	str_addf(out,
		"{\"timestamp\":\"%s\",\"interval\":%.3f,\"node\":%lld,\"connections\":%llu,"
		"\"messagesPerSecond\":{\"in\":%.3f,\"out\":%.3f},\"eventsPerSecond\":%.3f,"
		"\"logLinesPerSecond\":%.3f,\"lag\":{\"events\":%llu,\"ms\":%lld},",
		at, (double)w->found->over_ms / 1000, (long long)w->node_id,
		(unsigned long long)r->connections, stats_rate(r->heard_n, w->found),
		stats_rate(r->sent_n, w->found), stats_rate(r->events_n, w->found),
		stats_rate(r->lines_n, w->found), (unsigned long long)r->lag_events,
		(long long)r->lag_ms);
	stats_put_host(out, &w->host);
	str_addc(out, '}');
}

static enum err stats_publish(struct txn *t, void *arg)
{
	const struct stats_work *w = arg;
	struct str json = STR_INIT;

	for (size_t i = 0; i < w->found->n; i++) {
		struct event_out e = {.tenant_id = w->found->rows[i].tenant_id,
			.topic = "stats",
			.type = EVENT_UPDATE,
			.name = CENSUS_EVENT};

		str_clear(&json);
		stats_put(&json, w, &w->found->rows[i]);
		e.payload = str_c(&json);
		txn_emit(t, &e);
	}
	str_fini(&json);
	return ERR_OK;
}

static enum err stats_run(struct chores *cs)
{
	struct census_result *found = chores_take(cs);
	struct stats_work w = {.found = found, .node_id = chores_cfg(cs)->poller.node_id};
	enum err e = ERR_OK;

	if (found && found->n) {
		host_look(&w.host);
		e = chore_unit(cs, stats_publish, &w);
	}
	free(found);
	return e;
}

static int64_t stats_every_s(const struct config *cfg)
{
	return cfg->poller.stats_s;
}

const struct chore chore_stats = {
	.name = "stats", .every_s = stats_every_s, .run = stats_run, .is_given = true};
