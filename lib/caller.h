/*
 * Who somebody is, without what he may (that is a principal, perm.h): the holder of an access token
 * or an API key, as sessions and parked requests keep it and as it travels between the programs.
 * All zero and empty: nobody (an application without authentication).
 */
#ifndef CMDB_CALLER_H
#define CMDB_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"

struct principal;

/* As it is written and read; the texts are borrowed. */
struct caller_view {
	uint32_t tenant_id;
	uint64_t user_id, apikey_id;
	int64_t expires_s; /* of the token, wall clock, up to CLOCK_S_MAX; 0: never */
	struct slice username, jti;
};

/* As it is kept: immutable, counted; one thread at a time. */
struct caller {
	unsigned refs;
	uint32_t tenant_id;
	uint64_t user_id, apikey_id;
	int64_t expires_s;
	char *username, *jti; /* "" for none */
};
struct caller *caller_new(const struct caller_view *v); /* copies */
struct caller *caller_ref(struct caller *c);
void caller_unref(struct caller *c); /* takes NULL */

/* Both borrow. */
struct caller_view caller_view(const struct caller *c); /* NULL: nobody */
struct caller_view caller_of(const struct principal *p);

/* Tells users and API keys apart; 0: nobody. */
uint64_t caller_number(const struct caller_view *v);
/* The same user or API key of the same tenant? */
bool caller_is_same(const struct caller_view *a, const struct caller_view *b);
/* ... by the same token? */
bool caller_is_same_token(const struct caller_view *a, const struct caller_view *b);

void caller_put(struct str *s, const struct caller_view *v); /* as bytes (bytes.h) */
struct caller_view caller_get(struct bytes *b);              /* borrows from b */

#endif
