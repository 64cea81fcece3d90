#include "cut.h"

#include "str.h"

#define DAY_S 86400
#define KEEP_MAX_S (100LL * 366 * DAY_S) /* more is no date any more */

/* A row dated in the future is not young, it is wrong: it must not stop pruning for ever. */
#define IS_YOUNG "created_at >= NOW(3) - INTERVAL ? SECOND AND created_at < NOW(3) + INTERVAL 1 DAY"

/* What lasts is all that is not of a topic that is kept less long. Ids have gaps: rows are counted,
 * not ids. */
static const struct db_stmt first_young = {
	.name = "cut.young",
	.sql = "SELECT id FROM ws_events FORCE INDEX (PRIMARY) WHERE " IS_YOUNG
	       " ORDER BY id LIMIT 1",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt beyond_newest = {
	.name = "cut.beyond",
	.sql = "SELECT id FROM ws_events WHERE NOT FIND_IN_SET(topic, ?)"
	       " ORDER BY id DESC LIMIT 1 OFFSET ?",
	.params_n = 2,
	.cols_n = 1,
};
static const struct db_stmt last_upto = {
	.name = "cut.upto",
	.sql = "SELECT MAX(id) FROM ws_events WHERE id <= ?",
	.params_n = 1,
	.cols_n = 1,
};

/* The same of one topic. */
static const struct db_stmt topic_first_young = {
	.name = "cut.topic_young",
	.sql = "SELECT id FROM ws_events FORCE INDEX (ix_ws_events_topic)"
	       " WHERE topic = ? AND " IS_YOUNG " ORDER BY id LIMIT 1",
	.params_n = 2,
	.cols_n = 1,
};
static const struct db_stmt topic_beyond_newest = {
	.name = "cut.topic_beyond",
	.sql = "SELECT id FROM ws_events FORCE INDEX (ix_ws_events_topic) WHERE topic = ?"
	       " ORDER BY id DESC LIMIT 1 OFFSET ?",
	.params_n = 2,
	.cols_n = 1,
};
static const struct db_stmt topic_above = {
	.name = "cut.topic_above",
	.sql = "SELECT COUNT(*) FROM ws_events FORCE INDEX (ix_ws_events_topic)"
	       " WHERE topic = ? AND id > ?",
	.params_n = 2,
	.cols_n = 1,
};
static const struct db_stmt topic_last_upto = {
	.name = "cut.topic_upto",
	.sql = "SELECT MAX(id) FROM ws_events WHERE topic = ? AND id <= ?",
	.params_n = 2,
	.cols_n = 1,
};

const struct db_set cut_sql = {
	.name = "cut",
	.stmts = (const struct db_stmt *const[]){&first_young, &beyond_newest, &last_upto,
		&topic_first_young, &topic_beyond_newest, &topic_above, &topic_last_upto, NULL},
	.is_lazy = true,
};

struct cut_limits cut_limits_of(const struct config *cfg, enum retention r)
{
	if (r == RETENTION_BRIEF)
		return (struct cut_limits){
			cfg->events.brief_retention_s, cfg->events.brief_retention_rows};
	return (struct cut_limits){cfg->events.retention_days * DAY_S, cfg->events.retention_rows};
}

/* The one number of a query, or `none` for NULL or no row. */
static enum err cut_number(struct db *db, const struct db_stmt *st, const struct db_val *in,
	uint64_t none, uint64_t *n)
{
	const struct db_val *row;
	enum err e = db_one(db, st, in, (size_t)st->params_n, &row);

	if (e == ERR_OK)
		*n = row && row[0].type != DB_NULL ? dbv_u(&row[0]) : none;
	return e;
}

static struct db_val age(const struct cut_limits *keep)
{
	return DBV_I(keep->keep_s < KEEP_MAX_S ? keep->keep_s : KEEP_MAX_S);
}

/* ---- what lasts ---- */

static void add_brief(struct str *list)
{
	for (const struct stream *st = streams; st->topic; st++)
		if (st->retention != RETENTION_LASTING)
			str_addf(list, "%s%s", list->len ? "," : "", st->topic);
}

static enum err find_lasting(
	struct db *db, const struct cut_limits *keep, uint64_t most, uint64_t *cut)
{
	struct str brief = STR_INIT;
	uint64_t young, beyond = 0;
	enum err e = cut_number(db, &first_young, (struct db_val[]){age(keep)}, UINT64_MAX, &young);

	add_brief(&brief);
	if (e == ERR_OK && keep->rows != CUT_ANY)
		e = cut_number(db, &beyond_newest,
			(struct db_val[]){dbv_s(str_c(&brief)), DBV_I(keep->rows)}, 0, &beyond);
	str_fini(&brief);
	if (e != ERR_OK)
		return e;
	if (young - 1 > beyond)
		beyond = young - 1;
	return cut_number(db, &last_upto, &DBV_U(beyond < most ? beyond : most), 0, cut);
}

/* ---- a class that is a few topics ---- */

static const struct stream *next_of(const struct stream *st, enum retention r)
{
	while (st->topic && st->retention != r)
		st++;
	return st;
}

#define EACH_OF(st, r) \
	for (const struct stream *st = next_of(streams, r); st->topic; st = next_of(st + 1, r))

/* The least, over the class's topics. */
static enum err find_young(
	struct db *db, enum retention r, const struct cut_limits *keep, uint64_t *least)
{
	*least = UINT64_MAX;
	EACH_OF(st, r)
	{
		uint64_t id;
		enum err e = cut_number(db, &topic_first_young,
			(struct db_val[]){dbv_s(st->topic), age(keep)}, UINT64_MAX, &id);

		if (e != ERR_OK)
			return e;
		if (id < *least)
			*least = id;
	}
	return ERR_OK;
}

/* The greatest, over the class's topics, of what st says of each and n. */
static enum err greatest(
	struct db *db, enum retention r, const struct db_stmt *stmt, struct db_val n, uint64_t *out)
{
	*out = 0;
	EACH_OF(st, r)
	{
		uint64_t id;
		enum err e = cut_number(db, stmt, (struct db_val[]){dbv_s(st->topic), n}, 0, &id);

		if (e != ERR_OK)
			return e;
		if (id > *out)
			*out = id;
	}
	return ERR_OK;
}

static enum err count_above(struct db *db, enum retention r, uint64_t id, int64_t *all)
{
	*all = 0;
	EACH_OF(st, r)
	{
		uint64_t n;
		enum err e = cut_number(
			db, &topic_above, (struct db_val[]){dbv_s(st->topic), DBV_U(id)}, 0, &n);

		if (e != ERR_OK)
			return e;
		*all += (int64_t)n;
	}
	return ERR_OK;
}

/* The least id above which the class has no more than so many rows. It is no less than that of any
 * of its topics alone, and that mostly is it. */
static enum err find_beyond(struct db *db, enum retention r, int64_t rows, uint64_t *cut)
{
	uint64_t low, high, mid;
	int64_t n;
	enum err e = greatest(db, r, &topic_beyond_newest, DBV_I(rows), &low);

	if (e == ERR_OK)
		e = greatest(db, r, &topic_last_upto, DBV_U(UINT64_MAX), &high);
	for (mid = low; e == ERR_OK && low < high; mid = low + (high - low) / 2) {
		e = count_above(db, r, mid, &n);
		if (n > rows)
			low = mid + 1;
		else
			high = mid;
	}
	*cut = low;
	return e;
}

/* No higher than the last row that goes: who wants all topics is to lose no more than has gone. */
static enum err find_topics(struct db *db, enum retention r, const struct cut_limits *keep,
	uint64_t most, uint64_t *cut)
{
	uint64_t young, beyond = 0;
	enum err e = find_young(db, r, keep, &young);

	if (e == ERR_OK && keep->rows != CUT_ANY)
		e = find_beyond(db, r, keep->rows, &beyond);
	if (e != ERR_OK)
		return e;
	if (young - 1 > beyond)
		beyond = young - 1;
	return greatest(db, r, &topic_last_upto, DBV_U(beyond < most ? beyond : most), cut);
}

enum err cut_find(struct db *db, enum retention r, const struct cut_limits *keep, uint64_t most,
	uint64_t *cut)
{
	return r == RETENTION_LASTING ? find_lasting(db, keep, most, cut)
				      : find_topics(db, r, keep, most, cut);
}
