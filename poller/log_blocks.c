#include "log_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "log_filter.h"
#include "mem.h"

#define TURN_READ 32  /* signatures that one statement reads */
#define TURN_WRITE 64 /* pages that one statement writes */
#define CLEAR_ROWS "500"

static const struct db_stmt blocks_state = {"index.state",
	"SELECT version, next_block, next_super, last_id, last_ms, " LOG_INDEX_HOLDS
	" FROM log_index",
	0, 6};
static const struct db_stmt blocks_newest = {"index.newest", "SELECT MAX(id) FROM logs", 0, 1};
static const struct db_stmt blocks_first = {
	"index.first", "SELECT MIN(id) FROM logs WHERE id >= ?", 1, 1};
#define LOGGED_MS DB_MS_OF("logged_at")
#define CAME_MS DB_MS_OF("received_at")
static const struct db_stmt blocks_read = {"index.read",
	"SELECT id, tenant_id, device_id, level, " LOGGED_MS ", message, tags, " CAME_MS
	" FROM logs"
	" WHERE id BETWEEN ? AND ? ORDER BY id LOCK IN SHARE MODE NOWAIT",
	2, 8};
static const struct db_stmt blocks_locked = {"index.locked",
	"SELECT id FROM logs WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"
	" LOCK IN SHARE MODE NOWAIT",
	2, 1};
static const struct db_stmt blocks_open = {"index.open",
	"SELECT block FROM log_blocks WHERE is_open AND block < ? ORDER BY block LIMIT ?", 2, 1};
static const struct db_stmt blocks_next = {
	"index.next", "SELECT MIN(block) FROM log_blocks WHERE block >= ?", 1, 1};
static const struct db_stmt blocks_void = {"index.void", "UPDATE log_index SET version = 0", 0, 0};
static const struct db_stmt blocks_no_blocks = {
	"index.no_blocks", "DELETE FROM log_blocks ORDER BY block LIMIT " CLEAR_ROWS, 0, 0};
static const struct db_stmt blocks_no_pages = {
	"index.no_pages", "DELETE FROM log_pages ORDER BY super, page LIMIT " CLEAR_ROWS, 0, 0};
static const struct db_stmt blocks_no_supers = {
	"index.no_supers", "DELETE FROM log_supers ORDER BY super LIMIT " CLEAR_ROWS, 0, 0};
static const struct db_stmt blocks_no_state = {"index.no_state", "DELETE FROM log_index", 0, 0};
static const struct db_stmt blocks_begin = {"index.begin",
	"INSERT INTO log_index (version, next_block, next_super, last_id, last_ms)"
	" VALUES (?, 0, 0, 0, 0)",
	1, 0};
static const struct db_stmt blocks_put = {"index.put",
	"REPLACE INTO log_blocks (block, is_open, lines_n, from_ms, to_ms, signature)"
	" VALUES (?, ?, ?, ?, ?, ?)",
	6, 0};
static const struct db_stmt blocks_move = {"index.move",
	"UPDATE log_index SET next_block = ?, last_id = ?, last_ms = ?"
	" WHERE next_block = ? AND version = ?",
	5, 0};
static const struct db_stmt blocks_moved_super = {"index.super",
	"UPDATE log_index SET next_super = ? WHERE next_super = ? AND version = ?", 3, 0};
static const struct db_stmt blocks_times = {"index.times",
	"SELECT MIN(from_ms), MAX(to_ms) FROM log_blocks WHERE block BETWEEN ? AND ?", 2, 2};
static const struct db_stmt blocks_signatures = {"index.signatures",
	"SELECT block, signature FROM log_blocks WHERE block BETWEEN ? AND ? ORDER BY block", 2, 2};
static const struct db_stmt blocks_page = {
	"index.page", "REPLACE INTO log_pages (super, page, bits) VALUES (?, ?, ?)", 3, 0};
static const struct db_stmt blocks_turned = {
	"index.turned", "UPDATE log_blocks SET signature = NULL WHERE block BETWEEN ? AND ?", 2, 0};
static const struct db_stmt blocks_super = {"index.put_super",
	"REPLACE INTO log_supers (super, from_ms, to_ms) VALUES (?, ?, ?)", 3, 0};

/* ---- what there is ---- */

enum err log_blocks_state(struct db *db, struct log_index_state *s)
{
	const struct db_val *row;
	enum err e = db_one(db, &blocks_state, NULL, 0, &row);

