/*
 * One worker thread of a pool (jobs.h): works on requests that came whole and on parked ones, and
 * may block on its own database connection. Its fields belong to that thread.
 */
#ifndef CMDB_WORKER_H
#define CMDB_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "app.h"
#include "db.h"
#include "str.h"

struct conn;
struct job;

struct worker {
	struct app *app;
	struct jobs *pool;            /* whose thread it is; NULL (CGI): it does everything */
	struct settings *settings;    /* of the request at hand */
	struct db *db;                /* ctx->db; not NULL while a request is worked on */
	struct settings *db_settings; /* what db logs in with */
	struct conn *conn;            /* NULL until it has had a request */
	bool is_refusing;   /* no password may be hashed for this job: it has waited too long */
	bool hashes;        /* may hash passwords */
	struct jobs *needs; /* what it works on for a park is for these threads; NULL: for it */
	struct str path, body, inflated,
		head;       /* of the request at hand; memory is kept for the next */
	uint64_t random[4]; /* request ids: xoshiro256**, seeded by libsodium */
	pthread_t thread;
};

void worker_init(struct worker *w, struct app *app);
void worker_fini(struct worker *w);
/* Gives the database connection back; the next job has another. */
void worker_drop_db(struct worker *w);
/* Makes sure that w->settings are those in force, and w->db is made with them. */
void worker_take_settings(struct worker *w);
void worker_put_settings(struct worker *w);
/* What the job of a request (struct request) runs: answers it, or has it parked. */
void worker_serve(struct job *j, struct worker *w);
void worker_serve_cgi(struct worker *w);

#endif
