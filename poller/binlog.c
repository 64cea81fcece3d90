#include "binlog.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sysexits.h>

#include <mysql.h>
#include <mariadb_rpl.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "mem.h"

#define HEARTBEAT_S 1
#define SILENCE_S 4 /* a stream that says nothing for so long is taken for dead */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define TABLES_MAX 64
#define IDS_MAX 256

/* What the transaction that is being read has done to ws_events. A row is no proof of a commit:
 * what made a temporary table, or an XA transaction, is written down and then rolled back there. */
struct group {
	uint64_t ids[IDS_MAX]; /* inserted; those beyond are hints less */
	size_t ids_n;
	bool is_ours;   /* it has rows of ws_events */
	bool has_taken; /* or took some away, maybe its own */
};

struct binlog {
	const struct config *cfg;
	struct tail *tail;
	pthread_t thread;

	pthread_mutex_t lock; /* the next fields */
	pthread_cond_t cond;
	bool is_stopping, is_streaming;
	MYSQL *stream; /* set while it may block in a read */
	char reason[256];
	uint64_t reconnects;
	int64_t heard_ms;

	/* the thread's own */
	uint64_t tables[TABLES_MAX]; /* table ids that mean ws_events */
	size_t tables_n;
	struct group group;
	char server[320]; /* the one it is connected to */
};

struct binlog *binlog_new(const struct config *cfg, struct tail *tail)
{
	struct binlog *b = xcalloc(1, sizeof(*b));

	b->cfg = cfg;
	b->tail = tail;
	pthread_mutex_init(&b->lock, NULL);
	clock_cond_init(&b->cond);
	memccpy(b->reason, cfg->poller.binlog ? "starting" : "poller.binlog is off", '\0',
		sizeof(b->reason) - 1);
	return b;
}

void binlog_free(struct binlog *b)
{
	if (!b)
		return;
	pthread_cond_destroy(&b->cond);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static void set_streaming(struct binlog *b, MYSQL *stream)
{
	pthread_mutex_lock(&b->lock);
	b->is_streaming = stream != NULL;
	b->heard_ms = clock_ms();
	if (stream)
		b->reason[0] = '\0';
	pthread_mutex_unlock(&b->lock);
	tail_set_pushed(b->tail, stream != NULL);
	tail_wake(b->tail, SOURCE_BINLOG);
}

/* Logged when it changes, so that a server that stays away is one line. */
static void set_reason(struct binlog *b, const char *what, const char *detail)
{
	char reason[sizeof(b->reason)];
	bool is_new;

	snprintf(reason, sizeof(reason), "%s%s%s", what, *detail ? ": " : "", detail);
	pthread_mutex_lock(&b->lock);
	is_new = strcmp(reason, b->reason) != 0;
	memcpy(b->reason, reason, sizeof(reason));
	pthread_mutex_unlock(&b->lock);
	if (is_new)
		log_warn("binlog_off", "%s; the timer goes on alone", reason);
}

/* ---- the stream ---- */

/* The first column of the first row: columns present, null bitmap, then the id. Connector/C 3.3's
 * mariadb_rpl_extract_rows misreads ENUM columns and crashes on this table. The other rows of the
 * statement become visible with the first one. */
static bool first_id(const struct st_mariadb_rpl_rows_event *rows, uint64_t *id)
{
	const unsigned char *data = rows->row_data;
	size_t present = 0, nulls;

	for (uint32_t i = 0; i < rows->column_count; i++)
		present += (rows->column_bitmap[i / 8] >> (i % 8)) & 1;
	nulls = (present + 7) / 8;
	if (!present || !(rows->column_bitmap[0] & 1) || rows->row_data_size < nulls + 8 ||
		(data[0] & 1))
		return false;
	*id = 0;
	for (size_t i = 0; i < 8; i++)
		*id |= (uint64_t)data[nulls + i] << (8 * i);
	return true;
}

static bool text_is(const MARIADB_STRING *s, const char *text)
{
	return s->length == strlen(text) && !memcmp(s->str, text, s->length);
}

/* The id is to be in the first column, a BIGINT, as when the stream was opened. */
static bool is_readable(const struct st_mariadb_rpl_table_map_event *map)
{
	return map->column_types.length > 0 &&
	       (unsigned char)map->column_types.str[0] == MYSQL_TYPE_LONGLONG;
}

static void on_table_map(struct binlog *b, const struct st_mariadb_rpl_table_map_event *map)
{
	bool is_ours = text_is(&map->database, b->cfg->database.name) &&
		       text_is(&map->table, "ws_events") && is_readable(map);
	size_t i;

	for (i = 0; i < b->tables_n && b->tables[i] != map->table_id; i++)
		;
	if (is_ours && i == b->tables_n) {
		if (b->tables_n == TABLES_MAX)
			memmove(b->tables, b->tables + 1, --b->tables_n * sizeof(b->tables[0]));
		b->tables[b->tables_n++] = map->table_id;
	} else if (!is_ours && i < b->tables_n) {
		b->tables[i] = b->tables[--b->tables_n];
	}
}

static void on_rows(struct binlog *b, const struct st_mariadb_rpl_rows_event *rows)
{
	struct group *g = &b->group;
	size_t i;
	uint64_t id;

	for (i = 0; i < b->tables_n && b->tables[i] != rows->table_id; i++)
		;
	if (i == b->tables_n)
		return;
	g->is_ours = true;
	if (rows->type != WRITE_ROWS)
		g->has_taken = true;
	else if (g->ids_n < IDS_MAX && first_id(rows, &id))
		g->ids[g->ids_n++] = id;
}

/* ---- transactions ---- */

static void on_commit(struct binlog *b)
{
	struct group *g = &b->group;

	if (g->has_taken)
		tail_unpromise(b->tail);
	if (g->is_ours && g->ids_n && !g->has_taken)
		tail_announce(b->tail, g->ids, g->ids_n);
	else if (g->is_ours)
		tail_wake(b->tail, SOURCE_BINLOG);
	*g = (struct group){0};
}

/* Rolled back, or prepared and not decided: there may be something, or nothing. */
static void on_maybe(struct binlog *b)
{
	if (b->group.is_ours)
		tail_wake(b->tail, SOURCE_BINLOG);
	b->group = (struct group){0};
}

static bool begins(const MARIADB_STRING *s, const char *word)
{
	return s->length >= strlen(word) && !strncasecmp(s->str, word, strlen(word));
}

static bool mentions(const MARIADB_STRING *s, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= s->length; i++)
		if (!strncasecmp(s->str + i, word, len))
			return true;
	return false;
}

