/*
 * What one cmdb-fcgi process counts, for /metrics. Any thread; each number stands for itself.
 */
#ifndef CMDB_STATS_H
#define CMDB_STATS_H

#include <stdatomic.h>
#include <stdint.h>

struct stats {
	atomic_uint_fast64_t requests[6]; /* by first digit of the status */
	atomic_uint_fast64_t cache_hits, cache_misses;
	atomic_uint_fast64_t database_us, database_n; /* handlers with their transaction */
	atomic_uint_fast64_t parked_n;                /* ever */
	atomic_uint_fast64_t answered, expired, hung_up, revoked,
		refused; /* how parked ones ended */
	atomic_uint_fast64_t hold_ms, ended;
	atomic_uint_fast64_t job_us, job_n;            /* Socket.IO requests with events */
	atomic_uint_fast64_t handshakes, polls, posts; /* Engine.IO requests that came */
	atomic_uint_fast64_t engine_refused;           /* of these, those that were no good */
	atomic_uint_fast64_t unknown_events;
	atomic_uint_fast64_t poller_connects, poller_losses;
};

static inline void stats_add(atomic_uint_fast64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
