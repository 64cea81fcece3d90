/*
 * The inside of struct ctx that handlers do not see: its life on a worker, from one request to the
 * next and from one try of a transaction to the next. The worker's thread only.
 */
#ifndef CMDB_CTX_H
#define CMDB_CTX_H

#include "route.h"

/* Forgets what a handler has left, keeping request and caller: the handler can run again. */
void ctx_reset(struct ctx *ctx);
void ctx_fini(struct ctx *ctx);

#endif
