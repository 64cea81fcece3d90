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

/* ---- for those who keep transactions of their own ---- */

/* Runs step, which begins and commits one, again after a deadlock or, once, when the connection was
 * lost before COMMIT. Whatever fails is rolled back. */
enum err txn_retry(struct ctx *ctx, enum err (*step)(struct ctx *ctx, void *arg), void *arg)
	__attribute__((warn_unused_result));
/* COMMIT. One whose fate is not known is ERR_UNAVAILABLE, so that it is not tried again. */
enum err txn_commit(struct ctx *ctx) __attribute__((warn_unused_result));
/* An audit row of ctx->who's. */
enum err txn_audit(struct ctx *ctx, const struct str *action, const struct str *target)
	__attribute__((warn_unused_result));

#endif
