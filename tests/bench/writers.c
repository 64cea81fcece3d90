/*
 * Many programs that publish at once: what makes ids become visible in another order than they were
 * given out. Each of W connections runs transactions of its own until the time is over, and every
 * row is written down with what became of it, so that what readers saw can be held against it.
 *
 *     writers --socket PATH --db NAME --out FILE [--writers 64] [--seconds 10] [--rate 0]
 *             [--max-delay-ms 300] [--rollback-percent 10] [--topics websites] [--tenant 1]
 *
 * A transaction inserts 1 to 5 rows by one or two statements, dawdles before, between and after
 * them, and commits or rolls back. --rate bounds transactions a second of all writers together (0:
 * no bound). A payload is {"writer":W,"seq":S}, each pair once.
 *
 * FILE has a line a row, by id: "ID WRITER SEQ FATE", FATE committed or rolled-back. It is written
 * after the last transaction. A database that goes away meanwhile is waited for, and what was
 * committed on a connection that was lost is looked up in the end.
 *
 * Ids of one INSERT are consecutive: innodb_autoinc_lock_mode is 1, which is checked. An id may be
 * there twice, rolled back first: a database that was killed gives ids above its last commit again.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "str.h"

#define ROWS_MAX 5
#define PARAMS_N 4
#define DATABASE_LIMIT_MS 60000 /* for a lost database to come back */
#define RETRY_MS 20

#define COLUMNS "INSERT INTO ws_events (topic, event_type, payload, tenant_id) VALUES "
#define ROW "(?,?,?,?)"
static const struct db_stmt insert[ROWS_MAX] = {
	{"insert_1", COLUMNS ROW, 1 * PARAMS_N, 0},
	{"insert_2", COLUMNS ROW "," ROW, 2 * PARAMS_N, 0},
	{"insert_3", COLUMNS ROW "," ROW "," ROW, 3 * PARAMS_N, 0},
	{"insert_4", COLUMNS ROW "," ROW "," ROW "," ROW, 4 * PARAMS_N, 0},
	{"insert_5", COLUMNS ROW "," ROW "," ROW "," ROW "," ROW, 5 * PARAMS_N, 0},
};
static const struct db_stmt exists = {
	"exists",
	"SELECT COUNT(*) FROM ws_events WHERE id = ? AND JSON_VALUE(payload, '$.writer') = ?"
	" AND JSON_VALUE(payload, '$.seq') = ?",
	3,
	1,
};
static const struct db_stmt lock_mode = {"lock_mode", "SELECT @@innodb_autoinc_lock_mode", 0, 1};
static const struct db_stmt *const statements[] = {
	&insert[0], &insert[1], &insert[2], &insert[3], &insert[4], &exists, &lock_mode, NULL};
static const struct db_set writers_sql = {"writers", statements, false};
static const struct db_set *const sets[] = {&writers_sql, NULL};

enum fate { FATE_OPEN, FATE_COMMITTED, FATE_ROLLED_BACK, FATE_UNKNOWN };

struct row {
	uint64_t id;
	unsigned writer, seq;
	enum fate fate;
};

struct options {
	const char *socket, *db, *out, *topics;
	long writers, seconds, rate, max_delay_ms, rollback_percent, tenant;
};

static struct options opt = {.topics = "websites",
	.writers = 64,
	.seconds = 10,
	.max_delay_ms = 300,
	.rollback_percent = 10,
	.tenant = 1};
static struct db_login login;
static int64_t end_ms;

/* One thread's; main() takes the rows when it has ended. */
struct writer {
	unsigned number, seq;
	pthread_t thread;
	struct db *db;
	unsigned short dice[3];
	struct row *rows;
	size_t rows_n, rows_cap, open_from; /* rows from open_from on are of the open transaction */
	unsigned lost_n;
};

static long dice(struct writer *w, long n)
{
	return (long)(erand48(w->dice) * (double)n);
}

static void sleep_ms(int64_t ms)
{
	if (ms > 0)
		usleep((useconds_t)ms * 1000);
}

/* Most do not wait at all, some a little, a few long: ids overtake each other all the time, and now
 * and then a very old one still comes. */
static void dawdle(struct writer *w)
{
	long kind = dice(w, 100);

	if (kind >= 95)
		sleep_ms(dice(w, opt.max_delay_ms + 1));
	else if (kind >= 70)
		sleep_ms(dice(w, opt.max_delay_ms / 15 + 1));
}

static void ensure(struct db *db)
{
	int64_t limit_ms = clock_ms() + DATABASE_LIMIT_MS;

	while (db_ensure(db) != ERR_OK) {
		if (clock_ms() > limit_ms)
			log_fatal(1, "%s: %s", opt.socket, db_errmsg(db));
		sleep_ms(RETRY_MS);
	}
}

