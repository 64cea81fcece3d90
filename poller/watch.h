/*
 * Ranges of ids that were passed while a transaction held them, or that the binlog has told of
 * since: events may show up there behind the tail. A bounded queue; no I/O. One thread owns it.
 */
#ifndef CMDB_WATCH_H
#define CMDB_WATCH_H

#include <stddef.h>

#include "order.h"

#define WATCH_MAX 256

/* {0} is an empty one. */
struct watch {
	struct span spans[WATCH_MAX]; /* the first is the next to look at */
	size_t n;
};

/* Adds a range at the end, unless it is empty or lies within one that is watched. Full, it forgets
 * the first, and says so in the log. */
void watch_add(struct watch *w, struct span span);
void watch_drop_first(struct watch *w);

#endif
