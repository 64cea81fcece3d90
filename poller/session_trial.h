/*
 * Whether the operations of an APPLY (ops.h) can be done to a session: tried in their order, before
 * anything is, so that it is all of them or none. The loop thread's.
 */
#ifndef CMDB_SESSION_TRIAL_H
#define CMDB_SESSION_TRIAL_H

#include <stdbool.h>

#include "bytes.h"
#include "wire.h"

struct caller_view;
struct session;
struct sock;

/* OK, or STALE: something is not any more as it was when they were decided on; LACKS: of a body
 * that is not here; BAD: no session can do them. */
enum wire_done session_trial(const struct session *s, struct slice ops);
bool sock_is_of(const struct sock *k, const struct caller_view *c); /* the same caller? */

#endif