	*s = (struct log_index_state){0};
	if (e == ERR_OK && row)
		*s = (struct log_index_state){.version = (unsigned)dbv_u(&row[0]),
			.next_block = dbv_u(&row[1]),
			.next_super = dbv_u(&row[2]),
			.last_id = dbv_u(&row[3]),
			.last_ms = dbv_i(&row[4]),
			.holds = dbv_u(&row[5])};
	return e;
}

static enum err one_number(struct db *db, const struct db_stmt *st, const struct db_val *in,
	size_t in_n, uint64_t none, uint64_t *out)
{
	const struct db_val *row;
	enum err e = db_one(db, st, in, in_n, &row);

	if (e == ERR_OK)
		*out = row && row[0].type != DB_NULL ? dbv_u(&row[0]) : none;
	return e;
}

enum err log_blocks_newest(struct db *db, uint64_t *id)
{
	return one_number(db, &blocks_newest, NULL, 0, 0, id);
}

enum err log_blocks_first_from(struct db *db, uint64_t from, uint64_t *id)
{
	return one_number(db, &blocks_first, &DBV_U(from), 1, UINT64_MAX, id);
}

enum err log_blocks_next(struct db *db, uint64_t from, uint64_t *block)
{
	return one_number(db, &blocks_next, &DBV_U(from), 1, UINT64_MAX, block);
}

static void add_line(struct log_block *b, const struct db_val *row, struct str *digest)
{
	const struct log_entry e = {.id = dbv_u(&row[0]),
		.device = dbv_slice(&row[2]),
		.level = (enum entry_level)dbv_u(&row[3]),
		.message = dbv_slice(&row[5]),
		.tags = dbv_slice(&row[6])};
	int64_t ms = dbv_i(&row[4]);

	if (b->lines_n == 0 || ms < b->from_ms)
		b->from_ms = ms;
	if (b->lines_n == 0 || ms > b->to_ms)
		b->to_ms = ms;
	b->lines_n++;
	b->last_id = e.id;
	b->last_ms = dbv_i(&row[7]);
	str_clear(digest);
	log_filter_digest(digest, &e);
	log_index_add(b->signature, (uint32_t)dbv_u(&row[1]), slice_str(digest));
}

enum err log_blocks_read(struct db *db, struct log_block *b)
{
	uint64_t from = b->block * LOG_BLOCK_IDS;
	const struct db_val in[] = {DBV_U(from), DBV_U(from + LOG_BLOCK_IDS - 1)}, *row;
	struct str digest = STR_INIT;
	enum err e = db_query(db, &blocks_read, in, 2);

	*b = (struct log_block){.block = b->block, .is_waited_for = e == ERR_DB_RETRY};
	if (e == ERR_OK) {
		while ((row = db_fetch(db)))
			add_line(b, row, &digest);
		db_done(db);
	}
	str_fini(&digest);
	return e == ERR_DB_RETRY ? ERR_OK : e;
}

enum err log_blocks_is_locked(struct db *db, uint64_t from, uint64_t to, bool *is_locked)
{
	const struct db_val in[] = {DBV_U(from), DBV_U(to)}, *row;
	enum err e = db_one(db, &blocks_locked, in, 2, &row);

	/* A line that is there now was not there when one looked. */
	*is_locked = e == ERR_DB_RETRY || (e == ERR_OK && row);
	return e == ERR_DB_RETRY ? ERR_OK : e;
}

enum err log_blocks_open(struct db *db, uint64_t below, uint64_t *blocks, size_t most, size_t *n)
{
	const struct db_val in[] = {DBV_U(below), DBV_U(most)}, *row;
	enum err e = db_query(db, &blocks_open, in, 2);

	*n = 0;
	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(db)) && *n < most)
		blocks[(*n)++] = dbv_u(&row[0]);
	db_done(db);
	return ERR_OK;
}

/* ---- changes ---- */

enum err log_blocks_void(struct db *db)
{
	return db_exec(db, &blocks_void, NULL, 0, NULL, NULL);
}

enum err log_blocks_clear(struct db *db, bool *is_gone)
{
	static const struct db_stmt *const all[] = {
		&blocks_no_blocks, &blocks_no_pages, &blocks_no_supers};
	uint64_t n = 0;
	enum err e = ERR_OK;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && e == ERR_OK && n == 0; i++)
		e = db_exec(db, all[i], NULL, 0, &n, NULL);
	*is_gone = e == ERR_OK && n == 0;
	return e;
}

enum err log_blocks_begin(struct db *db)
{
	enum err e = db_exec(db, &blocks_no_state, NULL, 0, NULL, NULL);

