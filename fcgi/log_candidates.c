#include "log_candidates.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log_index.h"
#include "mem.h"

#define PAGES 16        /* that one statement reads */
#define SIGNATURES 32   /* of blocks that are not turned, likewise */
#define SUPERS_MAX 4096 /* of a step: a thousand million lines */
#define RUN_MAX 4       /* blocks side by side that are one stretch */

static const struct db_stmt candidates_state = {"logs.index",
	"SELECT version, next_block, next_super, " LOG_INDEX_HOLDS " FROM log_index", 0, 4};
static const struct db_stmt candidates_supers = {"logs.supers",
	"SELECT super, from_ms, to_ms FROM log_supers WHERE super BETWEEN ? AND ? ORDER BY super"
	" LIMIT ?",
	3, 3};
static const struct db_stmt candidates_pages = {"logs.pages",
	"SELECT page, bits FROM log_pages WHERE super = ?"
	" AND page IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY page",
	1 + PAGES, 2};
static const struct db_stmt candidates_times = {"logs.block_times",
	"SELECT block FROM log_blocks WHERE block BETWEEN ? AND ? AND NOT is_open"
	" AND (to_ms < ? OR from_ms > ?)",
	4, 1};
static const struct db_stmt candidates_blocks = {"logs.blocks",
	"SELECT block, is_open, from_ms, to_ms, signature FROM log_blocks"
	" WHERE block BETWEEN ? AND ?",
	2, 5};
const struct db_set log_candidates_sql = {"log_candidates",
	(const struct db_stmt *const[]){&candidates_state, &candidates_supers, &candidates_pages,
		&candidates_times, &candidates_blocks, NULL},
	true};

struct super {
	uint64_t super;
	int64_t from_ms, to_ms;
};

/* All that the index says is read in one snapshot with the lines (log_search.c), so that it is
 * never of another time than these. */
struct log_candidates {
	struct db *db;
	const struct log_search *s;
	struct log_ask *ask;
	bool is_read;
	uint64_t end, turned_end; /* blocks below are in it, superblocks below are turned */
	struct super *supers;     /* that are turned, in the range of the search */
	size_t supers_n;
	/* What is known of a group of blocks: a superblock, or a part of one that is not turned. */
	bool has_group;
	uint64_t first, last;
	uint8_t found[LOG_BITMAP_SIZE]; /* by place in the superblock */
};

struct log_candidates *log_candidates_new(struct db *db, const struct log_search *s)
{
	struct log_candidates *c = xcalloc(1, sizeof(*c));

	c->db = db;
	c->s = s;
	return c;
}

void log_candidates_free(struct log_candidates *c)
{
	if (!c)
		return;
	log_ask_free(c->ask);
	free(c->supers);
	free(c);
}

/* ---- what there is of an index ---- */

static enum err read_supers(struct log_candidates *c)
{
	const uint64_t wide = (uint64_t)LOG_BLOCK_IDS * LOG_BLOCKS;
	const struct db_val in[] = {DBV_U(c->s->above / wide), DBV_U(c->s->below / wide),
		DBV_U(SUPERS_MAX)},
			    *row;
	enum err e = db_query(c->db, &candidates_supers, in, 3);

	if (e != ERR_OK)
		return e;
	c->supers = xcalloc(db_rows_n(c->db) + 1, sizeof(*c->supers));
	while ((row = db_fetch(c->db)))
		if (dbv_u(&row[0]) < c->turned_end)
			c->supers[c->supers_n++] =
				(struct super){dbv_u(&row[0]), dbv_i(&row[1]), dbv_i(&row[2])};
	db_done(c->db);
	return ERR_OK;
}

/* One of another version says nothing, nor one of other lines. */
static enum err read_index(struct log_candidates *c)
{
	const struct db_val *row;
	enum err e = db_one(c->db, &candidates_state, NULL, 0, &row);

	c->is_read = true;
	if (e != ERR_OK || !row || dbv_u(&row[0]) != LOG_INDEX_VERSION || !dbv_u(&row[3]))
		return e;
	c->end = dbv_u(&row[1]);
	c->turned_end = dbv_u(&row[2]);
	c->ask = log_ask_new(c->s->tenant_id, slice_str(&c->s->filter));
	return read_supers(c);
}

