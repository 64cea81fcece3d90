#include "log_search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "event.h"
#include "json.h"
#include "json_walk.h"
#include "log_candidates.h"
#include "mem.h"

#define SPAN 2048       /* ids that one statement looks at */
#define SPAN_MIN 256    /* at first, and where lines are large */
#define DEVICES_MAX 8   /* so many are looked for by the index of devices */
#define DEVICE_ROWS 256 /* of each by one statement */
/* So much is looked at of devices in full before candidates are asked for: most have few lines. */
#define DIRECT_ROWS 2048

#define LOGGED_MS DB_MS_OF("logged_at")
#define RECEIVED_MS DB_MS_OF("received_at")
/* A result is held whole, so a large line comes alone: before, it has no message. Each look at a
 * length costs, and mostly there is nothing but a message. */
#define LARGE "4096"
#define COLUMNS_OF(message, tags, meta)                                                   \
	"SELECT id, device_id, level, " LOGGED_MS ", " RECEIVED_MS ", " message ", " tags \
	", source, " meta " FROM logs "
#define UNLESS_LARGE(column) "IF(LENGTH(" column ") > " LARGE ", NULL, " column ")"
#define COLUMNS                                                              \
	COLUMNS_OF("IF(LENGTH(message) > " LARGE " OR LENGTH(tags) > " LARGE \
		   " OR LENGTH(meta) > " LARGE ", NULL, message)",           \
		UNLESS_LARGE("tags"), UNLESS_LARGE("meta"))
#define COLUMNS_N 9
#define MESSAGE_COLUMN 5
/* What costs little to ask there is left out by the server; what costs more (the time, a
 * microsecond a line) only where it is asked for, and last. */
#define IN_SPAN                                                            \
	"FORCE INDEX (PRIMARY) WHERE id BETWEEN ? AND ? AND tenant_id = ?" \
	" AND (1 << level) & ?"
#define IN_TIME " AND logged_at BETWEEN ? AND ?"
/* Here that would let one statement look at any number of rows. */
#define OF_DEVICE                                                            \
	"FORCE INDEX (ix_logs_device) WHERE tenant_id = ? AND device_id = ?" \
	" AND id BETWEEN ? AND ? ORDER BY id"

static const struct db_stmt sql_span_up = {
	"logs.span_up", COLUMNS IN_SPAN " ORDER BY id", 4, COLUMNS_N};
static const struct db_stmt sql_span_down = {
	"logs.span_down", COLUMNS IN_SPAN " ORDER BY id DESC", 4, COLUMNS_N};
static const struct db_stmt sql_times_up = {
	"logs.times_up", COLUMNS IN_SPAN IN_TIME " ORDER BY id", 6, COLUMNS_N};
static const struct db_stmt sql_times_down = {
	"logs.times_down", COLUMNS IN_SPAN IN_TIME " ORDER BY id DESC", 6, COLUMNS_N};
static const struct db_stmt sql_device_up = {
	"logs.device_up", COLUMNS OF_DEVICE " LIMIT ?", 5, COLUMNS_N};
static const struct db_stmt sql_device_down = {
	"logs.device_down", COLUMNS OF_DEVICE " DESC LIMIT ?", 5, COLUMNS_N};
static const struct db_stmt sql_whole = {
	"logs.whole", COLUMNS_OF("message", "tags", "meta") "WHERE id = ?", 1, COLUMNS_N};
/* Ids have gaps of any width: the next one that there is. */
static const struct db_stmt sql_next_up = {
	"logs.next_up", "SELECT MIN(id) FROM logs WHERE id BETWEEN ? AND ?", 2, 1};
static const struct db_stmt sql_next_down = {
	"logs.next_down", "SELECT MAX(id) FROM logs WHERE id BETWEEN ? AND ?", 2, 1};

const struct db_set log_search_sql = {"log_search",
	(const struct db_stmt *const[]){&sql_span_up, &sql_span_down, &sql_times_up,
		&sql_times_down, &sql_device_up, &sql_device_down, &sql_whole, &sql_next_up,
		&sql_next_down, NULL},
	true};