/* Borrows one of --topics, of which *len bytes are its name. */
static const char *pick_topic(struct writer *w, size_t *len)
{
	const char *p = opt.topics;
	long n = 1;

	for (const char *c = p; *c != '\0'; c++)
		n += *c == ',';
	for (n = dice(w, n); n > 0; n--)
		p = strchr(p, ',') + 1;
	*len = strcspn(p, ",");
	return p;
}

static enum err insert_rows(struct writer *w, size_t n)
{
	static const char *const types[] = {"add", "update", "delete"};
	struct db_val in[ROWS_MAX * PARAMS_N];
	struct str payloads[ROWS_MAX] = {0};
	uint64_t first_id = 0;
	enum err e;

	for (size_t i = 0; i < n; i++) {
		struct db_val *v = in + i * PARAMS_N;
		size_t topic_len;
		const char *topic = pick_topic(w, &topic_len);

		str_addf(&payloads[i], "{\"writer\":%u,\"seq\":%u}", w->number,
			w->seq + (unsigned)i);
		v[0] = dbv_b(topic, topic_len);
		v[1] = dbv_s(types[dice(w, 3)]);
		v[2] = dbv_b(payloads[i].p, payloads[i].len);
		v[3] = DBV_I(opt.tenant);
	}
	e = db_exec(w->db, &insert[n - 1], in, n * PARAMS_N, NULL, &first_id);
	if (w->rows_n + n > w->rows_cap) {
		w->rows_cap = w->rows_cap * 2 + 1024;
		w->rows = xreallocarray(w->rows, w->rows_cap, sizeof(*w->rows));
	}
	/* Without an id there is no row that could have been committed. */
	for (size_t i = 0; i < n && e == ERR_OK; i++)
		w->rows[w->rows_n++] =
			(struct row){first_id + i, w->number, w->seq + (unsigned)i, FATE_OPEN};
	w->seq += (unsigned)n;
	for (size_t i = 0; i < n; i++)
		str_fini(&payloads[i]);
	return e;
}

static void close_rows(struct writer *w, enum fate fate)
{
	for (; w->open_from < w->rows_n; w->open_from++)
		w->rows[w->open_from].fate = fate;
}

/* BEGIN to just before the end; false if it has failed on the way. */
static bool fill(struct writer *w)
{
	size_t n = dice(w, 4) > 0 ? 1 : 1 + (size_t)dice(w, ROWS_MAX);

	if (db_begin(w->db) != ERR_OK)
		return false;
	if (dice(w, 10) == 0)
		dawdle(w);
	if (insert_rows(w, n) != ERR_OK)
		return false;
	dawdle(w);
	if (n < ROWS_MAX && dice(w, 10) == 0) {
		if (insert_rows(w, ROWS_MAX - n) != ERR_OK)
			return false;
		dawdle(w);
	}
	return true;
}

static void transaction(struct writer *w)
{
	enum err e;

	ensure(w->db);
	if (!fill(w) || dice(w, 100) < opt.rollback_percent) {
		w->lost_n += !db_is_open(w->db);
		db_rollback(w->db);
		close_rows(w, FATE_ROLLED_BACK);
		return;
	}
	e = db_commit(w->db);
	w->lost_n += e == ERR_DB_LOST;
	close_rows(w, e == ERR_OK ? FATE_COMMITTED : FATE_UNKNOWN);
}

static void *run(void *arg)
{
	struct writer *w = arg;
	int64_t period_us = opt.rate > 0 ? opt.writers * 1000000 / opt.rate : 0;
	int64_t next_us = clock_us() + dice(w, period_us + 1);

	while (clock_ms() < end_ms) {
		if (period_us > 0) {
			sleep_ms((next_us - clock_us()) / 1000);
			next_us += period_us;
		}
		transaction(w);
	}
	db_close(w->db);
	return NULL;
}

/* ---- the end ---- */

static int by_id(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->id != y->id)
		return x->id > y->id ? 1 : -1;
	return (x->fate == FATE_COMMITTED) - (y->fate == FATE_COMMITTED);
}

static void look_up(struct db *db, struct row *r)
{
	const struct db_val in[] = {DBV_U(r->id), DBV_U(r->writer), DBV_U(r->seq)};
	const struct db_val *found = NULL;

	do
		ensure(db);
	while (db_one(db, &exists, in, 3, &found) != ERR_OK);
	r->fate = found && found[0].i > 0 ? FATE_COMMITTED : FATE_ROLLED_BACK;
}

