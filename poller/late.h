/*
 * Events that came behind the tail, since the transaction that held their ids was given up: whoever
 * was past them gets them all the same. The loop thread's.
 *
 * A waiter of /events that is held gets them at once. One that is between two requests has a cursor
 * past them, which does not tell it from those that got them, so what is released next brings them
 * to everybody once more; and who comes back only after that is told to read anew. To a session
 * between two GETs they are queued (session_late.h). They go into the ring at their place, for
 * cursors before them.
 */
#ifndef CMDB_LATE_H
#define CMDB_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct group;
struct record;

struct late;
struct late *late_new(void);
void late_free(struct late *late);
void late_forget(struct late *late); /* all of them */
/* A copy of r, which has come when the tail was there. */
void late_remember(struct late *late, const struct record *r, uint64_t tail);
/* How many came since late_take_fresh(), which puts them into records, borrowed. */
size_t late_fresh_n(const struct late *late);
void late_take_fresh(struct late *late, struct record **records);
/* May a waiter that has all up to since have missed one for good? */
bool late_missed(const struct late *late, const struct group *g, uint64_t since, uint64_t tail);

#endif
