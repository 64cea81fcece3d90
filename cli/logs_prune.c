/*
 * `cmdbctl logs prune`: takes away the oldest lines of logs, what the index says of them
 * (lib/log_index.h), and devices that have been silent for as long and of which no line is left.
 * Ids rise as lines come, so what goes is all up to an id: the last one that came too long ago, or,
 * if that is larger, the one above which there are no more lines than are kept. The index knows how
 * many a block has, so that these are not counted one by one; it is cut at a block's end. Dying
 * half way is harmless: the next run goes on.
 */
#include <json-c/json.h>

#include "bar.h"
#include "log_index.h"
#include "logs.h"
#include "rows.h"

#define DAY_S 86400
#define STEP_IDS 2000    /* that one transaction removes */
#define COUNT_ROWS 20000 /* that one statement counts */
#define COUNT_BLOCKS 5000
#define TRIES 20

#define INDEX_ROWS "500"

static const struct db_stmt prune_ends = {
	"logs_prune.ends", "SELECT MIN(id), MAX(id) FROM logs", 0, 2};
static const struct db_stmt prune_first = {
	"logs_prune.first", "SELECT MIN(id) FROM logs WHERE id >= ?", 1, 1};
static const struct db_stmt prune_is_old = {"logs_prune.is_old",
	"SELECT id, received_at < NOW(3) - INTERVAL ? SECOND FROM logs WHERE id >= ?"
	" ORDER BY id LIMIT 1",
	2, 2};
static const struct db_stmt prune_indexed = {"logs_prune.indexed",
	"SELECT next_block FROM log_index WHERE version = ? AND " LOG_INDEX_HOLDS, 1, 1};
static const struct db_stmt prune_count = {"logs_prune.count",
	"SELECT COUNT(*), MIN(id) FROM"
	" (SELECT id FROM logs WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?) newest",
	3, 2};
static const struct db_stmt prune_blocks = {"logs_prune.blocks",
	"SELECT block, lines_n FROM log_blocks WHERE block < ? ORDER BY block DESC LIMIT ?", 2, 2};
static const struct db_stmt prune_lines = {
	"logs_prune.lines", "DELETE FROM logs WHERE id BETWEEN ? AND ?", 2, 0};
static const struct db_stmt prune_all = {
	"logs_prune.all", "SELECT COUNT(*) FROM logs WHERE id <= ?", 1, 1};
static const struct db_stmt prune_no_blocks = {"logs_prune.no_blocks",
	"DELETE FROM log_blocks WHERE block < ? ORDER BY block LIMIT " INDEX_ROWS, 1, 0};
static const struct db_stmt prune_no_supers = {"logs_prune.no_supers",
	"DELETE FROM log_supers WHERE super < ? ORDER BY super LIMIT " INDEX_ROWS, 1, 0};
static const struct db_stmt prune_no_pages = {"logs_prune.no_pages",
	"DELETE FROM log_pages WHERE super < ? ORDER BY super, page LIMIT " INDEX_ROWS, 1, 0};

#define SILENT_DEVICES                                                                    \
	"FROM devices WHERE is_online = 0 AND last_seen_at < NOW(3) - INTERVAL ? SECOND " \
	"AND NOT EXISTS (SELECT 1 FROM logs l WHERE l.tenant_id = devices.tenant_id "     \
	"AND l.device_id = devices.device_id)"
static const struct db_stmt prune_silent = {
	"logs_prune.silent", "SELECT COUNT(*) " SILENT_DEVICES, 1, 1};
static const struct db_stmt prune_devices = {
	"logs_prune.devices", "DELETE " SILENT_DEVICES " LIMIT 500", 1, 0};

static const struct db_set prune_sql = {"logs_prune",
	(const struct db_stmt *const[]){&prune_ends, &prune_first, &prune_is_old, &prune_indexed,
		&prune_count, &prune_blocks, &prune_lines, &prune_all, &prune_no_blocks,
		&prune_no_supers, &prune_no_pages, &prune_silent, &prune_devices, NULL},
	true};
static const struct db_set *const prune_sets[] = {&prune_sql, NULL};

struct logs_prune {
	struct call *call;
	struct db *db;
	uint64_t oldest, newest; /* ids; 0: there are none */
	uint64_t cut;            /* all up to it go */
	uint64_t gone, devices_n;
	int64_t keep_s;
	struct bar bar;
};

