/*
 * One worker thread: takes requests from the gateway, dispatches them, may block on libfcgi and on
 * its own database connection. Its fields belong to that thread, but for is_done.
 */
#ifndef CMDB_WORKER_H
#define CMDB_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app.h"
#include "db.h"
#include "str.h"

struct gateway;
struct conn;

struct worker {
	struct app *app;
	struct settings *settings;    /* of the request at hand */
	struct db *db;                /* ctx->db; not NULL while a request is worked on */
	struct settings *db_settings; /* what db logs in with */
	struct conn *conn;
	struct str path, body, head; /* of the request at hand; memory is kept for the next */
	uint64_t random[4];          /* request ids: xoshiro256**, seeded by libsodium */
	pthread_t thread;
	atomic_bool is_done;
};

/* gateway NULL: a job thread's, which takes no requests. */
void worker_init(struct worker *w, struct app *app, struct gateway *gateway);
void worker_fini(struct worker *w);
/* Makes sure that w->settings are those in force, and w->db is made with them. */
void worker_take_settings(struct worker *w);
void worker_put_settings(struct worker *w);
/* Answers requests until the gateway stops (or, for CGI, one). */
void worker_run(struct worker *w);

#endif
