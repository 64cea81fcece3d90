/*
 * Where what is done with waits to be freed. The loop's thread walks lists of waiters, sessions,
 * pages and connections, and what it calls for one of them may end any other. So whatever ends
 * leaves its lists at once, but its memory goes at one safe point a turn of the loop, when nothing
 * is being walked.
 */
#ifndef CMDB_GRAVE_H
#define CMDB_GRAVE_H

#include <stddef.h>

#include <event2/event.h>
#include <event2/event_struct.h>

struct dead;

struct grave {
	struct event safe_point;
	struct dead *dead;
	size_t n, cap;
};

/* on_safe_point(fd, what, arg) is called once in a turn that something was added in, and is to call
 * grave_empty(). */
void grave_init(
	struct grave *g, struct event_base *base, event_callback_fn on_safe_point, void *arg);
/* Frees what is in it. */
void grave_fini(struct grave *g);
/* destroy(thing) is called at the safe point; it may bury more. */
void grave_add(struct grave *g, void *thing, void (*destroy)(void *thing));
/* For who knows that nothing is walked: the safe point, and a start that reads what a process left
 * behind. */
void grave_empty(struct grave *g);

#endif
