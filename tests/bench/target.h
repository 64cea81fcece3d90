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
#include <stddef.h>

#include "options.h"

#define TARGET_MARK "\"bench_seq\":"

struct target;

/* Where it is: what one of the kinds needs, in the words of a command line. */
struct target_where {
	/* cmdb: an event is a plain INSERT into ws_events. topic must be one the waiters ask for;
	 * is_socket: they are Socket.IO clients. */
	const char *db_socket, *db_name, *poller, *topic;
	bool is_socket;
	/* cmdb, with these: an event is a POST /api/logs there of so many entries, one each of the
	 * devices bench-0, bench-1, ... */
	const char *logs, *header;
	long entries;
	const char *control; /* tests/bench/floor: its control socket */
	const char *nchan;   /* the server's URL: POST /publish, GET /status */
	const char *node;    /* URL of node/server.js's control port */
};
#define TARGET_USAGE                                                                 \
	"  --db-socket PATH --db NAME --poller SOCKET [--topic websites]    cmdb\n"  \
	"    [--logs http://ADDRESS:PORT --header 'X-API-Key: ...' --entries N]\n"   \
	"  --control SOCKET                                                 floor\n" \
	"  --nchan http://ADDRESS:PORT                                      nchan\n" \
	"  --node http://ADDRESS:PORT                                       Socket.IO's server"

/* Option rows (options.h) for a struct target_where that is member of a struct. */
#define TARGET_OPTIONS(type, member)                                                 \
	{"topic", offsetof(type, member.topic), OPTION_TEXT, 0, 0},                  \
		{"db-socket", offsetof(type, member.db_socket), OPTION_TEXT, 0, 0},  \
		{"db", offsetof(type, member.db_name), OPTION_TEXT, 0, 0},           \
		{"poller", offsetof(type, member.poller), OPTION_TEXT, 0, 0},        \
		{"logs", offsetof(type, member.logs), OPTION_TEXT, 0, 0},            \
		{"header", offsetof(type, member.header), OPTION_TEXT, 0, 0},        \
		{"entries", offsetof(type, member.entries), OPTION_NUMBER, 1, 1000}, \
		{"control", offsetof(type, member.control), OPTION_TEXT, 0, 0},      \
		{"nchan", offsetof(type, member.nchan), OPTION_TEXT, 0, 0},          \
	{                                                                            \
		"node", offsetof(type, member.node), OPTION_TEXT, 0, 0               \
	}

/* NULL: nothing is named there. What is named and not there ends the program. Borrows the texts. */
struct target *target_open(const struct target_where *where);
void target_free(struct target *t); /* takes NULL */

long target_waiters(struct target *t);
/* Returns when the target has taken the event: for cmdb, when COMMIT was acknowledged. */
void target_fire(struct target *t, unsigned seq);

#endif