void log_search_init(struct log_search *s, uint32_t tenant_id)
{
	*s = (struct log_search){
		.tenant_id = tenant_id, .to_ms = CLOCK_WALL_MAX_MS, .below = UINT64_MAX};
}

void log_search_fini(struct log_search *s)
{
	log_filter_fini(&s->wants);
	str_fini(&s->filter);
}

uint64_t log_search_cursor(const struct log_search *s)
{
	return s->is_ascending ? s->above : s->below;
}

/* ---- one step ---- */

struct found {
	uint64_t id;
	size_t from, to; /* of its text */
};

struct walk {
	struct db *db;
	struct log_search *s;
	const struct log_step *step;
	struct str *out;
	uint64_t found_n, rows_n;
	size_t begin; /* of out */
	uint64_t span;
	bool is_sparse; /* the last stretch had nothing: there may be a gap */
	/* What one stretch of ids has. */
	struct str texts, digest, tags, meta;
	struct found *found;
	size_t n, cap;
};

static void walk_fini(struct walk *w)
{
	str_fini(&w->texts);
	str_fini(&w->digest);
	str_fini(&w->tags);
	str_fini(&w->meta);
	free(w->found);
}

/* What was written by SQL need not be JSON as clients read it, in one line. */
static struct slice json_of(struct str *buf, const struct db_val *v)
{
	struct slice text = dbv_slice(v);

	if (!text.len || (!json_look(text.p, text.len) && !memchr(text.p, '\n', text.len) &&
				 !memchr(text.p, '\r', text.len)))
		return text;
	str_clear(buf);
	event_put_payload(buf, text);
	return slice_str(buf);
}

static struct slice tags_of(struct str *buf, const struct db_val *v)
{
	struct slice json = json_of(buf, v);
	struct json_walk walk;

	return json_walk_into(&walk, json, '[') ? json : (struct slice){"", 0};
}

static struct log_entry entry_of(struct walk *w, const struct db_val *row)
{
	return (struct log_entry){.id = dbv_u(&row[0]),
		.device = dbv_slice(&row[1]),
		.level = (enum entry_level)dbv_u(&row[2]),
		.logged_ms = dbv_i(&row[3]),
		.received_ms = dbv_i(&row[4]),
		.message = dbv_slice(&row[5]),
		.tags = tags_of(&w->tags, &row[6]),
		.source = row[7].type == DB_NULL ? (struct slice){NULL, 0} : dbv_slice(&row[7]),
		.meta = json_of(&w->meta, &row[8])};
}

static bool is_wanted(struct walk *w, const struct log_entry *e)
{
	const struct log_search *s = w->s;

	if (e->logged_ms < s->from_ms || e->logged_ms > s->to_ms)
		return false;
	if (!s->filter.len)
		return true;
	str_clear(&w->digest);
	log_filter_digest(&w->digest, e);
	return log_filter_matches(slice_str(&s->filter), slice_str(&w->digest));
}

static void search_keep(struct walk *w, const struct log_entry *e)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		w->found = xrealloc(w->found, w->cap * sizeof(*w->found));
	}
	w->found[w->n] = (struct found){.id = e->id, .from = w->texts.len};
	log_entry_put(&w->texts, e);
	w->found[w->n++].to = w->texts.len;
}

/* What became of a query's rows. */
struct taken {
	uint64_t rows_n;
	uint64_t last; /* id, of those that were looked at */
	bool is_cut;   /* there were more, but what was found is enough, or the next one is large */
};

static void take_row(struct walk *w, const struct db_val *row, struct taken *t)
{
	struct log_entry e = entry_of(w, row);

	t->rows_n++;
	t->last = e.id;
	if (is_wanted(w, &e))
		search_keep(w, &e);
}

static enum err take_whole(struct walk *w, uint64_t id, struct taken *t)
{
	const struct db_val *row;
	enum err e = db_one(w->db, &sql_whole, &DBV_U(id), 1, &row);

	if (e == ERR_OK && row)
		take_row(w, row, t);
	t->last = id;
	return e;
}

/* Reads what a query gave: all of it, up to a large line, or a large line alone. */
static enum err take_rows(struct walk *w, struct taken *t)
{
	const size_t begin = w->texts.len;
	const struct db_val *row;
	uint64_t large = 0;