static const struct super *find_super(const struct log_candidates *c, uint64_t super)
{
	for (size_t i = 0; i < c->supers_n; i++)
		if (c->supers[i].super == super)
			return &c->supers[i];
	return NULL;
}

static bool asks_for_times(const struct log_search *s)
{
	return s->from_ms > 0 || s->to_ms < CLOCK_WALL_MAX_MS;
}

static bool is_in_time(const struct log_search *s, int64_t from_ms, int64_t to_ms)
{
	return to_ms >= s->from_ms && from_ms <= s->to_ms;
}

static void set_found(struct log_candidates *c, uint64_t block, bool is_found)
{
	uint8_t mask = (uint8_t)(1u << block % 8), *byte = &c->found[block % LOG_BLOCKS / 8];

	*byte = is_found ? *byte | mask : *byte & (uint8_t)~mask;
}

/* ---- a superblock that is turned ---- */

static enum err read_pages(struct log_candidates *c, uint64_t super, uint8_t *pages, bool *is_whole)
{
	size_t n, found_n = 0;
	const uint16_t *wanted = log_ask_pages(c->ask, &n);
	struct db_val in[1 + PAGES] = {DBV_U(super)};

	for (size_t from = 0; from < n; from += PAGES) {
		const struct db_val *row;
		enum err e;

		for (size_t i = 0; i < PAGES; i++)
			in[1 + i] = DBV_U(wanted[from + i < n ? from + i : n - 1]);
		e = db_query(c->db, &candidates_pages, in, 1 + PAGES);
		if (e != ERR_OK)
			return e;
		while (found_n < n && (row = db_fetch(c->db))) {
			struct slice bits = dbv_slice(&row[1]);

			if (dbv_u(&row[0]) == wanted[found_n] && bits.len == LOG_PAGE_SIZE)
				memcpy(pages + found_n++ * LOG_PAGE_SIZE, bits.p, bits.len);
		}
		db_done(c->db);
	}
	*is_whole = found_n == n;
	return ERR_OK;
}

static enum err leave_out_times(struct log_candidates *c)
{
	const struct db_val in[] = {DBV_U(c->first), DBV_U(c->last), DBV_I(c->s->from_ms),
		DBV_I(c->s->to_ms)},
			    *row;
	enum err e;

	if (!asks_for_times(c->s))
		return ERR_OK;
	e = db_query(c->db, &candidates_times, in, 4);
	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(c->db)))
		set_found(c, dbv_u(&row[0]), false);
	db_done(c->db);
	return ERR_OK;
}

static enum err see_super(struct log_candidates *c, const struct super *super)
{
	uint8_t *pages;
	bool is_whole;
	size_t n;
	enum err e;

	c->first = super->super * LOG_BLOCKS;
	c->last = c->first + LOG_BLOCKS - 1;
	memset(c->found, 0, sizeof(c->found));
	if (!is_in_time(c->s, super->from_ms, super->to_ms))
		return ERR_OK;
	log_ask_pages(c->ask, &n);
	pages = xmalloc(n * LOG_PAGE_SIZE);
	e = read_pages(c, super->super, pages, &is_whole);
	if (e == ERR_OK && is_whole)
		log_ask_super(c->ask, pages, c->found);
	else /* pages are missing: it says nothing */
		memset(c->found, 0xff, sizeof(c->found));
	free(pages);
	return e == ERR_OK ? leave_out_times(c) : e;
}

/* ---- blocks that are not ---- */

static bool is_block_found(const struct log_candidates *c, const struct db_val *row)
{
	struct slice signature = dbv_slice(&row[4]);

	if (dbv_u(&row[1]))
		return true;
	if (!is_in_time(c->s, dbv_i(&row[2]), dbv_i(&row[3])))
		return false;
	return signature.len != LOG_SIGNATURE_SIZE ||
	       log_ask_signature(c->ask, (const uint8_t *)signature.p);
}

/* Some from this one on, in the order of the search, of its superblock. What has no row is to be
 * looked at. */
static enum err see_blocks(struct log_candidates *c, uint64_t block)
{
	uint64_t first = block / LOG_BLOCKS * LOG_BLOCKS, last = first + LOG_BLOCKS - 1;
	const struct db_val *row;
	enum err e;

