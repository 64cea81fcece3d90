/*
 * What requests do to sessions. LOOKUP tells a process what it has to know of one; APPLY brings
 * what it made of a POST: operations (lib/ops.h), which are all done, or none. The loop thread's.
 */
#ifndef CMDB_SESSION_APPLY_H
#define CMDB_SESSION_APPLY_H

#include <stdbool.h>

struct conn;
struct wire_frame;

/* is_decided: it has been in doubt for long enough (session_again.h). */
void session_lookup(struct conn *c, const struct wire_frame *f, bool is_decided);
void session_apply(struct conn *c, const struct wire_frame *f, bool is_decided);

#endif