static bool is_about_rows(const MARIADB_STRING *sql)
{
	static const char *const words[] = {"INSERT", "REPLACE", "UPDATE", "DELETE"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (begins(sql, words[i]))
			return true;
	return false;
}

/* false: the table may be another one now, and is to be looked at anew. */
static bool on_query(struct binlog *b, const MARIADB_STRING *sql)
{
	if (text_is(sql, "COMMIT")) {
		on_commit(b);
	} else if (begins(sql, "ROLLBACK")) {
		on_maybe(b);
	} else if (!text_is(sql, "BEGIN") && !begins(sql, "SAVEPOINT")) {
		/* A decision about an XA transaction, a statement that was logged as such, DDL. */
		tail_unpromise(b->tail);
		return is_about_rows(sql) || !mentions(sql, "ws_events");
	}
	return true;
}

static bool on_event(struct binlog *b, const MARIADB_RPL_EVENT *ev)
{
	switch (ev->event_type) {
	case GTID_EVENT:
		b->group = (struct group){0};
		break;
	case TABLE_MAP_EVENT:
		on_table_map(b, &ev->event.table_map);
		break;
	case WRITE_ROWS_EVENT_V1:
	case WRITE_ROWS_EVENT:
	case WRITE_ROWS_COMPRESSED_EVENT_V1:
	case UPDATE_ROWS_EVENT_V1:
	case UPDATE_ROWS_EVENT:
	case DELETE_ROWS_EVENT_V1:
	case DELETE_ROWS_EVENT:
		on_rows(b, &ev->event.rows);
		break;
	case WRITE_ROWS_COMPRESSED_EVENT:
	case UPDATE_ROWS_COMPRESSED_EVENT_V1:
	case UPDATE_ROWS_COMPRESSED_EVENT:
	case DELETE_ROWS_COMPRESSED_EVENT_V1:
	case DELETE_ROWS_COMPRESSED_EVENT:
		b->group.is_ours = b->group.has_taken = true; /* or of another table */
		break;
	case XID_EVENT:
		on_commit(b);
		break;
	case XA_PREPARE_LOG_EVENT:
		on_maybe(b);
		break;
	case QUERY_COMPRESSED_EVENT: /* a long one, whatever it says */
		tail_unpromise(b->tail);
		return false;
	case QUERY_EVENT:
		return on_query(b, &ev->event.query.statement);
	default:
		break;
	}
	return true;
}

/* ---- the connection ---- */

/* After a failover the tail is at another server. */
static bool is_still_tails(struct binlog *b)
{
	char server[sizeof(b->server)];

	tail_server(b->tail, server, sizeof(server));
	return !strcmp(server, b->server);
}

static bool query_row(MYSQL *my, const char *sql, char *a, size_t a_size, char *c, size_t c_size)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	bool is_ok = false;

	if (mysql_query(my, sql) || !(res = mysql_store_result(my)))
		return false;
	row = mysql_fetch_row(res);
	if (row && mysql_num_fields(res) >= 2 && row[0] && row[1]) {
		snprintf(a, a_size, "%s", row[0]);
		snprintf(c, c_size, "%s", row[1]);
		is_ok = true;
	}
	mysql_free_result(res);
	return is_ok;
}

