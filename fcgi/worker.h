/*
 * One worker thread: takes requests from the gateway, dispatches them, may block on libfcgi and on
 * its own database connection. Its fields belong to that thread.
 */
#ifndef CMDB_WORKER_H
#define CMDB_WORKER_H

#include "app.h"
#include "db.h"

struct worker {
	struct app *app;
	struct settings *settings; /* of the request at hand */
	struct db *db;             /* opened when first needed; ctx->db */
};

#endif
