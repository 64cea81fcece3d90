#include "seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

/* A JSON array of ids as a table. */
#define IDS                                                                                   \
	"JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin " \
	"PATH '$')) p"
#define SEEN_TEXT_OF(n) SEEN_TEXT_OF_TOKEN(n)
#define SEEN_TEXT_OF_TOKEN(n) #n
#define IS_STALE                                                               \
	"NOT d.is_online OR d.last_seen_at < NOW(3) - INTERVAL " SEEN_TEXT_OF( \
		DEVICE_TOUCH_AFTER_S) " SECOND"

static const struct db_stmt seen_look_all = {"seen.look",
	"SELECT p.id, d.device_id IS NOT NULL, IFNULL(" IS_STALE ", 0),"
	" " DB_MS_OF("NOW(3)") ", @@auto_increment_increment,"
			       " CONNECTION_ID()"
			       " FROM " IDS " LEFT JOIN devices d ON d.tenant_id = ? AND "
			       "d.device_id = p.id ORDER BY p.id",
	2, 6};
static const struct db_stmt seen_lock = {"seen.lock",
	"SELECT d.device_id, d.is_online, d.status"
	" FROM " IDS
	" STRAIGHT_JOIN devices d ON d.tenant_id = ? AND d.device_id = p.id FOR UPDATE",
	2, 3};
static const struct db_stmt seen_update = {"seen.update",
	"UPDATE devices SET is_online = TRUE, last_seen_at = GREATEST(last_seen_at, ?)"
	" WHERE tenant_id = ? AND device_id = ?",
	3, 0};
/* Whose INSERT it is, of several at a time, has its event. */
static const struct db_stmt seen_insert = {"seen.insert",
	"INSERT IGNORE INTO devices (first_seen_at, last_seen_at, tenant_id, device_id, is_online)"
	" VALUES (?, ?, ?, ?, TRUE)",
	4, 0};

const struct db_set seen_sql = {"seen",
	(const struct db_stmt *const[]){
		&seen_look_all, &seen_lock, &seen_update, &seen_insert, NULL},
	false};

/* ---- which ---- */

static int seen_compare(struct slice a, struct slice b)
{
	int rc = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

	return rc ? rc : (a.len > b.len) - (a.len < b.len);
}

static int seen_order(const void *a, const void *b)
{
	return seen_compare(((const struct seen *)a)->id, ((const struct seen *)b)->id);
}

void seen_of(struct seen_list *seen, const struct log_entry *entries, size_t n)
{
	size_t kept = 0;

	*seen = (struct seen_list){.v = xcalloc(n, sizeof(*seen->v))};
	for (size_t i = 0; i < n; i++)
		seen->v[i] = (struct seen){.id = entries[i].device, .lines_n = 1};
	qsort(seen->v, n, sizeof(*seen->v), seen_order);
	for (size_t i = 1; i < n; i++) {
		if (slice_same(seen->v[i].id, seen->v[kept].id))
			seen->v[kept].lines_n++;
		else
			seen->v[++kept] = seen->v[i];
	}
	seen->n = n ? kept + 1 : 0;
}

void seen_fini(struct seen_list *seen)
{
	free(seen->v);
	*seen = (struct seen_list){0};
}

/* The ids of those in that state, as a JSON array: they have no character to be escaped. How many.
 */
static size_t put_ids(struct str *json, const struct seen_list *seen, int state)
{
	size_t n = 0;

	str_addc(json, '[');
	for (size_t i = 0; i < seen->n; i++) {
		if (state >= 0 && (int)seen->v[i].state != state)
			continue;
		str_adds(json, n++ ? ",\"" : "\"");
		str_add(json, seen->v[i].id.p, seen->v[i].id.len);
		str_addc(json, '"');
	}
	str_addc(json, ']');
	return n;
}

enum err seen_look(struct db *db, uint32_t tenant_id, struct seen_list *seen)
{
	struct str json = STR_INIT;
	const struct db_val *row;
	size_t i = 0;
	enum err e;

	put_ids(&json, seen, -1);
	e = db_query(db, &seen_look_all,
		(const struct db_val[]){dbv_b(json.p, json.len), DBV_U(tenant_id)}, 2);
	for (; e == ERR_OK && (row = db_fetch(db)); i++) {
		assert(i < seen->n && slice_same(seen->v[i].id, dbv_slice(&row[0])));
		seen->v[i].state = !dbv_u(&row[1])  ? SEEN_NEW
				   : dbv_u(&row[2]) ? SEEN_STALE
						    : SEEN_FRESH;
		seen->now_ms = dbv_i(&row[3]);
		seen->id_step = dbv_u(&row[4]);
		seen->session = dbv_u(&row[5]);
	}
	if (e == ERR_OK)
		db_done(db);
	str_fini(&json);
	return e;
}

/* ---- what is new ---- */

static enum err touch_stale(
	struct txn *t, uint32_t tenant_id, const struct seen_list *seen, const struct db_val *now)
{
	struct str json = STR_INIT;
	size_t n = put_ids(&json, seen, SEEN_STALE), at = 0;
	struct db_val *in = xcalloc(3 * n + 1, sizeof(*in));
	const struct db_val *row;
	enum err e = ERR_OK;

	if (n)
		e = db_query(t->db, &seen_lock,
			(const struct db_val[]){dbv_b(json.p, json.len), DBV_U(tenant_id)}, 2);
	while (n && e == ERR_OK && (row = db_fetch(t->db))) {
		if (!dbv_u(&row[1]))
			device_emit_flip(t, tenant_id,
				&(const struct device){dbv_slice(&row[0]), true, dbv_slice(&row[2]),
					seen->now_ms});
	}
	if (n && e == ERR_OK)
		db_done(t->db);
	for (size_t i = 0; i < seen->n && e == ERR_OK; i++) {
		if (seen->v[i].state != SEEN_STALE)
			continue;
		in[at++] = *now;
		in[at++] = DBV_U(tenant_id);
		in[at++] = dbv_b(seen->v[i].id.p, seen->v[i].id.len);
	}
	if (e == ERR_OK)
		e = db_exec_rows(t->db, &seen_update, in, n);
	free(in);
	str_fini(&json);
	return e;
}

static enum err add_new(struct txn *t, uint32_t tenant_id, const struct seen *one, int64_t now_ms,
	const struct db_val *now)
{
	const struct db_val in[] = {*now, *now, DBV_U(tenant_id), dbv_b(one->id.p, one->id.len)};
	uint64_t n = 0;
	enum err e = db_exec(t->db, &seen_insert, in, 4, &n, NULL);

	if (e == ERR_OK && n)
		device_emit_flip(
			t, tenant_id, &(const struct device){one->id, true, {"", 0}, now_ms});
	return e;
}

enum err seen_touch(struct txn *t, uint32_t tenant_id, const struct seen_list *seen)
{
	char text[CLOCK_RFC3339_SIZE];
	struct db_val now;
	enum err e;

	clock_sql(seen->now_ms, text);
	now = dbv_s(text);
	e = touch_stale(t, tenant_id, seen, &now);
	for (size_t i = 0; i < seen->n && e == ERR_OK; i++)
		if (seen->v[i].state == SEEN_NEW)
			e = add_new(t, tenant_id, &seen->v[i], seen->now_ms, &now);
	return e;
}
