/* doctor: how MariaDB is set, as far as it matters to us. Our own sessions are set by ourselves;
 * what is here cannot be, or concerns other programs that publish by SQL. */
#include "doctor.h"

#include <string.h>

#define STATEMENTS_PER_CONNECTION 150
#define PACKET_ROOM (1024 * 1024)

static const struct db_stmt get_settings = {
	.name = "doctor.settings",
	.sql = "SELECT @@global.read_only, @@global.tx_read_only, @@log_bin,"
	       " @@global.binlog_format, @@global.binlog_row_image,"
	       " @@global.innodb_flush_log_at_trx_commit, @@global.sync_binlog,"
	       " @@global.max_allowed_packet, @@global.sql_mode,"
	       " @@global.max_prepared_stmt_count,"
	       " (SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS"
	       " WHERE VARIABLE_NAME = 'PREPARED_STMT_COUNT')",
	.cols_n = 11,
};
enum {
	SET_READ_ONLY,
	SET_TX_READ_ONLY,
	SET_LOG_BIN,
	SET_FORMAT,
	SET_ROW_IMAGE,
	SET_FLUSH,
	SET_SYNC,
	SET_PACKET,
	SET_MODE,
	SET_STATEMENTS_MAX,
	SET_STATEMENTS
};
const struct db_set doctor_server_sql = {
	.name = "doctor_server",
	.stmts = (const struct db_stmt *const[]){&get_settings, NULL},
	.is_lazy = true,
};

/* The row of get_settings, or NULL with a finding. */
static const struct db_val *settings(struct doctor *d, struct finding *f)
{
	const struct db_val *row = NULL;

	if (!d->db) {
		finding_skip(f, "the database was not reached");
		return NULL;
	}
	if (db_one(d->db, &get_settings, NULL, 0, &row) != ERR_OK || !row)
		finding_bad(f, VERDICT_FAIL, "see what the server says", "%s", db_errmsg(d->db));
	return row;
}

void check_writable(struct doctor *d, struct finding *f)
{
	const struct db_val *row = settings(d, f);

	if (!row)
		return;
	if (dbv_i(&row[SET_READ_ONLY]))
		finding_bad(f, VERDICT_FAIL,
			"SET GLOBAL read_only = 0, and in my.cnf; or, if this is a replica, name "
			"the primary in [database]",
			"the server is read-only: nothing can be changed");
	else if (dbv_i(&row[SET_LOG_BIN]) && !strcmp(dbv_text(&row[SET_FORMAT]), "STATEMENT"))
		finding_bad(f, VERDICT_FAIL, "binlog_format = ROW in my.cnf, and SET GLOBAL",
			"binlog_format is STATEMENT: with it InnoDB refuses writes at READ "
			"COMMITTED");
	else if (dbv_i(&row[SET_TX_READ_ONLY]))
		finding_bad(f, VERDICT_WARN, "tx_read_only = OFF in my.cnf, and SET GLOBAL",
			"tx_read_only is on: other programs cannot publish events by SQL");
	else
		finding_ok(f, "it takes writes");
}

void check_row_image(struct doctor *d, struct finding *f)
{
	const struct db_val *row = settings(d, f);

	if (!row)
		return;
	if (!dbv_i(&row[SET_LOG_BIN]))
		finding_skip(f, "the binlog is off");
	else if (!strcmp(dbv_text(&row[SET_ROW_IMAGE]), "MINIMAL"))
		finding_bad(f, VERDICT_WARN, "binlog_row_image = FULL in my.cnf, and SET GLOBAL",
			"it is MINIMAL: the rows in the binlog may lack the id of an event, "
			"which then waits for the timer");
	else
		finding_ok(f, "%s", dbv_text(&row[SET_ROW_IMAGE]));
}

void check_durability(struct doctor *d, struct finding *f)
{
	const struct db_val *row = settings(d, f);
	int64_t flush;

	if (!row)
		return;
	flush = dbv_i(&row[SET_FLUSH]);
	if (flush != 1 && flush != 3)
		finding_bad(f, flush ? VERDICT_WARN : VERDICT_FAIL,
			"innodb_flush_log_at_trx_commit = 1 in my.cnf, and SET GLOBAL",
			"innodb_flush_log_at_trx_commit is %lld: changes and events that were "
			"answered are lost when %s",
			(long long)flush, flush ? "the machine fails" : "the server fails");
	else if (dbv_i(&row[SET_LOG_BIN]) && !dbv_u(&row[SET_SYNC]))
		finding_bad(f, VERDICT_WARN, "sync_binlog = 1 in my.cnf, and SET GLOBAL",
			"sync_binlog is 0: when the machine fails, the binlog lacks what the "
			"tables have, and replicas never get it");
	else
		finding_ok(f, "what is committed is on the disk");
}

void check_packet(struct doctor *d, struct finding *f)
{
	const struct db_val *row = settings(d, f);
	uint64_t have, body = (uint64_t)d->cfg->fcgi.max_body, need;

	if (!row)
		return;
	if (body < (uint64_t)d->cfg->socketio.max_payload)
		body = (uint64_t)d->cfg->socketio.max_payload;
	need = body + PACKET_ROOM;
	have = dbv_u(&row[SET_PACKET]);
	if (have < need)
		finding_bad(f, VERDICT_FAIL,
			"raise max_allowed_packet in my.cnf, and SET GLOBAL; or lower "
			"fcgi.max_body and socketio.max_payload",
			"max_allowed_packet is %llu bytes, requests of up to %llu want %llu",
			(unsigned long long)have, (unsigned long long)body,
			(unsigned long long)need);
	else
		finding_ok(f, "max_allowed_packet is %llu bytes", (unsigned long long)have);
}

void check_sql_mode(struct doctor *d, struct finding *f)
{
	const struct db_val *row = settings(d, f);

	if (!row)
		return;
	if (!strstr(dbv_text(&row[SET_MODE]), "STRICT_"))
		finding_bad(f, VERDICT_WARN,
			"sql_mode = STRICT_TRANS_TABLES,... in my.cnf, and SET GLOBAL",
			"sql_mode \"%s\" is not strict: what other programs publish by SQL is cut "
			"where it does not fit, instead of refused",
			dbv_text(&row[SET_MODE]));
	else
		finding_ok(f, "strict");
}

void check_statements(struct doctor *d, struct finding *f)
{
	const struct db_val *row = settings(d, f);
	uint64_t most, now, need;

	if (!row)
		return;
	most = dbv_u(&row[SET_STATEMENTS_MAX]);
	now = dbv_u(&row[SET_STATEMENTS]);
	need = doctor_connections(d) * STATEMENTS_PER_CONNECTION;
	if (!most || now >= most - most / 10)
		finding_bad(f, VERDICT_FAIL,
			"raise max_prepared_stmt_count in my.cnf, and SET GLOBAL; look which "
			"program does not close its statements",
			"%llu of max_prepared_stmt_count = %llu are used", (unsigned long long)now,
			(unsigned long long)most);
	else if (most < need)
		finding_bad(f, VERDICT_WARN,
			"raise max_prepared_stmt_count in my.cnf, and SET GLOBAL, or lower "
			"fcgi.workers",
			"max_prepared_stmt_count is %llu, our connections may want %llu",
			(unsigned long long)most, (unsigned long long)need);
	else
		finding_ok(f, "%llu of %llu are used", (unsigned long long)now,
			(unsigned long long)most);
}