static void write_rows(const struct row *rows, size_t n)
{
	FILE *f = fopen(opt.out, "w");

	if (!f)
		log_fatal(1, "%s: %s", opt.out, strerror(errno));
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%llu %u %u %s\n", (unsigned long long)rows[i].id, rows[i].writer,
			rows[i].seq, rows[i].fate == FATE_COMMITTED ? "committed" : "rolled-back");
	if (fclose(f) != 0)
		log_fatal(1, "%s: %s", opt.out, strerror(errno));
}

/* Joins the writers and writes down what they did. */
static void finish(struct writer *writers, struct db *db)
{
	size_t n = 0, committed_n = 0;
	unsigned lost_n = 0;
	struct row *rows = NULL;

	for (long i = 0; i < opt.writers; i++) {
		struct writer *w = &writers[i];

		pthread_join(w->thread, NULL);
		rows = xreallocarray(rows, n + w->rows_n + 1, sizeof(*rows));
		if (w->rows_n > 0)
			memcpy(rows + n, w->rows, w->rows_n * sizeof(*rows));
		n += w->rows_n;
		lost_n += w->lost_n;
		free(w->rows);
		db_free(w->db);
	}
	for (size_t i = 0; i < n; i++) {
		if (rows[i].fate == FATE_UNKNOWN)
			look_up(db, &rows[i]);
		committed_n += rows[i].fate == FATE_COMMITTED;
	}
	qsort(rows, n, sizeof(*rows), by_id);
	write_rows(rows, n);
	printf("{\"rows\":%zu,\"committed\":%zu,\"lost_connections\":%u}\n", n, committed_n,
		lost_n);
	free(rows);
}

/* ---- the start ---- */

static const struct option_row option_rows[] = {
	{"socket", offsetof(struct options, socket), OPTION_TEXT, 0, 0},
	{"db", offsetof(struct options, db), OPTION_TEXT, 0, 0},
	{"out", offsetof(struct options, out), OPTION_TEXT, 0, 0},
	{"topics", offsetof(struct options, topics), OPTION_TEXT, 0, 0},
	{"writers", offsetof(struct options, writers), OPTION_NUMBER, 1, 1000},
	{"seconds", offsetof(struct options, seconds), OPTION_NUMBER, 1, 86400},
	{"rate", offsetof(struct options, rate), OPTION_NUMBER, 0, 1000000},
	{"max-delay-ms", offsetof(struct options, max_delay_ms), OPTION_NUMBER, 0, 60000},
	{"rollback-percent", offsetof(struct options, rollback_percent), OPTION_NUMBER, 0, 100},
	{"tenant", offsetof(struct options, tenant), OPTION_NUMBER, 1, INT32_MAX},
	{0},
};

static struct db *open_database(void)
{
	struct db *db = db_new(&login, sets);

	if (db_ensure(db) != ERR_OK)
		log_fatal(1, "%s: %s", opt.socket, db_errmsg(db));
	return db;
}

static void check_lock_mode(struct db *db)
{
	const struct db_val *mode;

	if (db_one(db, &lock_mode, NULL, 0, &mode) != ERR_OK || !mode)
		log_fatal(1, "%s: %s", opt.socket, db_errmsg(db));
	if (mode[0].i != 0 && mode[0].i != 1)
		log_fatal(
			1, "innodb_autoinc_lock_mode must be 1: ids of one INSERT are consecutive");
}

int main(int argc, char **argv)
{
	static const char usage[] =
		"usage: writers --socket PATH --db NAME --out FILE [--writers N] [--seconds N]\n"
		"  [--rate N] [--max-delay-ms N] [--rollback-percent N] [--topics A,B] [--tenant "
		"N]";
	struct writer *writers;
	struct db *db;

	log_init("writers", LOG_INFO, LOG_TEXT);
	options_parse(option_rows, &opt, argc, argv, usage);
	if (!opt.socket || !opt.db || !opt.out)
		log_fatal(2, "%s", usage);
	login = (struct db_login){.socket = opt.socket,
		.host = "",
		.name = opt.db,
		.user = "",
		.password = "",
		.tls_ca = "",
		.connect_timeout_ms = 5000,
		.io_timeout_ms = 60000};
	db = open_database();
	check_lock_mode(db);
	writers = xcalloc((size_t)opt.writers, sizeof(*writers));
	for (long i = 0; i < opt.writers; i++) {
		struct writer *w = &writers[i];

		w->number = (unsigned)i;
		w->dice[0] = (unsigned short)i;
		w->dice[1] = (unsigned short)clock_us();
		w->db = open_database();
	}
	end_ms = clock_ms() + opt.seconds * 1000;
	for (long i = 0; i < opt.writers; i++) {
		if (pthread_create(&writers[i].thread, NULL, run, &writers[i]) != 0)
			log_fatal(1, "cannot start a thread");
	}
	finish(writers, db);
	db_free(db);
	free(writers);
	return 0;
}