static unsigned server_id(const struct config *cfg)
{
	return cfg->poller.server_id ? (unsigned)cfg->poller.server_id
				     : 1000000000u + (unsigned)cfg->poller.node_id;
}

/* false too while the tail has none yet: it comes first. */
static bool is_tails_server(struct binlog *b, MYSQL *my)
{
	char one[4];

	tail_server(b->tail, b->server, sizeof(b->server));
	if (!*b->server)
		return false;
	return query_row(my, "SELECT 1, CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)",
		       one, sizeof(one), b->server, sizeof(b->server)) &&
	       is_still_tails(b);
}

static const char id_column[] =
	"SELECT ORDINAL_POSITION, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
	"DATABASE() AND TABLE_NAME = 'ws_events' AND COLUMN_NAME = 'id'";

/* Asks for the stream from where the log is now. What was committed before is found by the read
 * that the start wakes. */
static MARIADB_RPL *stream_open(struct binlog *b, MYSQL *my)
{
	static const char *const session[] = {
		"SET @mariadb_slave_capability = 4",
		"SET @master_binlog_checksum = @@global.binlog_checksum",
		"SET @master_heartbeat_period = 1000000000", /* ns: HEARTBEAT_S */
	};
	char log_bin[8], format[16], file[512], position[32], place[16], type[32];
	MARIADB_RPL *rpl = NULL;

	if (!query_row(my, "SELECT @@global.log_bin, @@global.binlog_format", log_bin,
		    sizeof(log_bin), format, sizeof(format))) {
		set_reason(b, "cannot ask for the binlog's settings", mysql_error(my));
		return NULL;
	}
	if (strcmp(log_bin, "1") != 0) {
		set_reason(b, "the server keeps no binary log (set log_bin)", "");
		return NULL;
	}
	if (strcasecmp(format, "ROW") != 0) {
		set_reason(b, "binlog_format is not ROW (set binlog_format=ROW)", format);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(session) / sizeof(session[0]); i++) {
		if (mysql_query(my, session[i])) {
			set_reason(b, session[i], mysql_error(my));
			return NULL;
		}
	}
	if (!query_row(my, "SHOW MASTER STATUS", file, sizeof(file), position, sizeof(position))) {
		set_reason(b, "SHOW MASTER STATUS (grant BINLOG MONITOR to the poller's account)",
			mysql_error(my));
		return NULL;
	}
	if (!is_tails_server(b, my)) {
		set_reason(b,
			*b->server ? "the address led to another server than it did for the tail"
				   : "the table has not been looked at yet",
			"");
		return NULL;
	}
	/* After the position: what changes the table from there on is in the stream. */
	if (!query_row(my, id_column, place, sizeof(place), type, sizeof(type))) {
		set_reason(b, "cannot see the column ws_events.id", mysql_error(my));
		return NULL;
	}
	if (strcmp(place, "1") != 0 || strcasecmp(type, "bigint") != 0) {
		set_reason(b, "ws_events.id is not the first column, or no BIGINT (put it back)",
			type);
		return NULL;
	}
	rpl = mariadb_rpl_init(my);
	if (!rpl) {
		set_reason(b, "cannot start replication", mysql_error(my));
		return NULL;
	}
	mariadb_rpl_optionsv(rpl, MARIADB_RPL_SERVER_ID, server_id(b->cfg));
	mariadb_rpl_optionsv(rpl, MARIADB_RPL_FILENAME, file, strlen(file));
	mariadb_rpl_optionsv(rpl, MARIADB_RPL_START, strtoul(position, NULL, 10));
	mariadb_rpl_optionsv(rpl, MARIADB_RPL_FLAGS, 0u);
	if (mariadb_rpl_open(rpl)) {
		set_reason(b,
			"cannot read the binlog (grant REPLICATION SLAVE to the poller's account)",
			mysql_error(my));
		mariadb_rpl_close(rpl);
		return NULL;
	}
	return rpl;
}