	*t = (struct taken){0};
	while (!t->is_cut && (row = db_fetch(w->db))) {
		if (row[MESSAGE_COLUMN].type == DB_NULL) {
			large = dbv_u(&row[0]);
			t->is_cut = true;
		} else {
			take_row(w, row, t);
			t->is_cut = w->texts.len - begin >= w->step->bytes;
		}
	}
	db_done(w->db);
	w->span = t->is_cut ? SPAN_MIN : w->span * 2 < SPAN ? w->span * 2 : SPAN;
	return large && t->rows_n == 0 ? take_whole(w, large, t) : ERR_OK;
}

static bool search_is_before(const struct walk *w, uint64_t a, uint64_t b)
{
	return w->s->is_ascending ? a < b : a > b;
}

/* Behind id lies what is still to be looked at. */
static void move_cursor(struct walk *w, uint64_t id)
{
	if (w->s->is_ascending)
		w->s->above = id;
	else
		w->s->below = id;
}

static bool is_enough(const struct walk *w)
{
	return w->found_n >= w->step->entries ||
	       (w->found_n > 0 && w->out->len - w->begin >= w->step->bytes);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct found *)a)->id, y = ((const struct found *)b)->id;

	return x < y ? -1 : x > y;
}

/* Gives what was found up to the id `end`, behind which nothing was looked at, until it is enough.
 */
static void give(struct walk *w, uint64_t end)
{
	bool is_up = w->s->is_ascending;

	if (w->n)
		qsort(w->found, w->n, sizeof(*w->found), by_id);
	for (size_t i = 0; i < w->n; i++) {
		const struct found *f = &w->found[is_up ? i : w->n - 1 - i];

		if (search_is_before(w, end, f->id))
			break;
		if (w->found_n++ > 0)
			str_adds(w->out, w->step->separator);
		str_add(w->out, w->texts.p + f->from, f->to - f->from);
		move_cursor(w, f->id);
		if (is_enough(w))
			return;
	}
	move_cursor(w, end);
}

static void begin_stretch(struct walk *w)
{
	w->n = 0;
	str_clear(&w->texts);
}

/* ---- by ids ---- */

static unsigned levels_of(const struct log_search *s)
{
	return s->wants.levels ? s->wants.levels : ~0u >> 1;
}

static bool has_times(const struct log_search *s)
{
	return s->from_ms > 0 || s->to_ms < CLOCK_WALL_MAX_MS;
}

static enum err query_span(struct walk *w, const struct id_range *r)
{
	static const struct db_stmt *const all[2][2] = {
		{&sql_span_down, &sql_times_down}, {&sql_span_up, &sql_times_up}};
	const struct log_search *s = w->s;
	const struct db_stmt *st = all[s->is_ascending][has_times(s)];
	char from[CLOCK_RFC3339_SIZE], to[CLOCK_RFC3339_SIZE];

	clock_sql(s->from_ms, from);
	clock_sql(s->to_ms, to);
	return db_query(w->db, st,
		(const struct db_val[]){DBV_U(r->low), DBV_U(r->high), DBV_U(s->tenant_id),
			DBV_U(levels_of(s)), dbv_s(from), dbv_s(to)},
		(size_t)st->params_n);
}

static enum err look_at_span(struct walk *w, struct id_range r)
{
	struct taken t;
	enum err e;

	if (r.high - r.low >= w->span) {
		if (w->s->is_ascending)
			r.high = r.low + w->span - 1;
		else
			r.low = r.high - w->span + 1;
	}
	e = query_span(w, &r);
	if (e != ERR_OK)
		return e;
	begin_stretch(w);
	e = take_rows(w, &t);
	if (e != ERR_OK)
		return e;
	w->rows_n += r.high - r.low + 1;
	w->is_sparse = t.rows_n == 0;
	give(w, t.is_cut ? t.last : w->s->is_ascending ? r.high : r.low);
	return ERR_OK;
}

/* The rest of the range, from the first id on that there is. */
static enum err skip_gap(struct walk *w, struct id_range *r, bool *is_empty)
{
	const struct db_val in[] = {DBV_U(r->low), DBV_U(r->high)}, *row;
	enum err e = db_one(w->db, w->s->is_ascending ? &sql_next_up : &sql_next_down, in, 2, &row);

