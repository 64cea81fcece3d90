/*
 * Families of refresh tokens (auth.h) and the blacklist of access tokens. All but family_sweep()
 * run in a transaction of the caller's; the calls that revoke insert "_auth" events, so they come
 * last in it. Worker threads; blocks.
 */
#ifndef CMDB_FAMILY_H
#define CMDB_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "err.h"

#define FAMILY_ID_SIZE 16

extern const struct db_set family_sql;

struct family {
	uint64_t user_id;
	uint8_t id[FAMILY_ID_SIZE];
};

enum family_state {
	FAMILY_UNKNOWN, /* no such token */
	FAMILY_OVER,    /* expired or revoked */
	FAMILY_REUSED,  /* used before: the family is to be revoked */
	FAMILY_GOOD     /* marked as used now */
};

/* An access token given out together with a refresh token. */
struct family_access {
	const char *jti;
	int64_t expires_at_s;
};

/* Begins a family: a random id. */
void family_new(struct family *f, uint64_t user_id);
/* Uses a refresh token up. *f is set but for FAMILY_UNKNOWN. Locks the user's row. */
enum err family_use(struct db *db, const char *token, size_t len, struct family *f,
	enum family_state *state) __attribute__((warn_unused_result));
/* The next refresh token of f, good for ttl_s. */
enum err family_add(struct db *db, const struct family *f, const struct family_access *access,
	int64_t ttl_s, char token[64]) __attribute__((warn_unused_result));
/* The family an access token was given out with; *is_found false if with none. Locks the user's
 * row. */
enum err family_find(struct db *db, uint64_t user_id, const char *jti, struct family *f,
	bool *is_found) __attribute__((warn_unused_result));
/* Ends all tokens of f. */
enum err family_revoke(struct db *db, const struct family *f) __attribute__((warn_unused_result));
/* Ends one access token. */
enum err family_revoke_access(struct db *db, const struct family_access *access)
	__attribute__((warn_unused_result));
/* Deletes some of what has expired. Outside a transaction; what fails is left to the next. */
void family_sweep(struct db *db);

#endif
