/*
 * `cmdbctl events prune`: takes old rows out of ws_events, for each class of retention. The order
 * is what makes it safe:
 *   1. find the newest id of the class to go. It lies below everything that its retention keeps,
 * and not above the tail of any poller that was there lately, so no event goes before it was
 * delivered;
 *   2. raise the class's floor in ws_log to it, and commit: a cursor below is now answered with a
 * reset, if it is one of the class's topics;
 *   3. have the poller read the floors; wait until it says so;
 *   4. delete up to the floor, in small transactions. Dying here is harmless: the next run goes on.
 */
#include <string.h>

#include "bar.h"
#include "cut.h"
#include "events.h"
#include "expired.h"
#include "floors.h"
#include "poller.h"
#include "rows.h"

#define DAY_S 86400
#define CHUNK "5000"
#define CHUNK_N 5000
#define POLLER_TIMEOUT_MS 10000
#define TRIES 20
/* A poller that has not been seen for longer holds up nothing: clients of it that missed something
 * are told. */
#define AWAY_MAX_S 86400
#define AWAY_MIN_S 600

static const struct db_stmt least_tail = {
	.name = "prune.tail",
	.sql = "SELECT MIN(tail) FROM ws_pollers WHERE seen_at > NOW(3) - INTERVAL ? SECOND"
	       " AND epoch IN ('', (SELECT epoch FROM ws_log))",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt raise_floors = {
	.name = "prune.raise",
	.sql = "UPDATE ws_log SET floor = GREATEST(floor, ?),"
	       " brief_floor = GREATEST(brief_floor, ?)",
	.params_n = RETENTION_N,
};

/* What lasts longest goes with all that lies between. */
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
static const struct db_stmt count_of_topic = {
	.name = "prune.count_topic",
	.sql = "SELECT COUNT(*) FROM ws_events WHERE topic = ? AND id > ? AND id <= ?",
	.params_n = 3,
	.cols_n = 1,
};
static const struct db_stmt delete_of_topic = {
	.name = "prune.delete_topic",
	.sql = "DELETE FROM ws_events WHERE topic = ? AND id <= ? ORDER BY id LIMIT " CHUNK,
	.params_n = 2,
};

static const struct db_set sql = {
	.name = "events_prune",
	.stmts = (const struct db_stmt *const[]){&least_tail, &raise_floors, &floors_stmt,
		&count_below, &delete_below, &count_of_topic, &delete_of_topic, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &cut_sql, &expired_sql, NULL};

struct prune {
	struct call *call;
	unsigned classes; /* a set, as in floors.h */
	bool is_dry;
	struct bar bar;
	struct floors floors;
	uint64_t gone[RETENTION_N], done, total; /* rows */
};

static bool does(const struct prune *p, enum retention r)
{
	return p->classes & FLOORS_ONE(r);
}

/* The one number a query gives; `none` for NULL or no row. */
static enum err events_prune_number(struct db *db, const struct db_stmt *st,
	const struct db_val *in, uint64_t none, uint64_t *n)
{
	const struct db_val *row;
	enum err e = db_one(db, st, in, (size_t)st->params_n, &row);

	if (e == ERR_OK)
		*n = row && row[0].type != DB_NULL ? dbv_u(&row[0]) : none;
	return e;
}

/* ---- the floors ---- */

static struct cut_limits limits_of(const struct prune *p, enum retention r)
{
	struct cut_limits keep = cut_limits_of(p->call->cfg, r);

	if (r == RETENTION_BRIEF) {
		keep.keep_s = opt_number(p->call, "brief-seconds", keep.keep_s);
		keep.rows = opt_number(p->call, "brief-rows", keep.rows);
	} else {
		keep.keep_s = opt_number(p->call, "days", keep.keep_s / DAY_S) * DAY_S;
		keep.rows = opt_number(p->call, "rows", keep.rows);
	}
	return keep;
}

/* What is kept for an hour does not wait for a day for a poller. */
static int64_t away_s(const struct cut_limits *keep)
{
	if (keep->keep_s > AWAY_MAX_S)
		return AWAY_MAX_S;
	return keep->keep_s > AWAY_MIN_S ? keep->keep_s : AWAY_MIN_S;
}

static enum err find_cut(struct prune *p, enum retention r, uint64_t *cut)
{
	const struct cut_limits keep = limits_of(p, r);
	uint64_t tail;
	enum err e = events_prune_number(p->call->db, &least_tail,
		(struct db_val[]){DBV_I(away_s(&keep))}, UINT64_MAX, &tail);

	return e == ERR_OK ? cut_find(p->call->db, r, &keep, tail, cut) : e;
}

static enum err read_floors(struct prune *p)
{
	const struct db_val *row;
	enum err e = db_one(p->call->db, &floors_stmt, NULL, 0, &row);

	if (e == ERR_OK && row)
		p->floors = floors_of_row(row);
	return e;
}

/* Raises the floors to where it is to be cut, and takes what they are then: another run, or one
 * that died, may have raised them further. */
static enum err set_floors(struct prune *p)
{
	struct floors cut = {0};
	struct db_val in[RETENTION_N];
	enum err e = ERR_OK;

	for (int r = 0; r < RETENTION_N && e == ERR_OK; r++) {
		if (does(p, (enum retention)r))
			e = find_cut(p, (enum retention)r, &cut.of[r]);
		in[r] = DBV_U(cut.of[r]);
	}
	if (e == ERR_OK && !p->is_dry)
		e = db_exec(p->call->db, &raise_floors, in, RETENTION_N, NULL, NULL);
	if (e == ERR_OK)
		e = read_floors(p);
	floors_raise(&p->floors, &cut);
	return e;
}

/* Has the poller of this host know the floors. No poller: nobody to answer from memory. */
static enum ctl_exit tell_poller(const struct prune *p)
{
	struct str why = STR_INIT;
	struct poller *poller = NULL;
	enum poller_found found =
		poller_open(p->call->cfg->poller.socket, POLLER_TIMEOUT_MS, &poller, &why);
	struct floors floors = {0};
	uint64_t tail = 0;
	bool knows = found == POLLER_ABSENT;
	enum ctl_exit status = CTL_OK;

	if (found == POLLER_OPEN) {
		knows = poller_refresh(poller, &floors, &tail, &why) &&
			!floors_raise(&floors, &p->floors);
		if (!knows && !why.len)
			str_adds(&why, "it says that they are lower");
	}
	if (!knows)
		status = cmd_fail(CTL_UNREACHABLE,
			"the poller does not take the new floors, so nothing was deleted: %s",
			str_c(&why));
	poller_close(poller);
	str_fini(&why);
	return status;
}

/* ---- the rows ---- */

/* Up to where what lasts goes, all goes. */
static uint64_t all_goes_upto(const struct prune *p)
{
	return does(p, RETENTION_LASTING) ? p->floors.of[RETENTION_LASTING] : 0;
}

static enum err count(struct prune *p)
{
	enum err e = ERR_OK;

	if (does(p, RETENTION_LASTING))
		e = events_prune_number(p->call->db, &count_below,
			(struct db_val[]){DBV_U(p->floors.of[RETENTION_LASTING])}, 0,
			&p->gone[RETENTION_LASTING]);
	for (const struct stream *st = streams; st->topic && e == ERR_OK; st++) {
		enum retention r = st->retention;
		uint64_t n;

		if (r == RETENTION_LASTING || !does(p, r))
			continue;
		e = events_prune_number(p->call->db, &count_of_topic,
			(struct db_val[]){
				dbv_s(st->topic), DBV_U(all_goes_upto(p)), DBV_U(p->floors.of[r])},
			0, &n);
		if (e == ERR_OK)
			p->gone[r] += n;
	}
	for (int r = 0; r < RETENTION_N; r++)
		p->total += p->gone[r];
	return e;
}

/* Runs a chunked DELETE until nothing is left, each chunk its own transaction; one that ran into a
 * lock is tried again. */
static enum err delete_chunks(
	struct prune *p, const struct db_stmt *st, const struct db_val *in, enum retention r)
{
	unsigned tries = 0;
	uint64_t n;
	enum err e;

	do {
		n = 0;
		e = db_exec(p->call->db, st, in, (size_t)st->params_n, &n, NULL);
		tries = e == ERR_DB_RETRY ? tries + 1 : 0;
		p->gone[r] += n;
		p->done += n;
		bar_draw(&p->bar, p->done, p->total, "");
	} while ((e == ERR_OK && n > 0) || (e == ERR_DB_RETRY && tries < TRIES));
	return e;
}

static enum err delete_events(struct prune *p)
{
	enum err e = ERR_OK;

	memset(p->gone, 0, sizeof(p->gone));
	if (does(p, RETENTION_LASTING))
		e = delete_chunks(p, &delete_below,
			(struct db_val[]){DBV_U(p->floors.of[RETENTION_LASTING])},
			RETENTION_LASTING);
	for (const struct stream *st = streams; st->topic && e == ERR_OK; st++)
		if (st->retention != RETENTION_LASTING && does(p, st->retention))
			e = delete_chunks(p, &delete_of_topic,
				(struct db_val[]){
					dbv_s(st->topic), DBV_U(p->floors.of[st->retention])},
				st->retention);
	bar_clear(&p->bar);
	return e;
}

static enum err remove_all(const struct prune *p, const struct expired_kind *kind, uint64_t *all)
{
	unsigned tries = 0;
	uint64_t n;
	enum err e;

	do {
		e = expired_remove(p->call->db, kind, p->call->cfg, CHUNK_N, &n);
		tries = e == ERR_DB_RETRY ? tries + 1 : 0;
		*all += n;
	} while ((e == ERR_OK && n > 0) || (e == ERR_DB_RETRY && tries < TRIES));
	return e;
}

static enum err delete_expired(const struct prune *p, struct json_object *o)
{
	for (const struct expired_kind *kind = expired_kinds; kind->table; kind++) {
		uint64_t n = 0;
		enum err e = p->is_dry ? expired_count(p->call->db, kind, p->call->cfg, &n)
				       : remove_all(p, kind, &n);

		if (e != ERR_OK)
			return e;
		json_object_object_add(o, kind->table, json_object_new_uint64(n));
	}
	return ERR_OK;
}

/* ---- the command ---- */

static void add_number(struct json_object *o, const char *name, uint64_t n)
{
	json_object_object_add(o, name, json_object_new_uint64(n));
}

static struct json_object *report(const struct prune *p)
{
	struct json_object *o = json_object_new_object();
	uint64_t events = 0;

	for (int r = 0; r < RETENTION_N; r++)
		events += p->gone[r];
	json_object_object_add(o, "dry_run", json_object_new_boolean(p->is_dry));
	add_number(o, "floor", p->floors.of[RETENTION_LASTING]);
	add_number(o, "brief_floor", p->floors.of[RETENTION_BRIEF]);
	add_number(o, "events", events);
	add_number(o, "brief_events", p->gone[RETENTION_BRIEF]);
	return o;
}

enum ctl_exit events_prune(struct call *call)
{
	const char *only = opt_text(call, "class");
	int r = only ? retention_find(only) : 0;
	struct prune p = {.call = call,
		.classes = only && r >= 0 ? FLOORS_ONE(r) : FLOORS_ALL,
		.is_dry = opt_flag(call, "dry-run")};
	struct json_object *o;
	enum ctl_exit status;
	enum err e;

	bar_init(&p.bar);
	if (r < 0)
		return cmd_fail(CTL_USAGE, "--class is lasting or brief, not \"%s\"", only);
	if ((status = cmd_db(call, sets)) != CTL_OK)
		return status;
	if ((e = set_floors(&p)) || (e = count(&p)))
		return cmd_fail_db(call, e, "nothing was deleted");
	if (!p.is_dry && (status = tell_poller(&p)) != CTL_OK)
		return status;
	if (!p.is_dry)
		e = delete_events(&p);
	o = report(&p);
	if (e == ERR_OK && !only)
		e = delete_expired(&p, o);
	if (e == ERR_OK)
		rows_print_one(call, o);
	else
		status = cmd_fail_db(call, e, "pruning stopped half way; run it again");
	json_object_put(o);
	return status;
}

const struct opt events_prune_opts[] = {
	{"class", OPT_TEXT, "CLASS", "only what is kept so: lasting or brief", 0, 0},
	{"days", OPT_NUMBER, "N", "keep what is younger (events.retention_days)", 1, 36500},
	{"rows", OPT_NUMBER, "N", "keep the newest N at most (events.retention_rows)", 1,
		1000000000000},
	{"brief-seconds", OPT_NUMBER, "N",
		"of brief topics, keep what is younger (events.brief_retention_s)", 0, 3153600000},
	{"brief-rows", OPT_NUMBER, "N",
		"of these keep the newest N at most (events.brief_retention_rows)", 0,
		1000000000000},
	{"dry-run", OPT_FLAG, NULL, "only say what would go", 0, 0},
	{0},
};