static bool stream_may_block(struct binlog *b, MYSQL *my)
{
	bool go_on;

	pthread_mutex_lock(&b->lock);
	go_on = !b->is_stopping;
	b->stream = go_on ? my : NULL;
	pthread_mutex_unlock(&b->lock);
	return go_on;
}

static void stream_no_more(struct binlog *b)
{
	pthread_mutex_lock(&b->lock);
	b->stream = NULL;
	b->reconnects++;
	pthread_mutex_unlock(&b->lock);
}

/* Streams until it breaks. Returns whether it had worked. */
static bool stream(struct binlog *b)
{
	static const struct db_set *const no_statements[] = {NULL};
	struct db_login login = config_login(b->cfg, CONFIG_POLLER);
	struct db *db;
	MYSQL *my = NULL;
	MARIADB_RPL *rpl = NULL;
	MARIADB_RPL_EVENT *ev;
	bool has_worked = false, is_same = true;

	login.io_timeout_ms = SILENCE_S * 1000;
	db = db_new(&login, no_statements);
	if (db_ensure(db))
		set_reason(b, "cannot connect", db_errmsg(db));
	else
		my = db_handle(db);
	if (my && stream_may_block(b, my))
		rpl = stream_open(b, my);
	while (rpl && is_same && (ev = mariadb_rpl_fetch(rpl, NULL))) {
		/* The first event shows that the server took us for a replica. */
		if (!has_worked) {
			has_worked = true;
			set_streaming(b, my);
			log_info("binlog_on", "commits are pushed by the binary log");
		}
		is_same = on_event(b, ev) && is_still_tails(b);
		mariadb_free_rpl_event(ev);
		pthread_mutex_lock(&b->lock);
		b->heard_ms = clock_ms();
		pthread_mutex_unlock(&b->lock);
	}
	stream_no_more(b);
	if (has_worked) {
		set_streaming(b, NULL);
		set_reason(b,
			is_same ? "the stream ended" : "the table or the server may be another one",
			is_same ? mysql_error(my) : "looking again");
	} else if (rpl) {
		set_reason(b, "the server refused the stream", mysql_error(my));
	}
	if (rpl)
		mariadb_rpl_close(rpl);
	db_free(db);
	b->tables_n = 0;
	b->group = (struct group){0};
	return has_worked;
}

static bool pause_ms(struct binlog *b, int64_t ms)
{
	struct timespec at = clock_at(clock_ms() + ms);
	bool go_on;

	pthread_mutex_lock(&b->lock);
	while (!b->is_stopping && !pthread_cond_timedwait(&b->cond, &b->lock, &at))
		;
	go_on = !b->is_stopping;
	pthread_mutex_unlock(&b->lock);
	return go_on;
}

static void *binlog_main(void *arg)
{
	struct binlog *b = arg;
	int64_t backoff_ms = BACKOFF_MIN_MS;

	db_thread_init();
	do {
		if (stream(b))
			backoff_ms = BACKOFF_MIN_MS;
		else if (backoff_ms < BACKOFF_MAX_MS)
			backoff_ms *= 2;
	} while (pause_ms(b, backoff_ms));
	db_thread_fini();
	return NULL;
}

void binlog_run(struct binlog *b)
{
	int rc;

	if (!b->cfg->poller.binlog)
		return;
	rc = pthread_create(&b->thread, NULL, binlog_main, b);
	if (rc)
		log_fatal(EX_OSERR, "cannot start a thread: %s", strerror(rc));
}

void binlog_stop(struct binlog *b)
{
	if (!b->cfg->poller.binlog)
		return;
	pthread_mutex_lock(&b->lock);
	b->is_stopping = true;
	if (b->stream)
		shutdown(mysql_get_socket(b->stream), SHUT_RDWR);
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
}

bool binlog_is_streaming(struct binlog *b)
{
	bool is_streaming;

	pthread_mutex_lock(&b->lock);
	is_streaming = b->is_streaming;
	pthread_mutex_unlock(&b->lock);
	return is_streaming;
}

void binlog_status(struct binlog *b, struct str *json)
{
	pthread_mutex_lock(&b->lock);
	str_adds(json, "{\"state\":");
	str_add_json(json, b->is_streaming         ? "streaming"
			   : b->cfg->poller.binlog ? "connecting"
						   : "off");
	if (b->is_streaming)
		str_addf(json, ",\"heard_ms_ago\":%lld", (long long)(clock_ms() - b->heard_ms));
	if (b->reason[0]) {
		str_adds(json, ",\"reason\":");
		str_add_json(json, b->reason);
	}
	str_addf(json, ",\"reconnects\":%llu}", (unsigned long long)b->reconnects);
	pthread_mutex_unlock(&b->lock);
}