static enum err logs_number(struct db *db, const struct db_stmt *st, const struct db_val *in,
	size_t in_n, uint64_t none, uint64_t *n)
{
	const struct db_val *row;
	enum err e = db_one(db, st, in, in_n, &row);

	if (e == ERR_OK)
		*n = row && row[0].type != DB_NULL ? dbv_u(&row[0]) : none;
	return e;
}

/* ---- by age ---- */

static enum err is_old(struct logs_prune *p, int64_t keep_s, uint64_t *id, bool *is_so)
{
	const struct db_val in[] = {DBV_I(keep_s), DBV_U(*id)}, *row;
	enum err e = db_one(p->db, &prune_is_old, in, 2, &row);

	*is_so = e == ERR_OK && row && dbv_u(&row[1]);
	if (e == ERR_OK && row)
		*id = dbv_u(&row[0]);
	return e;
}

/* The first line that is young is between low and high. */
static enum err cut_by_age(struct logs_prune *p, int64_t keep_s, uint64_t *cut)
{
	uint64_t low = p->oldest, high = p->newest + 1;
	enum err e = ERR_OK;

	while (e == ERR_OK && low < high) {
		uint64_t mid = low + (high - low) / 2, id = mid;
		bool is_so;

		e = is_old(p, keep_s, &id, &is_so);
		if (is_so)
			low = id + 1;
		else
			high = mid;
	}
	*cut = low - 1;
	return e;
}

/* ---- by rows ---- */

/* Of the lines from `from` on, newest first. *left: how many more may be kept; *cut is set when
 * these are not enough. */
static enum err count_lines(struct logs_prune *p, uint64_t from, int64_t *left, uint64_t *cut)
{
	uint64_t to = p->newest;

	while (to >= from && *left >= 0 && !*cut) {
		const struct db_val in[] = {DBV_U(from), DBV_U(to),
			DBV_I(*left < COUNT_ROWS ? *left + 1 : COUNT_ROWS)},
				    *row;
		enum err e = db_one(p->db, &prune_count, in, 3, &row);
		int64_t n;

		if (e != ERR_OK)
			return e;
		n = row ? (int64_t)dbv_u(&row[0]) : 0;
		if (!n)
			return ERR_OK;
		to = dbv_u(&row[1]) - 1;
		if (n > *left)
			*cut = to + 1;
		*left -= n;
	}
	return ERR_OK;
}

static enum err count_blocks(struct logs_prune *p, uint64_t end, int64_t *left, uint64_t *cut)
{
	uint64_t n = COUNT_BLOCKS;

	while (n == COUNT_BLOCKS && !*cut) {
		const struct db_val in[] = {DBV_U(end), DBV_U(COUNT_BLOCKS)}, *row;
		enum err e = db_query(p->db, &prune_blocks, in, 2);

		if (e != ERR_OK)
			return e;
		for (n = 0; !*cut && (row = db_fetch(p->db)); n++) {
			end = dbv_u(&row[0]);
			*left -= (int64_t)dbv_u(&row[1]);
			if (*left < 0)
				*cut = end * LOG_BLOCK_IDS + LOG_BLOCK_IDS - 1;
		}
		db_done(p->db);
	}
	return ERR_OK;
}

static enum err cut_by_rows(struct logs_prune *p, int64_t keep, uint64_t *cut)
{
	uint64_t indexed = 0;
	enum err e = ERR_OK;

	*cut = 0;
	if (p->newest - p->oldest < (uint64_t)keep)
		return ERR_OK;
	e = logs_number(p->db, &prune_indexed, &DBV_U(LOG_INDEX_VERSION), 1, 0, &indexed);
	if (e == ERR_OK)
		e = count_lines(p, indexed * LOG_BLOCK_IDS, &keep, cut);
	return e == ERR_OK && !*cut ? count_blocks(p, indexed, &keep, cut) : e;
}

static enum err find_cut_of_logs(struct logs_prune *p)
{
	const struct config *cfg = p->call->cfg;
	uint64_t by_rows;
	const struct db_val *row;
	enum err e = db_one(p->db, &prune_ends, NULL, 0, &row);

	if (e != ERR_OK || !row || row[0].type == DB_NULL)
		return e;
	p->oldest = dbv_u(&row[0]);
	p->newest = dbv_u(&row[1]);
	e = cut_by_age(p, p->keep_s, &p->cut);
	if (e == ERR_OK)
		e = cut_by_rows(
			p, opt_number(p->call, "keep-rows", cfg->logs.retention_rows), &by_rows);
	if (e == ERR_OK && by_rows > p->cut)
		p->cut = by_rows;
	return e;
}

/* ---- taking away ---- */

