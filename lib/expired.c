#include "expired.h"

#define LEEWAY_MAX_S 300 /* auth.leeway_s */
#define SESSIONS_KEEP_S 86400
#define COUNTS_KEEP_S 7200 /* the last hour is shown */

/* `is_over`: of a row, with so many seconds as its parameter. */
#define KIND_WHERE(var, table, is_over)                            \
	static const struct db_stmt var##_remove = {               \
		"expired." table,                                  \
		"DELETE FROM " table " WHERE " is_over " LIMIT ?", \
		2,                                                 \
		0,                                                 \
	};                                                         \
	static const struct db_stmt var##_count = {                \
		"expired." table ".count",                         \
		"SELECT COUNT(*) FROM " table " WHERE " is_over,   \
		1,                                                 \
		1,                                                 \
	}
#define KIND(var, table, column) KIND_WHERE(var, table, column " < NOW(3) - INTERVAL ? SECOND")

KIND(revoked_tokens, "revoked_tokens", "expires_at");
/* The row also says which access token came with it, for as long as that may be revoked. */
KIND(refresh_tokens, "refresh_tokens",
	"access_expires_at < NOW(3) - INTERVAL 5 MINUTE AND expires_at");
KIND(idempotency_keys, "idempotency_keys", "created_at");
KIND(auth_failures, "auth_failures", "window_ends");
/* Pollers keep their own in order; these are of one that does not come back. */
KIND(sessions, "ws_sessions", "seen_at");
KIND_WHERE(log_counts, "log_counts", "minute < (UNIX_TIMESTAMP() - ?) DIV 60");

const struct db_set expired_sql = {
	.name = "expired",
	.stmts = (const struct db_stmt *const[]){&revoked_tokens_remove, &revoked_tokens_count,
		&refresh_tokens_remove, &refresh_tokens_count, &idempotency_keys_remove,
		&idempotency_keys_count, &auth_failures_remove, &auth_failures_count,
		&sessions_remove, &sessions_count, &log_counts_remove, &log_counts_count, NULL},
	.is_lazy = true,
};

static int64_t leeway(const struct config *cfg)
{
	return LEEWAY_MAX_S;
}

static int64_t idempotency_ttl(const struct config *cfg)
{
	return cfg->http.idempotency_ttl_s;
}

static int64_t nothing(const struct config *cfg)
{
	return 0;
}

static int64_t a_day(const struct config *cfg)
{
	return SESSIONS_KEEP_S;
}

static int64_t two_hours(const struct config *cfg)
{
	return COUNTS_KEEP_S;
}

const struct expired_kind expired_kinds[] = {
	{"revoked_tokens", &revoked_tokens_count, &revoked_tokens_remove, leeway},
	{"refresh_tokens", &refresh_tokens_count, &refresh_tokens_remove, leeway},
	{"idempotency_keys", &idempotency_keys_count, &idempotency_keys_remove, idempotency_ttl},
	{"auth_failures", &auth_failures_count, &auth_failures_remove, nothing},
	{"ws_sessions", &sessions_count, &sessions_remove, a_day},
	{"log_counts", &log_counts_count, &log_counts_remove, two_hours},
	{0},
};

enum err expired_count(
	struct db *db, const struct expired_kind *kind, const struct config *cfg, uint64_t *n)
{
	const struct db_val in[] = {DBV_I(kind->keep_s(cfg))};
	const struct db_val *row;
	enum err e = db_one(db, kind->count, in, 1, &row);

	*n = e == ERR_OK && row ? dbv_u(&row[0]) : 0;
	return e;
}

enum err expired_remove(struct db *db, const struct expired_kind *kind, const struct config *cfg,
	unsigned most, uint64_t *n)
{
	const struct db_val in[] = {DBV_I(kind->keep_s(cfg)), DBV_U(most)};

	*n = 0;
	return db_exec(db, kind->remove, in, 2, n, NULL);
}
