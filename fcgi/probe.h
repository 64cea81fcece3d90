/*
 * Can the database be read, and can it be written? Found out by doing both: a read-only server, a
 * full disk, a wrong binlog_format or exhausted prepared statements show in nothing else.
 *
 * A try opens a connection, prepares, reads and writes one row; between two, a query on an open
 * connection sees whether the server is still there. It is made when somebody asks and
 * the last one is older than PROBE_EVERY_MS, once for all processes of the host: when it began and
 * what came of it is in the page they share (without a poller, once a process). A thread of its own
 * makes it, so that whoever asks waits for PROBE_WAIT_MS at most, whatever the database does; and
 * only one at a time waits, as long as something is known, so that those who ask while the database
 * hangs do not take the workers from everybody else. In plain CGI, without that thread, the one who
 * asks makes it.
 *
 * What a try found is logged with its reason when it is not what the one before found.
 */
#ifndef CMDB_PROBE_H
#define CMDB_PROBE_H

#include <stdbool.h>

#include "app.h"

#define PROBE_EVERY_MS 2000
#define PROBE_WAIT_MS 1000
#define PROBE_KNOWN_MS 10000 /* what was found counts as known for so long, while a try is made */

struct probe;

struct probe_found {
	bool is_read, is_written;
	bool is_waiting; /* neither yes nor no within PROBE_WAIT_MS; is_read may be true already */
};

struct probe *probe_new(struct app *app);
void probe_free(struct probe *p); /* takes NULL */
/* Any thread; once probe_start() was called it blocks for PROBE_WAIT_MS at most. */
void probe_look(struct probe *p, struct probe_found *found);
void probe_start(struct probe *p);
/* false: the thread is still at work at the deadline. */
bool probe_stop(struct probe *p, int64_t deadline_ms);

#endif
