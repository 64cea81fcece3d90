/*
 * `cmdbctl events prune`: takes old rows out of ws_events. The order is what makes it safe:
 *   1. find the newest id to go. It lies below everything retention keeps, and not above the tail
 * of any poller that was there within the last day, so no event goes before it was delivered;
 *   2. raise ws_log.floor to it, and commit: a cursor below is now answered with a reset;
 *   3. have the poller read the floor; wait until it says so;
 *   4. delete up to the floor, in small transactions. Dying here is harmless: the next run goes on.
 */
#include <stdlib.h>
#include <unistd.h>

#include "events.h"
#include "poller.h"
#include "rows.h"

#define CHUNK "5000"
#define POLLER_TIMEOUT_MS 10000
#define TRIES 20
#define LEEWAY_MAX_S 300 /* auth.leeway_s */
#define SESSIONS_KEEP_S 86400

/* The last row before the first that is younger. A row dated in the future is not young, it is
 * wrong: it must not stop pruning for ever. */
static const struct db_stmt older_than = {
	.name = "prune.older",
	.sql = "SELECT MAX(id) FROM ws_events WHERE id < COALESCE((SELECT MIN(id) FROM ws_events"
	       " WHERE created_at >= NOW(3) - INTERVAL ? DAY"
	       " AND created_at < NOW(3) + INTERVAL 1 DAY), 18446744073709551615)",
	.params_n = 1,
	.cols_n = 1,
};
/* Ids have gaps: the row is counted, not the id. */
static const struct db_stmt beyond_newest = {
	.name = "prune.beyond",
	.sql = "SELECT id FROM ws_events ORDER BY id DESC LIMIT 1 OFFSET ?",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt least_tail = {
	.name = "prune.tail",
	.sql = "SELECT MIN(tail) FROM ws_pollers WHERE seen_at > NOW(3) - INTERVAL 1 DAY"
	       " AND epoch IN ('', (SELECT epoch FROM ws_log))",
	.cols_n = 1,
};
static const struct db_stmt raise_floor = {
	.name = "prune.raise",
	.sql = "UPDATE ws_log SET floor = GREATEST(floor, ?)",
	.params_n = 1,
};
static const struct db_stmt read_floor = {
	.name = "prune.floor",
	.sql = "SELECT floor FROM ws_log",
	.cols_n = 1,
};
static const struct db_stmt count_below = {
	.name = "prune.count",
	.sql = "SELECT COUNT(*) FROM ws_events WHERE id <= ?",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt delete_below = {
	.name = "prune.delete",
	.sql = "DELETE FROM ws_events WHERE id <= ? ORDER BY id LIMIT " CHUNK,
	.params_n = 1,
};

/* What else runs out. Each deletes a chunk at a time; ? is a number of seconds to keep. */
#define EXPIRED(var, table, column)                                   \
	static const struct db_stmt var = {                           \
		.name = "prune." table,                               \
		.sql = "DELETE FROM " table " WHERE " column          \
		       " < NOW(3) - INTERVAL ? SECOND LIMIT " CHUNK,  \
		.params_n = 1,                                        \
	};                                                            \
	static const struct db_stmt var##_count = {                   \
		.name = "prune." table ".count",                      \
		.sql = "SELECT COUNT(*) FROM " table " WHERE " column \
		       " < NOW(3) - INTERVAL ? SECOND",               \
		.params_n = 1,                                        \
		.cols_n = 1,                                          \
	}
EXPIRED(revoked_tokens, "revoked_tokens", "expires_at");
/* The row also says which access token came with it, for as long as that may be revoked. */
EXPIRED(refresh_tokens, "refresh_tokens",
	"access_expires_at < NOW(3) - INTERVAL 5 MINUTE AND expires_at");
EXPIRED(idempotency_keys, "idempotency_keys", "created_at");
EXPIRED(auth_failures, "auth_failures", "window_ends");
/* Pollers keep their own in order; these are of one that does not come back. */
EXPIRED(sessions, "ws_sessions", "seen_at");

static const struct db_set sql = {
	.name = "events_prune",
	.stmts = (const struct db_stmt *const[]){&older_than, &beyond_newest, &least_tail,
		&raise_floor, &read_floor, &count_below, &delete_below, &revoked_tokens,
		&revoked_tokens_count, &refresh_tokens, &refresh_tokens_count, &idempotency_keys,
		&idempotency_keys_count, &auth_failures, &auth_failures_count, &sessions,
		&sessions_count, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, NULL};

struct prune {
	struct call *call;
	bool is_dry;
	bool has_bar;
	uint64_t floor, events, total;
};

/* The one number a query gives; 0 for NULL or no row, then *is_null is set. */
static enum err number(
	struct db *db, const struct db_stmt *st, int64_t param, uint64_t *n, bool *is_null)
{
	struct db_val in[1] = {DBV_I(param)};
	const struct db_val *row;
	enum err e = db_one(db, st, in, (size_t)st->params_n, &row);

	if (e != ERR_OK)
		return e;
	*is_null = !row || row[0].type == DB_NULL;
	*n = *is_null ? 0 : dbv_u(&row[0]);
	return ERR_OK;
}

static enum err find_floor(struct prune *p)
{
	const struct config *cfg = p->call->cfg;
	int64_t days = opt_number(p->call, "days", cfg->events.retention_days);
	int64_t rows = opt_number(p->call, "rows", cfg->events.retention_rows);
	uint64_t by_days, by_rows, tail;
	bool none;
	enum err e;

	if ((e = number(p->call->db, &older_than, days, &by_days, &none)) ||
		(e = number(p->call->db, &beyond_newest, rows, &by_rows, &none)))
		return e;
	p->floor = by_days > by_rows ? by_days : by_rows;
	if ((e = number(p->call->db, &least_tail, 0, &tail, &none)))
		return e;
	if (!none && tail < p->floor)
		p->floor = tail;
	return ERR_OK;
}

static void bar(const struct prune *p)
{
	int percent = p->total ? (int)(p->events * 100 / p->total) : 100;

	if (!p->has_bar)
		return;
	if (percent > 100)
		percent = 100;
	fprintf(stderr, "\r[%-40.*s] %3d %%", percent * 2 / 5,
		"########################################", percent);
	fflush(stderr);
}

/* Runs a chunked DELETE until nothing is left, each chunk its own transaction; one that ran into a
 * lock is tried again. Adds what is gone to *all. */
static enum err delete_all(
	struct prune *p, const struct db_stmt *st, struct db_val param, uint64_t *all)
{
	unsigned tries = 0;
	uint64_t n;
	enum err e;

	do {
		n = 0;
		e = db_exec(p->call->db, st, &param, 1, &n, NULL);
		tries = e == ERR_DB_RETRY ? tries + 1 : 0;
		*all += n;
		if (all == &p->events)
			bar(p);
	} while ((e == ERR_OK && n > 0) || (e == ERR_DB_RETRY && tries < TRIES));
	return e;
}

/* Has the poller of this host know the floor. No poller: nobody to answer from memory. */
static enum ctl_exit tell_poller(const struct prune *p)
{
	struct str why = STR_INIT;
	struct poller *poller = NULL;
	enum poller_found found =
		poller_open(p->call->cfg->poller.socket, POLLER_TIMEOUT_MS, &poller, &why);
	uint64_t floor = 0, tail = 0;
	bool knows = found == POLLER_ABSENT;
	enum ctl_exit status = CTL_OK;

	if (found == POLLER_OPEN) {
		knows = poller_refresh(poller, &floor, &tail, &why) && floor >= p->floor;
		if (!knows && !why.len)
			str_addf(&why, "it says the floor is %llu", (unsigned long long)floor);
	}
	if (!knows)
		status = cmd_fail(CTL_UNREACHABLE,
			"the poller does not take the new floor, so nothing was deleted: %s",
			str_c(&why));
	poller_close(poller);
	str_fini(&why);
	return status;
}

static enum err delete_expired(struct prune *p, struct json_object *o)
{
	const struct {
		const char *name;
		const struct db_stmt *remove, *count;
		int64_t keep_s;
	} kinds[] = {
		{"revoked_tokens", &revoked_tokens, &revoked_tokens_count, LEEWAY_MAX_S},
		{"refresh_tokens", &refresh_tokens, &refresh_tokens_count, LEEWAY_MAX_S},
		{"idempotency_keys", &idempotency_keys, &idempotency_keys_count,
			p->call->cfg->http.idempotency_ttl_s},
		{"auth_failures", &auth_failures, &auth_failures_count, 0},
		{"ws_sessions", &sessions, &sessions_count, SESSIONS_KEEP_S},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint64_t all = 0;
		bool none;
		enum err e;

		if (p->is_dry)
			e = number(p->call->db, kinds[i].count, kinds[i].keep_s, &all, &none);
		else
			e = delete_all(p, kinds[i].remove, DBV_I(kinds[i].keep_s), &all);
		if (e != ERR_OK)
			return e;
		json_object_object_add(o, kinds[i].name, json_object_new_uint64(all));
	}
	return ERR_OK;
}

/* Raises the floor and takes what it is then: another run, or one that died, may have raised it
 * further. */
static enum err set_floor(struct prune *p)
{
	struct db_val in[1] = {DBV_U(p->floor)};
	bool none;
	enum err e = db_exec(p->call->db, &raise_floor, in, 1, NULL, NULL);

	return e == ERR_OK ? number(p->call->db, &read_floor, 0, &p->floor, &none) : e;
}

enum ctl_exit events_prune(struct call *call)
{
	struct prune p = {.call = call,
		.is_dry = opt_flag(call, "dry-run"),
		.has_bar = isatty(STDERR_FILENO) != 0};
	enum ctl_exit status = cmd_db(call, sets);
	struct json_object *o;
	bool none;
	enum err e;

	if (status != CTL_OK)
		return status;
	if ((e = find_floor(&p)) || (!p.is_dry && (e = set_floor(&p))) ||
		(e = number(call->db, &count_below, (int64_t)p.floor, &p.total, &none)))
		return cmd_fail_db(call, e, "nothing was deleted");
	if (!p.is_dry && (status = tell_poller(&p)) != CTL_OK)
		return status;
	o = json_object_new_object();
	json_object_object_add(o, "dry_run", json_object_new_boolean(p.is_dry));
	json_object_object_add(o, "floor", json_object_new_uint64(p.floor));
	if (p.is_dry)
		p.events = p.total;
	else
		e = delete_all(&p, &delete_below, DBV_U(p.floor), &p.events);
	if (p.has_bar)
		fputs("\r\033[K", stderr);
	json_object_object_add(o, "events", json_object_new_uint64(p.events));
	if (e == ERR_OK)
		e = delete_expired(&p, o);
	if (e == ERR_OK)
		rows_print_one(call, o);
	else
		status = cmd_fail_db(call, e, "pruning stopped half way; run it again");
	json_object_put(o);
	return status;
}

const struct opt events_prune_opts[] = {
	{"days", OPT_NUMBER, "N", "keep what is younger (events.retention_days)", 1, 36500},
	{"rows", OPT_NUMBER, "N", "keep the newest N at most (events.retention_rows)", 1,
		1000000000000},
	{"dry-run", OPT_FLAG, NULL, "only say what would go", 0, 0},
	{0},
};
