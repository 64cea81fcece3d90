#include "log_store.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

#define SIZES_N 10 /* 1, 2, 4, .. 512 rows */
#define ROW_PARAMS_N 9

static const char insert_head[] = "INSERT INTO logs (tenant_id, device_id, level, logged_at, "
				  "received_at, message, tags, source, meta) VALUES ";
static const char insert_row[] = "(?, ?, ?, ?, ?, ?, ?, ?, ?)";

static struct db_stmt log_inserts[SIZES_N]; /* [i] has 1 << i rows */
/* Each session counts for itself, so that none waits for another's COMMIT. */
static const struct db_stmt log_count = {"log_store.count",
	"INSERT INTO log_counts (tenant_id, device_id, minute, shard, lines_n)"
	" VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE lines_n = lines_n + VALUES(lines_n)",
	5, 0};

const struct db_set *log_store_sql(void)
{
	static const struct db_stmt *stmts[SIZES_N + 2] = {&log_count};
	/* Lazy: few connections need all sizes. */
	static const struct db_set set = {"log_store", stmts, true};

	for (size_t i = 0; i < SIZES_N && !stmts[i + 1]; i++) {
		struct str name = STR_INIT, sql = STR_INIT;
		int rows_n = 1 << i;

		str_addf(&name, "log_store.insert_%d", rows_n);
		str_adds(&sql, insert_head);
		for (int k = 0; k < rows_n; k++) {
			str_adds(&sql, k ? ", " : "");
			str_adds(&sql, insert_row);
		}
		log_inserts[i] =
			(struct db_stmt){str_take(&name), str_take(&sql), rows_n * ROW_PARAMS_N, 0};
		stmts[i + 1] = &log_inserts[i];
	}
	return &set;
}

struct row_times {
	char logged[CLOCK_RFC3339_SIZE], received[CLOCK_RFC3339_SIZE];
};

static struct db_val slice_or_null(struct slice s)
{
	return s.p ? dbv_b(s.p, s.len) : DBV_NULL;
}

static void log_bind(
	struct db_val *in, uint32_t tenant_id, const struct log_entry *e, struct row_times *times)
{
	clock_sql(e->logged_ms, times->logged);
	clock_sql(e->received_ms, times->received);
	in[0] = DBV_U(tenant_id);
	in[1] = dbv_b(e->device.p, e->device.len);
	in[2] = DBV_U(e->level);
	in[3] = dbv_s(times->logged);
	in[4] = dbv_s(times->received);
	in[5] = dbv_b(e->message.p, e->message.len);
	in[6] = slice_or_null(e->tags);
	in[7] = slice_or_null(e->source);
	in[8] = slice_or_null(e->meta);
}

enum err log_store_rows(
	struct db *db, uint32_t tenant_id, struct log_entry *entries, size_t n, uint64_t id_step)
{
	struct db_val *in = xcalloc(n * ROW_PARAMS_N, sizeof(*in));
	struct row_times *times = xcalloc(n, sizeof(*times));
	enum err e = ERR_OK;

	for (size_t i = 0; i < n; i++)
		log_bind(in + i * ROW_PARAMS_N, tenant_id, &entries[i], &times[i]);
	for (size_t at = 0, size = SIZES_N; at < n && e == ERR_OK;) {
		uint64_t id = 0;
		size_t rows_n = (size_t)1 << (size - 1);

		if (rows_n > n - at) {
			size--;
			continue;
		}
		e = db_exec(db, &log_inserts[size - 1], in + at * ROW_PARAMS_N,
			rows_n * ROW_PARAMS_N, NULL, &id);
		for (size_t i = 0; i < rows_n; i++)
			entries[at + i].id = id + i * id_step;
		at += rows_n;
	}
	free(in);
	free(times);
	return e;
}

enum err log_store_counts(struct db *db, uint32_t tenant_id, const struct seen_list *seen)
{
	struct db_val *in = xcalloc(seen->n * 5 + 1, sizeof(*in)), *v = in;
	enum err e;

	for (size_t i = 0; i < seen->n; i++) {
		*v++ = DBV_U(tenant_id);
		*v++ = dbv_b(seen->v[i].id.p, seen->v[i].id.len);
		*v++ = DBV_I(seen->now_ms / 60000);
		*v++ = DBV_U(seen->session & UINT16_MAX);
		*v++ = DBV_U(seen->v[i].lines_n);
	}
	e = db_exec_rows(db, &log_count, in, seen->n);
	free(in);
	return e;
}
