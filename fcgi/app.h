/*
 * What all threads of one cmdb-fcgi process share. Made by main(), lives until the last thread has
 * ended. The fields are set before the threads start and never change; what they point to says how
 * it is shared.
 */
#ifndef CMDB_APP_H
#define CMDB_APP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "config.h"
#include "held.h"
#include "shm.h"
#include "stats.h"
#include "token.h"

/* Configuration and keys as of one (re)load: immutable, counted. A request holds the one it began
 * with. */
struct settings {
	atomic_uint refs;
	struct config cfg;
	struct token_key *key;
};

/* Where settings come from, the same at each reload; texts are main()'s. */
struct settings_source {
	const char *file;
	const char *const *sets;
	size_t sets_n;
};

struct app {
	struct loop *loop; /* parked requests and the poller link; loop.h */
	/* What may block; jobs.h. */
	struct jobs *requests;           /* that came whole; what may wait for locks goes on to: */
	struct jobs *reads;              /* GETs of rows that are not in the cache */
	struct jobs *changes;            /* what changes rows */
	struct jobs *events;             /* work for parked requests; of these goes on to: */
	struct jobs *lists;              /* what asks for rows */
	struct jobs *searches;           /* of requests and parked ones: what looks at many rows */
	struct jobs *passwords;          /* of both, what hashes one */
	struct probe *probe;             /* can the database be written to; probe.h */
	struct log_file *log_file;       /* log_file.h */
	struct cache *cache;             /* rendered answers; cache.h */
	struct identities *identities;   /* who a token or key belongs to; identity.h */
	struct routes *routes;           /* route.h; read only */
	const struct db_set *const *sql; /* what workers prepare; ends with NULL */
	_Atomic(struct shm *) shm; /* NULL until there was a poller; a replaced page stays mapped */
	pthread_mutex_t settings_lock;
	struct settings *settings; /* under settings_lock; app_settings_get() */
	struct settings_source source;
	_Atomic uint64_t stats[STAT_N];
	struct held held;
	int64_t started_ms;
	bool is_cgi, is_mod_fcgid;
};

/* Loads settings and what hangs on them. false with *errors saying what is wrong, a line each. */
bool app_init(struct app *app, const struct settings_source *source, struct str *errors);
void app_fini(struct app *app);
/* Loads settings again; if they are bad, says so in the log and goes on with those there are. The
 * file of log lines is opened anew. */
void app_reload(struct app *app);

/* Does the web server start a process for each request at a time (fcgi.process_per_request)? Then
 * what this one holds keeps it from everything else. */
bool app_is_alone(struct app *app);
#define APP_ALONE_DB_IDLE_MS 500 /* what is held needs no database connection */

struct settings *app_settings_get(struct app *app); /* a reference of the caller's */
void app_settings_put(struct settings *s);          /* takes NULL */

#endif
