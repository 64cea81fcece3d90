/*
 * Commands of the Socket.IO Admin UI: OP_ADMIN (lib/ops.h), done to the sockets of the caller's
 * tenant. The loop thread's.
 */
#ifndef CMDB_ADMIN_COMMAND_H
#define CMDB_ADMIN_COMMAND_H

struct op;
struct sessions;

/* What it does may close any session. */
void admin_command(struct sessions *ss, const struct op *op);

#endif
