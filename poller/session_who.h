/*
 * Whose sessions and sockets are, and how many of them a user or an address has. The loop thread's.
 */
#ifndef CMDB_SESSION_WHO_H
#define CMDB_SESSION_WHO_H

#include <stdbool.h>
#include <stdint.h>

struct sessions;
struct sock;

bool sock_is_main(const struct sock *k);    /* of namespace "/" */
uint32_t sock_tenant(const struct sock *k); /* 0: it is nobody's */

/* One more of a user ('u') or an address ('a'), unless it has max of them (0: no limit); 'h' and
 * 'H': of requests of /events. */
bool tally_add(struct sessions *ss, char kind, const char *name, int64_t max);
void tally_drop(struct sessions *ss, char kind, const char *name);
void tallies_free(struct sessions *ss);

#endif
