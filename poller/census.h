/*
 * The census: what each tenant has on this host, counted every poller.stats_s, which the chores'
 * thread publishes as system:stats (chore_stats.c). Its connections and their messages, its events
 * and lines of logs, and how far behind its connections are; nothing of another tenant's.
 *
 * Events are counted as they are released. Sessions are gone through by an errand, which takes up
 * what they have heard and been sent since the last one; of a session that ends meanwhile that is
 * taken up when its sockets leave, so each message counts once. What a session of two tenants'
 * sockets hears and is sent is nobody's.
 *
 * The loop thread's, but for what it hands over. An observer (observer.h).
 */
#ifndef CMDB_CENSUS_H
#define CMDB_CENSUS_H

#include <stddef.h>
#include <stdint.h>

#define CENSUS_EVENT "system:stats"

struct hub;
struct observer;
struct record;

/* Of a tenant, since the census before. */
struct census_row {
	uint32_t tenant_id;
	uint64_t connections, heard_n, sent_n, events_n, lines_n;
	/* Of the connection that is furthest behind: events, and the age of the oldest of them. */
	uint64_t lag_events;
	int64_t lag_ms;
};

/* Of the tenants that have connections; free() frees it. */
struct census_result {
	int64_t wall_ms, over_ms; /* when, and of how long */
	size_t n;
	struct census_row rows[];
};

extern const struct observer census_observer;

/* It was released. */
void census_count(struct hub *hub, const struct record *r);

#endif
