/*
 * Bytes that many clients are sent: the rows of a topic, an event that goes to all. They are here
 * once however many sessions wait to be given them; counted, found by what they say, never changed.
 * Who keeps them for a client has a reference; what is on its way through a connection, a loan.
 * The loop thread's.
 */
#ifndef CMDB_SHARED_H
#define CMDB_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include <uthash.h>

#include "bytes.h"
#include "secret.h"

#define SHARED_KEY_SIZE SECRET_SHORT_SIZE /* secret_hash_short() of the bytes */

struct shared {
	unsigned char key[SHARED_KEY_SIZE];
	struct shared_pool *pool;
	size_t refs, loans, len;
	bool is_kept; /* the journal has it */
	UT_hash_handle hh;
	char bytes[];
};

/* {0} is an empty one. It has to outlive all that is in it. */
struct shared_pool {
	struct shared *by_key;
	size_t bytes; /* of those that are referred to */
};

/* A loan to the caller of these bytes, which are copied if they are not there yet. */
struct shared *shared_get(struct shared_pool *pool, struct slice bytes);
/* Borrowed; NULL: it is not there, or no key. */
struct shared *shared_find(const struct shared_pool *pool, struct slice key);
struct shared *shared_ref(struct shared *b);
void shared_put(struct shared *b); /* takes NULL */
struct shared *shared_lend(struct shared *b);
void shared_return(struct shared *b);

#endif
