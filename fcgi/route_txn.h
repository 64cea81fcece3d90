/*
 * A ROUTE_TXN request as a unit of work (txn.h): the handler's changes, the answer to its
 * Idempotency-Key, its audit row and its events. Worker threads; blocks.
 */
#ifndef CMDB_ROUTE_TXN_H
#define CMDB_ROUTE_TXN_H

#include "route.h"
#include "txn.h"

struct app;

/* Runs the route's handler and leaves the answer in ctx->res, whatever happens. */
void route_txn_run(struct ctx *ctx);
/* Events may have been committed: whoever caches what they tell of forgets it, and the poller has a
 * look. */
void route_txn_told(struct app *app, const struct event_out *events, size_t n);

#endif