/* A statement that ran into a lock is tried again. */
static enum err remove_some(
	struct logs_prune *p, const struct db_stmt *st, const struct db_val *in, uint64_t *n)
{
	enum err e = ERR_DB_RETRY;

	for (unsigned tries = 0; e == ERR_DB_RETRY && tries < TRIES; tries++)
		e = db_exec(p->db, st, in, (size_t)st->params_n, n, NULL);
	return e;
}

static enum err remove_lines(struct logs_prune *p)
{
	uint64_t from = p->oldest, first = p->oldest;
	enum err e = ERR_OK;

	while (e == ERR_OK && from <= p->cut) {
		uint64_t to = p->cut - from < STEP_IDS ? p->cut : from + STEP_IDS - 1, n = 0;

		e = remove_some(p, &prune_lines, (struct db_val[]){DBV_U(from), DBV_U(to)}, &n);
		p->gone += n;
		bar_draw(&p->bar, to - first, p->cut - first + 1, "");
		if (e == ERR_OK)
			e = logs_number(p->db, &prune_first, &DBV_U(to + 1), 1, UINT64_MAX, &from);
	}
	bar_clear(&p->bar);
	return e;
}

/* What it says of blocks of which nothing is left. */
static enum err remove_index(struct logs_prune *p)
{
	const uint64_t block = (p->cut + 1) / LOG_BLOCK_IDS;
	const struct {
		const struct db_stmt *st;
		uint64_t below;
	} all[] = {{&prune_no_supers, block / LOG_BLOCKS}, {&prune_no_pages, block / LOG_BLOCKS},
		{&prune_no_blocks, block}};
	enum err e = ERR_OK;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint64_t n = 1;

		while (e == ERR_OK && n > 0)
			e = remove_some(p, all[i].st, &DBV_U(all[i].below), &n);
	}
	return e;
}

static enum err remove_devices(struct logs_prune *p)
{
	enum err e = ERR_OK;
	uint64_t n = 1;

	while (e == ERR_OK && n > 0) {
		e = remove_some(p, &prune_devices, &DBV_I(p->keep_s), &n);
		p->devices_n += e == ERR_OK ? n : 0;
	}
	return e;
}

static enum err logs_remove(struct logs_prune *p)
{
	enum err e = p->newest ? remove_lines(p) : ERR_OK;

	if (e == ERR_OK && p->newest)
		e = remove_index(p);
	return e == ERR_OK ? remove_devices(p) : e;
}

/* Devices of which a line goes first are not counted. */
static enum err only_count(struct logs_prune *p)
{
	enum err e = logs_number(p->db, &prune_all, &DBV_U(p->cut), 1, 0, &p->gone);

	return e == ERR_OK
		       ? logs_number(p->db, &prune_silent, &DBV_I(p->keep_s), 1, 0, &p->devices_n)
		       : e;
}

/* ---- the command ---- */

enum ctl_exit logs_prune(struct call *call)
{
	struct logs_prune p = {.call = call};
	bool is_dry = opt_flag(call, "dry-run");
	enum ctl_exit status = cmd_db(call, prune_sets);
	struct json_object *o;
	enum err e;

	if (status != CTL_OK)
		return status;
	p.db = call->db;
	p.keep_s = opt_number(call, "older-than", call->cfg->logs.retention_days) * DAY_S;
	bar_init(&p.bar);
	if ((e = db_script(p.db, "SET SESSION innodb_lock_wait_timeout = 2")) ||
		(e = find_cut_of_logs(&p)))
		return cmd_fail_db(call, e, "nothing was deleted");
	e = is_dry ? only_count(&p) : logs_remove(&p);
	if (e != ERR_OK)
		return cmd_fail_db(call, e, "pruning stopped half way; run it again");
	o = json_object_new_object();
	json_object_object_add(o, "dry_run", json_object_new_boolean(is_dry));
	json_object_object_add(o, "upto", json_object_new_uint64(p.cut));
	json_object_object_add(o, "lines", json_object_new_uint64(p.gone));
	json_object_object_add(o, "devices", json_object_new_uint64(p.devices_n));
	rows_print_one(call, o);
	json_object_put(o);
	return CTL_OK;
}

const struct opt logs_prune_opts[] = {
	{"older-than", OPT_NUMBER, "DAYS", "what came longer ago goes (logs.retention_days)", 0,
		36500},
	{"keep-rows", OPT_NUMBER, "N", "the newest N are kept at most (logs.retention_rows)", 0,
		1000000000000},
	{"dry-run", OPT_FLAG, NULL, "only say what would go", 0, 0},
	{0},
};