	if (last >= c->end)
		last = c->end - 1;
	if (c->s->is_ascending) {
		first = block;
		last = last - first < SIGNATURES ? last : first + SIGNATURES - 1;
	} else {
		last = block;
		first = last - first < SIGNATURES ? first : last - SIGNATURES + 1;
	}
	c->first = first;
	c->last = last;
	memset(c->found, 0xff, sizeof(c->found));
	e = db_query(
		c->db, &candidates_blocks, (const struct db_val[]){DBV_U(first), DBV_U(last)}, 2);
	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(c->db)))
		set_found(c, dbv_u(&row[0]), is_block_found(c, row));
	db_done(c->db);
	return ERR_OK;
}

/* ---- the way through them ---- */

static enum err see_group(struct log_candidates *c, uint64_t block)
{
	const struct super *super;

	if (c->has_group && block >= c->first && block <= c->last)
		return ERR_OK;
	c->has_group = true;
	super = find_super(c, block / LOG_BLOCKS);
	return super ? see_super(c, super) : see_blocks(c, block);
}

static bool is_candidate(const struct log_candidates *c, uint64_t block)
{
	return log_bit(c->found, (unsigned)(block % LOG_BLOCKS));
}

/* The first found block of the group from *block on. */
static bool find_up(const struct log_candidates *c, uint64_t *block)
{
	while (*block <= c->last && !is_candidate(c, *block))
		++*block;
	return *block <= c->last;
}

static bool find_down(const struct log_candidates *c, uint64_t *block)
{
	while (*block > c->first && !is_candidate(c, *block))
		--*block;
	return is_candidate(c, *block);
}

static void narrow(const struct log_candidates *c, struct id_range *r, uint64_t block)
{
	uint64_t low = block, high = block, from, to;

	while (c->s->is_ascending && high < c->last && high - low < RUN_MAX - 1 &&
		is_candidate(c, high + 1))
		high++;
	while (!c->s->is_ascending && low > c->first && high - low < RUN_MAX - 1 &&
		is_candidate(c, low - 1))
		low--;
	from = low * LOG_BLOCK_IDS;
	to = high * LOG_BLOCK_IDS + LOG_BLOCK_IDS - 1;
	r->low = from > r->low ? from : r->low;
	r->high = to < r->high ? to : r->high;
}

static enum err next_up(struct log_candidates *c, struct id_range *r, bool *is_empty)
{
	uint64_t block = r->low / LOG_BLOCK_IDS;

	while (block < c->end && block <= r->high / LOG_BLOCK_IDS) {
		enum err e = see_group(c, block);

		if (e != ERR_OK)
			return e;
		if (find_up(c, &block) && block <= r->high / LOG_BLOCK_IDS) {
			narrow(c, r, block);
			return ERR_OK;
		}
	}
	*is_empty = block > r->high / LOG_BLOCK_IDS;
	if (!*is_empty && block * LOG_BLOCK_IDS > r->low)
		r->low = block * LOG_BLOCK_IDS;
	return ERR_OK;
}

static enum err next_down(struct log_candidates *c, struct id_range *r, bool *is_empty)
{
	uint64_t block = r->high / LOG_BLOCK_IDS, end_id = c->end * LOG_BLOCK_IDS;

	if (block >= c->end) {
		r->low = r->low > end_id ? r->low : end_id;
		return ERR_OK;
	}
	for (;;) {
		enum err e = see_group(c, block);

		if (e != ERR_OK)
			return e;
		if (find_down(c, &block)) {
			*is_empty = block < r->low / LOG_BLOCK_IDS;
			if (!*is_empty)
				narrow(c, r, block);
			return ERR_OK;
		}
		*is_empty = block <= r->low / LOG_BLOCK_IDS;
		if (*is_empty)
			return ERR_OK;
		block--;
	}
}

enum err log_candidates_next(struct log_candidates *c, struct id_range *r, bool *is_empty)
{
	enum err e = c->is_read ? ERR_OK : read_index(c);

	*is_empty = false;
	if (e != ERR_OK || !c->end)
		return e;
	return c->s->is_ascending ? next_up(c, r, is_empty) : next_down(c, r, is_empty);
}
