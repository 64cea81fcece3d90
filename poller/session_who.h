/*
 * Whose sessions and sockets are, and how many of them a user or an address has. The loop thread's.
 */
#ifndef CMDB_SESSION_WHO_H
#define CMDB_SESSION_WHO_H

#include <stdbool.h>
#include <stdint.h>

#include "ops.h"

struct sessions;
struct sock;

/* Whom it is of. Shared by a session's sockets; immutable; counted. */
struct person {
	unsigned refs;
	uint32_t tenant_id;
	uint64_t user_id, apikey_id;
	int64_t expires_s;
	char *username, *jti;
};

struct person *person_new(const struct ops_caller *c);
struct person *person_ref(struct person *p);
void person_put(struct person *p);                                  /* takes NULL */
struct ops_caller person_caller(const struct person *p);            /* borrows; NULL: nobody */
bool person_is(const struct person *p, const struct ops_caller *c); /* the same one; NULL: no */
bool sock_is_main(const struct sock *k);                            /* of namespace "/" */
uint32_t sock_tenant(const struct sock *k);                         /* 0: it is nobody's */

/* One more of a user ('u') or an address ('a'), unless it has max of them (0: no limit); 'h' and
 * 'H': of requests of /events. */
bool tally_add(struct sessions *ss, char kind, const char *name, int64_t max);
void tally_drop(struct sessions *ss, char kind, const char *name);
void tallies_free(struct sessions *ss);

#endif
