/*
 * Requests of /events as waiters (wait.h): each is held to how many one may hold, and has a
 * timeout. The loop thread's.
 */
#ifndef CMDB_WAIT_EVENTS_H
#define CMDB_WAIT_EVENTS_H

#include <stdbool.h>

struct conn;
struct wire_frame;

/* A WAIT frame. false: the frame is not acceptable (*why). */
bool wait_events_begin(struct conn *c, const struct wire_frame *f, const char **why);

#endif
