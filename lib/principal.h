/*
 * Principals as the database has them: a user or an API key with tenant, roles, departments and
 * permissions. Blocks on db: worker threads of cmdb-fcgi, the reader of cmdb-poller.
 */
#ifndef CMDB_PRINCIPAL_H
#define CMDB_PRINCIPAL_H

#include "db.h"
#include "err.h"
#include "perm.h"
#include "secret.h"
#include "str.h"

extern const struct db_set principal_sql;
/* What principal_load_user() and principal_load_apikey_id() alone need: it reads no hash of a
 * password or key, so an account without the right to them will do. */
extern const struct db_set principal_id_sql;

/* The holder of the access token jti, which expires at expires_at_s. ERR_TOKEN_REVOKED: jti is
 * revoked, or user or tenant is disabled or gone. *out is the caller's, NULL on failure. */
enum err principal_load_user(struct db *db, uint64_t user_id, const char *jti, int64_t expires_at_s,
	struct principal **out) __attribute__((warn_unused_result));
/* The API key with that BLAKE2b hash; its scopes are the permissions, its username is
 * "apikey:<name>". ERR_TOKEN_INVALID (there is none), ERR_TOKEN_REVOKED, ERR_TOKEN_EXPIRED. */
enum err principal_load_apikey(struct db *db, const uint8_t hash[SECRET_HASH_SIZE],
	struct principal **out) __attribute__((warn_unused_result));
/* The same of an API key that was good once. ERR_TOKEN_INVALID: it is gone. */
enum err principal_load_apikey_id(struct db *db, uint64_t apikey_id, struct principal **out)
	__attribute__((warn_unused_result));
/* Adds what a client is told of it: {"id","username","display_name","tenant","tenant_id","roles",
 * "departments","permissions"}; id is null for an API key, and "apikey_id" is there. */
void principal_render(struct str *s, const struct principal *p);

#endif
