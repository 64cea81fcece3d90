/*
 * A ROUTE_TXN request: the handler's changes, the answer to its Idempotency-Key, its audit row and
 * its events are one transaction, run again when the database asks for it. Worker threads; blocks.
 */
#ifndef CMDB_TXN_H
#define CMDB_TXN_H

#include "route.h"

extern const struct db_set txn_sql;

/* Runs the route's handler and leaves the answer in ctx->res, whatever happens. */
void txn_run(struct ctx *ctx);

#endif
