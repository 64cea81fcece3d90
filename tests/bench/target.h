/*
 * What is measured: something that holds requests until an event comes. Each kind knows how many it
 * holds and how to give it an event. An event carries "bench_seq":N, which shows in the body that
 * its waiters get (about 300 bytes whatever the kind), so that an answer can be told from another.
 *
 * target_waiters() and target_fire() block, and may be called from different threads.
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <stdbool.h>

#define TARGET_MARK "\"bench_seq\":"

struct target;

/* cmdb: an event is a plain INSERT into ws_events. topic must be one the waiters ask for. Texts are
 * borrowed. All three end the program when what they name is not there. */
struct target *target_cmdb(
	const char *db_socket, const char *db_name, const char *poller_socket, const char *topic);
/* tests/bench/floor, by its control socket. */
struct target *target_floor(const char *control_socket);
/* nchan: url is the server's; POST /publish gives it an event, GET /status its state. */
struct target *target_nchan(const char *url);
void target_free(struct target *t);

long target_waiters(struct target *t);
/* Returns when the target has taken the event: for cmdb, when COMMIT was acknowledged. */
void target_fire(struct target *t, unsigned seq);

#endif
