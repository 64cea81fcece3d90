/*
 * How many clients there are: in all, and of somebody or an address: sockets of a user ('u') or an
 * API key ('k'), sessions of an address ('a'), requests of /events of whoever it is ('h') and of an
 * address ('H'). The loop thread's.
 */
#ifndef CMDB_CLIENTS_H
#define CMDB_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct caller;
struct tally;

/* {0}: there are none. */
struct clients {
	struct tally *tallies;
	size_t held_n; /* requests of /events */
	/* Sessions, which live above: how many; one that may go goes, or false. NULL: there are
	 * none. */
	size_t (*sessions_n)(const void *sessions);
	bool (*evict)(void *sessions);
	void *sessions;
};

/* One more, unless there are max of them (0: no limit). */
bool tally_add(struct clients *all, char kind, const char *name, int64_t max);
void tally_drop(struct clients *all, char kind, const char *name);
/* The same of the sockets of a user or API key; nobody has no limit, and is none. */
bool tally_add_caller(struct clients *all, const struct caller *c, int64_t max);
void tally_drop_caller(struct clients *all, const struct caller *c); /* takes NULL */
/* The name by which /events counts the same: "user:7", "apikey:3"; "" for nobody. */
#define TALLY_NAME_SIZE 32
void tally_caller_name(const struct caller *c, char name[TALLY_NAME_SIZE]);
/* All that poller.max_clients counts. */
size_t clients_n(const struct clients *all);
/* May there be one client more, a waiting request or a session (max: poller.max_clients)? Who has
 * not shown who he is keeps out nobody: sessions without a namespace go for it, the oldest first.
 */
bool clients_make_room(struct clients *all, int64_t max);
void clients_fini(struct clients *all);

#endif
