/* CONNECT: a socket joins a namespace, and may go on from where one was lost. The loop thread's. */
#ifndef CMDB_SESSION_CONNECT_H
#define CMDB_SESSION_CONNECT_H

#include <stdbool.h>

struct op;
struct session;

/* OP_CONNECT, which may be done. false: s was closed, and may be freed. */
bool session_connect(struct session *s, const struct op *op);

#endif
