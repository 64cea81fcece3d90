/*
 * From a request to its answer: route.h says in which order. Worker threads; may block.
 */
#ifndef CMDB_DISPATCH_H
#define CMDB_DISPATCH_H

#include "http.h"
#include "route.h"

struct conn;

/* ctx: worker, cfg, db, shm and req (but path, method and body) are set. Leaves the answer in
 * ctx->res, in ctx->cached or, to be parked, in ctx->park. */
void dispatch(struct ctx *ctx, const struct http_meta *meta, struct conn *conn);
/* Answers OPTIONS for an address that takes the methods allowed; a preflight with what it asks. */
void dispatch_options(struct ctx *ctx, unsigned allowed);

#endif
