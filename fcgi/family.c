#include "family.h"

#include <string.h>

#include "event.h"
#include "log.h"
#include "secret.h"
#include "str.h"

#define JTI_LEN 32
#define LIVE_MAX 256 /* access tokens of one family whose sessions are ended by name */

/* The user's row is locked on its own, before the token's: everyone takes the two in this order. */
static const struct db_stmt find_token_user = {
	.name = "family.token_user",
	.sql = "SELECT user_id FROM refresh_tokens WHERE hash = ?",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt lock_user = {
	.name = "family.lock_user",
	.sql = "SELECT id FROM users WHERE id = ? FOR UPDATE",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt lock_token = {
	.name = "family.lock_token",
	.sql = "SELECT family, revoked_at IS NOT NULL OR expires_at <= NOW(3), used_at IS NOT NULL"
	       " FROM refresh_tokens WHERE hash = ? FOR UPDATE",
	.params_n = 1,
	.cols_n = 3,
};
static const struct db_stmt use_token = {
	.name = "family.use_token",
	.sql = "UPDATE refresh_tokens SET used_at = NOW(3) WHERE hash = ?",
	.params_n = 1,
};
static const struct db_stmt add_token = {
	.name = "family.add_token",
	.sql = "INSERT INTO refresh_tokens"
	       " (hash, family, user_id, access_jti, access_expires_at, expires_at) VALUES"
	       " (?, ?, ?, ?, TIMESTAMP('1970-01-01') + INTERVAL ? SECOND,"
	       " NOW(3) + INTERVAL ? SECOND)",
	.params_n = 6,
};
static const struct db_stmt find_family = {
	.name = "family.find",
	.sql = "SELECT family FROM refresh_tokens WHERE user_id = ? AND access_jti = ? LIMIT 1",
	.params_n = 2,
	.cols_n = 1,
};
static const struct db_stmt revoke_family = {
	.name = "family.revoke",
	.sql = "UPDATE refresh_tokens SET revoked_at = NOW(3) WHERE family = ?"
	       " AND revoked_at IS NULL",
	.params_n = 1,
};
/* Five minutes: the clocks of the database and of this host may differ. */
static const struct db_stmt list_live = {
	.name = "family.live",
	.sql = "SELECT access_jti FROM refresh_tokens"
	       " WHERE family = ? AND access_expires_at > NOW(3) - INTERVAL 5 MINUTE"
	       " ORDER BY access_expires_at DESC LIMIT 256",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt blacklist_live = {
	.name = "family.blacklist_live",
	.sql = "INSERT IGNORE INTO revoked_tokens (jti, expires_at)"
	       " SELECT access_jti, access_expires_at FROM refresh_tokens"
	       " WHERE family = ? AND access_expires_at > NOW(3) - INTERVAL 5 MINUTE",
	.params_n = 1,
};
static const struct db_stmt blacklist_one = {
	.name = "family.blacklist_one",
	.sql = "INSERT IGNORE INTO revoked_tokens (jti, expires_at)"
	       " VALUES (?, TIMESTAMP('1970-01-01') + INTERVAL ? SECOND)",
	.params_n = 2,
};
static const struct db_stmt sweep_refresh = {
	.name = "family.sweep_refresh",
	.sql = "DELETE FROM refresh_tokens WHERE expires_at < NOW(3)"
	       " AND access_expires_at < NOW(3) ORDER BY expires_at LIMIT 100",
};
static const struct db_stmt sweep_blacklist = {
	.name = "family.sweep_blacklist",
	.sql = "DELETE FROM revoked_tokens WHERE expires_at < NOW(3) - INTERVAL 5 MINUTE"
	       " ORDER BY expires_at LIMIT 100",
};

const struct db_set family_sql = {
	.name = "family",
	.stmts = (const struct db_stmt *const[]){&find_token_user, &lock_user, &lock_token,
		&use_token, &add_token, &find_family, &revoke_family, &list_live, &blacklist_live,
		&blacklist_one, &sweep_refresh, &sweep_blacklist, NULL},
};

static bool id_read(const struct db_val *v, uint8_t out[FAMILY_ID_SIZE])
{
	if (v->type != DB_TEXT || v->s.len != FAMILY_ID_SIZE)
		return false;
	memcpy(out, v->s.p, FAMILY_ID_SIZE);
	return true;
}

void family_new(struct family *f, uint64_t user_id)
{
	f->user_id = user_id;
	secret_random(f->id, sizeof(f->id));
}

static enum err lock(struct db *db, uint64_t user_id)
{
	const struct db_val in[] = {DBV_U(user_id)}, *row;

	return db_one(db, &lock_user, in, 1, &row);
}

enum err family_use(
	struct db *db, const char *token, size_t len, struct family *f, enum family_state *state)
{
	uint8_t hash[SECRET_HASH_SIZE] = {0};
	const struct db_val in[] = {dbv_b(hash, sizeof(hash))}, *row;
	enum err e;

	secret_hash(hash, token, len);
	*state = FAMILY_UNKNOWN;
	e = db_one(db, &find_token_user, in, 1, &row);
	if (e != ERR_OK || !row)
		return e;
	f->user_id = dbv_u(&row[0]);
	e = lock(db, f->user_id);
	if (e == ERR_OK)
		e = db_one(db, &lock_token, in, 1, &row);
	if (e != ERR_OK || !row || !id_read(&row[0], f->id))
		return e;
	if (dbv_i(&row[1]))
		*state = FAMILY_OVER;
	else if (dbv_i(&row[2]))
		*state = FAMILY_REUSED;
	else
		*state = FAMILY_GOOD;
	return *state == FAMILY_GOOD ? db_exec(db, &use_token, in, 1, NULL, NULL) : ERR_OK;
}

enum err family_add(struct db *db, const struct family *f, const struct family_access *access,
	int64_t ttl_s, char token[64])
{
	uint8_t hash[SECRET_HASH_SIZE] = {0};
	const struct db_val in[] = {dbv_b(hash, sizeof(hash)), dbv_b(f->id, sizeof(f->id)),
		DBV_U(f->user_id), dbv_s(access->jti), DBV_I(access->expires_at_s), DBV_I(ttl_s)};

	secret_random_token(token, "cmdbr_");
	secret_hash(hash, token, strlen(token));
	return db_exec(db, &add_token, in, 6, NULL, NULL);
}

enum err family_find(
	struct db *db, uint64_t user_id, const char *jti, struct family *f, bool *is_found)
{
	const struct db_val in[] = {DBV_U(user_id), dbv_s(jti)}, *row;
	enum err e = lock(db, user_id);

	*is_found = false;
	f->user_id = user_id;
	if (e == ERR_OK)
		e = db_one(db, &find_family, in, 2, &row);
	if (e == ERR_OK && row)
		*is_found = id_read(&row[0], f->id);
	return e;
}

static enum err family_tell(struct db *db, const char *jti)
{
	struct event_out out = {.topic = EVENT_TOPIC_AUTH, .type = EVENT_DELETE};
	struct str payload = STR_INIT;
	enum err e;

	str_adds(&payload, "{\"revoke\":\"jti\",\"jti\":");
	str_add_json(&payload, jti);
	str_addc(&payload, '}');
	out.payload = str_c(&payload);
	e = event_insert(db, &out, NULL);
	str_fini(&payload);
	return e;
}

enum err family_revoke(struct db *db, const struct family *f)
{
	const struct db_val in[] = {dbv_b(f->id, sizeof(f->id))}, *row;
	char live[LIVE_MAX][JTI_LEN + 1];
	size_t live_n = 0;
	enum err e = db_exec(db, &revoke_family, in, 1, NULL, NULL);

	if (e == ERR_OK)
		e = db_exec(db, &blacklist_live, in, 1, NULL, NULL);
	if (e == ERR_OK)
		e = db_query(db, &list_live, in, 1);
	if (e != ERR_OK)
		return e;
	while (live_n < LIVE_MAX && (row = db_fetch(db))) {
		if (row[0].s.len != JTI_LEN)
			continue;
		memcpy(live[live_n++], row[0].s.p, JTI_LEN + 1);
	}
	db_done(db);
	for (size_t i = 0; i < live_n && e == ERR_OK; i++)
		e = family_tell(db, live[i]);
	return e;
}

enum err family_revoke_access(struct db *db, const struct family_access *access)
{
	const struct db_val in[] = {dbv_s(access->jti), DBV_I(access->expires_at_s)};
	enum err e = db_exec(db, &blacklist_one, in, 2, NULL, NULL);

	return e == ERR_OK ? family_tell(db, access->jti) : e;
}

void family_sweep(struct db *db)
{
	if (db_exec(db, &sweep_refresh, NULL, 0, NULL, NULL) != ERR_OK ||
		db_exec(db, &sweep_blacklist, NULL, 0, NULL, NULL) != ERR_OK)
		log_debug("sweep", "expired tokens are left: %s", db_errmsg(db));
}