	return e == ERR_OK ? db_exec(db, &blocks_begin, &DBV_U(LOG_INDEX_VERSION), 1, NULL, NULL)
			   : e;
}

enum err log_blocks_put(struct db *db, const struct log_block *b)
{
	const struct db_val in[] = {DBV_U(b->block), DBV_U(b->is_open), DBV_U(b->lines_n),
		DBV_I(b->from_ms), DBV_I(b->to_ms),
		b->is_open ? DBV_NULL : dbv_b(b->signature, LOG_SIGNATURE_SIZE)};

	return db_exec(db, &blocks_put, in, 6, NULL, NULL);
}

enum err log_blocks_move(
	struct db *db, uint64_t from, const struct log_index_state *to, bool *is_ours)
{
	const struct db_val in[] = {DBV_U(to->next_block), DBV_U(to->last_id), DBV_I(to->last_ms),
		DBV_U(from), DBV_U(LOG_INDEX_VERSION)};
	uint64_t n = 0;
	enum err e = db_exec(db, &blocks_move, in, 5, &n, NULL);

	*is_ours = n > 0;
	return e;
}

/* ---- superblocks ---- */

static enum err turn_signatures(struct db *db, uint64_t first, uint8_t *pages)
{
	uint8_t all[LOG_SIGNATURE_SIZE];

	memset(all, 0xff, sizeof(all));
	for (uint64_t at = 0; at < LOG_BLOCKS; at += TURN_READ) {
		const struct db_val in[] = {DBV_U(first + at), DBV_U(first + at + TURN_READ - 1)};
		const struct db_val *row;
		enum err e = db_query(db, &blocks_signatures, in, 2);

		if (e != ERR_OK)
			return e;
		while ((row = db_fetch(db))) {
			struct slice signature = dbv_slice(&row[1]);

			/* One that has been lost is one that may have anything. */
			log_index_turn(pages, (unsigned)(dbv_u(&row[0]) - first),
				signature.len == LOG_SIGNATURE_SIZE ? (const uint8_t *)signature.p
								    : all);
		}
		db_done(db);
	}
	return ERR_OK;
}

static enum err write_pages(struct db *db, uint64_t super, const uint8_t *pages)
{
	struct db_val in[TURN_WRITE * 3];

	for (uint64_t page = 0; page < LOG_PAGES; page += TURN_WRITE) {
		enum err e;

		for (uint64_t i = 0; i < TURN_WRITE; i++) {
			in[i * 3] = DBV_U(super);
			in[i * 3 + 1] = DBV_U(page + i);
			in[i * 3 + 2] = dbv_b(pages + (page + i) * LOG_PAGE_SIZE, LOG_PAGE_SIZE);
		}
		e = db_exec_rows(db, &blocks_page, in, TURN_WRITE);
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

static enum err end_super(struct db *db, uint64_t super, const struct db_val *range)
{
	struct db_val in[3] = {DBV_U(super), DBV_I(0), DBV_I(0)};
	const struct db_val *row;
	enum err e = db_one(db, &blocks_times, range, 2, &row);

	if (e == ERR_OK && row) {
		in[1] = DBV_I(dbv_i(&row[0]));
		in[2] = DBV_I(dbv_i(&row[1]));
	}
	if (e == ERR_OK)
		e = db_exec(db, &blocks_turned, range, 2, NULL, NULL);
	if (e == ERR_OK)
		e = db_exec(db, &blocks_super, in, 3, NULL, NULL);
	return e;
}

enum err log_blocks_turn(struct db *db, uint64_t from, uint64_t super, bool *is_ours)
{
	uint64_t first = super * LOG_BLOCKS;
	const struct db_val range[] = {DBV_U(first), DBV_U(first + LOG_BLOCKS - 1)};
	const struct db_val in[] = {DBV_U(super + 1), DBV_U(from), DBV_U(LOG_INDEX_VERSION)};
	uint8_t *pages;
	uint64_t n = 0;
	enum err e = db_exec(db, &blocks_moved_super, in, 3, &n, NULL);

	*is_ours = n > 0;
	if (e != ERR_OK || !*is_ours)
		return e;
	pages = xcalloc(1, LOG_SUPER_SIZE);
	e = turn_signatures(db, first, pages);
	if (e == ERR_OK)
		e = write_pages(db, super, pages);
	if (e == ERR_OK)
		e = end_super(db, super, range);
	free(pages);
	return e;
}