	if (e != ERR_OK)
		return e;
	*is_empty = !row || row[0].type == DB_NULL;
	if (*is_empty)
		return ERR_OK;
	if (w->s->is_ascending)
		r->low = dbv_u(&row[0]);
	else
		r->high = dbv_u(&row[0]);
	return ERR_OK;
}

/* ---- by devices ---- */

/* The lines of one device from the near end of the range on; *end is moved nearer if there may be
 * more behind it. */
static enum err look_at_device(
	struct walk *w, const char *device, const struct id_range *r, uint64_t *end)
{
	const struct db_val in[] = {DBV_U(w->s->tenant_id), dbv_s(device), DBV_U(r->low),
		DBV_U(r->high), DBV_U(DEVICE_ROWS)};
	struct taken t;
	enum err e = db_query(w->db, w->s->is_ascending ? &sql_device_up : &sql_device_down, in, 5);

	if (e == ERR_OK)
		e = take_rows(w, &t);
	if (e != ERR_OK)
		return e;
	w->rows_n += t.rows_n;
	if ((t.is_cut || t.rows_n == DEVICE_ROWS) && search_is_before(w, t.last, *end))
		*end = t.last;
	return ERR_OK;
}

static enum err look_at_devices(struct walk *w, const struct id_range *r)
{
	const struct strlist *devices = &w->s->wants.devices;
	uint64_t end = w->s->is_ascending ? r->high : r->low;
	enum err e = ERR_OK;

	begin_stretch(w);
	for (size_t i = 0; i < devices->n && e == ERR_OK; i++)
		e = look_at_device(w, devices->v[i], r, &end);
	w->rows_n++;
	if (e == ERR_OK)
		give(w, end);
	return e;
}

/* ---- the way ---- */

/* Is it worth to ask for candidates, beyond the devices? */
static bool is_narrow(const struct log_search *s)
{
	return s->wants.levels || s->wants.tags.n || s->wants.keywords.n || has_times(s);
}

static bool is_over(const struct walk *w)
{
	return is_enough(w) || w->rows_n >= w->step->rows || clock_ms() >= w->step->deadline_ms;
}

static bool has_rest(const struct log_search *s)
{
	return s->below > 0 && s->above < s->below - 1;
}

/* One stretch of ids: what lies between the cursor and it is no candidate. */
static enum err walk_on(struct walk *w, struct log_candidates *c)
{
	struct log_search *s = w->s;
	bool by_device = s->wants.devices.n > 0 && s->wants.devices.n <= DEVICES_MAX;
	struct id_range r = {s->above + 1, s->below - 1};
	bool is_empty = false;
	enum err e = ERR_OK;

	if (!by_device && w->is_sparse)
		e = skip_gap(w, &r, &is_empty);
	if (e == ERR_OK && !is_empty && (!by_device || (is_narrow(s) && w->rows_n >= DIRECT_ROWS)))
		e = log_candidates_next(c, &r, &is_empty);
	if (e != ERR_OK)
		return e;
	if (is_empty)
		move_cursor(w, s->is_ascending ? r.high : r.low);
	else
		e = by_device ? look_at_devices(w, &r) : look_at_span(w, r);
	return e;
}

enum err log_search_step(struct db *db, struct log_search *s, const struct log_step *step,
	struct str *out, uint64_t *found_n)
{
	struct walk w = {.db = db,
		.s = s,
		.step = step,
		.out = out,
		.begin = out->len,
		.span = SPAN_MIN,
		.is_sparse = true};
	struct log_candidates *c = log_candidates_new(db, s);
	enum err e;

	/* One view of lines and index, for this step alone. */
	e = db_begin_snapshot(db);
	if (e != ERR_OK)
		goto out;
	do {
		if (!has_rest(s))
			break;
		e = walk_on(&w, c);
	} while (e == ERR_OK && !is_over(&w));
	s->is_done = !has_rest(s);
out:
	db_rollback(db);
	*found_n = w.found_n;
	log_candidates_free(c);
	walk_fini(&w);
	return e;
}
