/* doctor: the database and its server. */
#include "doctor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "cut.h"
#include "migrations.h"
#include "schema.h"
#include "shape.h"

#define FCGI_PROCESSES 4     /* as the web server starts them by default */
#define WORKER_POOLS 3       /* of fcgi.workers threads each */
#define EVENT_POOLS 3        /* of fcgi.event_workers threads */
#define OTHER_CONNECTIONS 10 /* poller, cmdbctl, backup, a person */
#define WAIT_TIMEOUT_MIN_S 60
#define CLOCK_OFF_MS 2000
#define SHAPE_NAMED_MAX 4
#define EXACT_ID_MAX (1ULL << 53) /* of the numbers of JavaScript */

static const struct db_stmt get_vars = {
	.name = "doctor.vars",
	.sql = "SELECT @@log_bin, @@binlog_format, @@max_connections, @@global.wait_timeout,"
	       " @@global.auto_increment_increment, @@datadir,"
	       " CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
	.cols_n = 7,
};
enum { VAR_LOG_BIN, VAR_FORMAT, VAR_CONNECTIONS, VAR_WAIT, VAR_STEP, VAR_DATADIR, VAR_NOW_MS };
static const struct db_stmt get_rights = {
	.name = "doctor.rights",
	.sql = "SELECT COUNT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES"
	       " WHERE PRIVILEGE_TYPE IN ('REPLICATION SLAVE', 'BINLOG MONITOR')",
	.cols_n = 1,
};
static const struct db_stmt get_next_id = {
	.name = "doctor.next_id",
	.sql = "SELECT AUTO_INCREMENT FROM information_schema.TABLES"
	       " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'ws_events'",
	.cols_n = 1,
};
static const struct db_set sql = {
	.name = "doctor",
	.stmts = (const struct db_stmt *const[]){&get_vars, &get_rights, &get_next_id, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &cut_sql, &schema_sql, &shape_sql,
	&doctor_live_sql, &doctor_rights_sql, &doctor_server_sql, NULL};

/* ---- accounts ---- */

static const char *cure_of(enum err e)
{
	if (e == ERR_DB_DENIED)
		return "cmdbctl migrate --grants, run as an administrator of the database, makes "
		       "the accounts of the configuration";
	if (e == ERR_DB_LOST)
		return "start MariaDB; look at [database] socket, host and port";
	return "see what the server says";
}

/* Opens one account; NULL, with a finding, if that fails. */
static struct db *open_account(
	struct doctor *d, struct db_login *login, enum config_account who, struct finding *f)
{
	struct db *db;
	enum err e;

	*login = config_login(d->cfg, who);
	db = db_new(login, sets);
	e = db_ensure(db);
	if (e == ERR_OK) {
		finding_ok(f, "reached as %s", *login->user ? login->user : "the system user");
		return db;
	}
	/* Who logs in by unix_socket can do so only as the system user of that name. */
	if (e == ERR_DB_DENIED && *login->user && !*login->password)
		finding_skip(f, "%s has no password here: only its own system user can log in",
			login->user);
	else
		finding_bad(f, VERDICT_FAIL, cure_of(e), "%s", db_errmsg(db));
	db_free(db);
	return NULL;
}

void check_db_cli(struct doctor *d, struct finding *f)
{
	d->call->db = d->db = open_account(d, &d->call->login, CONFIG_CLI, f);
}

void check_db_fcgi(struct doctor *d, struct finding *f)
{
	d->fcgi_db = open_account(d, &d->fcgi_login, CONFIG_FCGI, f);
}

void check_db_poller(struct doctor *d, struct finding *f)
{
	d->poller_db = open_account(d, &d->poller_login, CONFIG_POLLER, f);
}

/* ---- the server's settings ---- */

/* The row of get_vars, or NULL with a finding. */
static const struct db_val *vars(struct doctor *d, struct finding *f)
{
	const struct db_val *row = NULL;

	if (!d->db) {
		finding_skip(f, "the database was not reached");
		return NULL;
	}
	if (db_one(d->db, &get_vars, NULL, 0, &row) != ERR_OK || !row)
		finding_bad(f, VERDICT_FAIL, "see what the server says", "%s", db_errmsg(d->db));
	return row;
}

void check_binlog(struct doctor *d, struct finding *f)
{
	static const char cure[] =
		"log_bin and binlog_format = ROW under [mariadb] in my.cnf, then restart MariaDB";
	const struct db_val *row = vars(d, f);

	if (!row)
		return;
	if (!d->cfg->poller.binlog)
		finding_ok(f, "not used: poller.binlog is off");
	else if (!dbv_u(&row[VAR_LOG_BIN]))
		finding_bad(f, VERDICT_WARN, cure,
			"it is off: events are found by looking every %lld ms instead",
			(long long)d->cfg->poller.timer_ms);
	else if (strcmp(dbv_text(&row[VAR_FORMAT]), "ROW"))
		finding_bad(f, VERDICT_WARN, cure,
			"its format is %s: rows of ws_events do not show in it",
			dbv_text(&row[VAR_FORMAT]));
	else
		finding_ok(f, "on, format ROW");
}

void check_binlog_rights(struct doctor *d, struct finding *f)
{
	const struct db_val *row = NULL;

	if (!d->cfg->poller.binlog)
		finding_skip(f, "poller.binlog is off");
	else if (!d->poller_db)
		finding_skip(f, "the poller's account was not reached");
	else if (db_one(d->poller_db, &get_rights, NULL, 0, &row) != ERR_OK || !row ||
		 dbv_u(&row[0]) < 2)
		finding_bad(f, VERDICT_WARN, cure_of(ERR_DB_DENIED),
			"the poller's account lacks REPLICATION SLAVE or BINLOG MONITOR");
	else
		finding_ok(f, "the poller's account may follow the binlog");
}

/* As many as there are, but at least as many as a web server starts by default. */
static unsigned processes(const struct doctor *d)
{
	unsigned n = doctor_fcgi_processes(d);

	return n > FCGI_PROCESSES ? n : FCGI_PROCESSES;
}

/* Each thread that works has one, and health one more now and then. */
uint64_t doctor_connections(const struct doctor *d)
{
	uint64_t each = (uint64_t)(WORKER_POOLS * d->cfg->fcgi.workers +
				   EVENT_POOLS * d->cfg->fcgi.event_workers +
				   d->cfg->auth.argon2_parallel + 1);

	return each * processes(d) + OTHER_CONNECTIONS;
}

void check_connections(struct doctor *d, struct finding *f)
{
	const struct db_val *row = vars(d, f);
	uint64_t most, need = doctor_connections(d);

	if (!row)
		return;
	most = dbv_u(&row[VAR_CONNECTIONS]);
	if (most < need)
		finding_bad(f, VERDICT_WARN,
			"raise max_connections in my.cnf, or lower fcgi.workers",
			"max_connections is %llu; %u cmdb-fcgi with 3 x %lld workers, 2 x %lld "
			"event_workers and some more each, and the rest, want %llu",
			(unsigned long long)most, processes(d), (long long)d->cfg->fcgi.workers,
			(long long)d->cfg->fcgi.event_workers, (unsigned long long)need);
	else
		finding_ok(f, "max_connections is %llu, %u cmdb-fcgi and the rest want %llu",
			(unsigned long long)most, processes(d), (unsigned long long)need);
}

void check_wait_timeout(struct doctor *d, struct finding *f)
{
	const struct db_val *row = vars(d, f);

	if (!row)
		return;
	if (dbv_u(&row[VAR_WAIT]) < WAIT_TIMEOUT_MIN_S)
		finding_bad(f, VERDICT_WARN, "wait_timeout = 28800 in my.cnf",
			"it is %llu s: connections that are quiet for longer are opened "
			"again and again",
			(unsigned long long)dbv_u(&row[VAR_WAIT]));
	else
		finding_ok(f, "%llu s", (unsigned long long)dbv_u(&row[VAR_WAIT]));
}

/* One row with an id far ahead, written by hand, takes all ids below it away. */
void check_event_ids(struct doctor *d, struct finding *f)
{
	const struct db_val *row = vars(d, f);
	uint64_t step, next;

	if (!row)
		return;
	step = dbv_u(&row[VAR_STEP]);
	if (db_one(d->db, &get_next_id, NULL, 0, &row) != ERR_OK || !row) {
		finding_bad(f, VERDICT_FAIL, "see what the server says", "%s", db_errmsg(d->db));
		return;
	}
	next = dbv_u(&row[0]);
	if (next > EXACT_ID_MAX)
		finding_bad(f, VERDICT_FAIL,
			"delete the rows of ws_events with ids far ahead, then ALTER TABLE "
			"ws_events "
			"AUTO_INCREMENT = 1, which goes on behind those that are left",
			"the next one is %llu: browsers cannot tell ids beyond 2^53 apart, and "
			"beyond 2^64 there is none",
			(unsigned long long)next);
	else if (step > 1)
		finding_bad(f, VERDICT_WARN,
			"write events through one node and set wsrep_auto_increment_control=OFF, "
			"auto_increment_increment=1",
			"the server counts ids in steps of %llu: every event leaves "
			"gaps that have to be waited out",
			(unsigned long long)step);
	else
		finding_ok(f, "they come one by one, next %llu", (unsigned long long)next);
}

void check_disk(struct doctor *d, struct finding *f)
{
	const struct db_val *row = vars(d, f);
	struct statvfs vfs;
	unsigned percent;

	if (!row)
		return;
	if (!*d->cfg->database.socket || statvfs(dbv_text(&row[VAR_DATADIR]), &vfs) < 0 ||
		!vfs.f_blocks) {
		finding_skip(f,
			"the server does not say how full its disk is, and %s cannot be "
			"seen from here",
			dbv_text(&row[VAR_DATADIR]));
		return;
	}
	percent = (unsigned)((double)vfs.f_bavail * 100.0 / (double)vfs.f_blocks);
	if (percent < 10)
		finding_bad(f, percent < 2 ? VERDICT_FAIL : VERDICT_WARN,
			"make room: cmdbctl events prune, and expire_logs_days for the binlog",
			"%u %% of the disk of %s is free", percent, dbv_text(&row[VAR_DATADIR]));
	else
		finding_ok(
			f, "%u %% of the disk of %s is free", percent, dbv_text(&row[VAR_DATADIR]));
}

void check_clock(struct doctor *d, struct finding *f)
{
	const struct db_val *row = vars(d, f);
	int64_t off_ms;

	if (!row)
		return;
	off_ms = dbv_i(&row[VAR_NOW_MS]) - clock_wall_ms();
	if (llabs(off_ms) > CLOCK_OFF_MS)
		finding_bad(f, VERDICT_WARN,
			"have both machines follow the same time servers "
			"(timedatectl set-ntp true)",
			"the database's clock and ours differ by %lld ms: tokens may be refused",
			(long long)off_ms);
	else
		finding_ok(f, "the database's differs from ours by %lld ms", (long long)off_ms);
}

/* ---- what is in it ---- */

/* The version says what was applied; this looks whether it is still there. */
static void doctor_db_check_shape(struct doctor *d, unsigned version, struct finding *f)
{
	static const char file[] = CMDB_SCHEMA_DIR "/shape.txt";
	struct str want = STR_INIT, have = STR_INIT, missing = STR_INIT, why = STR_INIT;
	size_t n;

	if (!migration_read_file(file, &want, &why)) {
		finding_skip(f, "version %u; what is in it is not known: %s", version, str_c(&why));
	} else if (shape_read(d->db, &have) != ERR_OK) {
		finding_bad(f, VERDICT_FAIL, "see what the server says", "%s", db_errmsg(d->db));
	} else {
		n = shape_missing(str_c(&want), str_c(&have), SHAPE_NAMED_MAX, &missing);
		if (n)
			finding_bad(f, VERDICT_FAIL,
				"put back what is missing, as the migration in the schema's "
				"directory makes it; cmdbctl migrate --shape shows what there is",
				"version %u, but %zu columns or indexes are missing or others: "
				"%s%s",
				version, n, str_c(&missing), n > SHAPE_NAMED_MAX ? "; ..." : "");
		else
			finding_ok(f, "version %u, with all its columns and indexes", version);
	}
	str_fini(&want);
	str_fini(&have);
	str_fini(&missing);
	str_fini(&why);
}

void check_schema(struct doctor *d, struct finding *f)
{
	struct migrations files = {0};
	struct str why = STR_INIT;
	unsigned version, unfinished;

	if (!d->db) {
		finding_skip(f, "the database was not reached");
		return;
	}
	if (schema_version(d->db, &version, &unfinished) != ERR_OK)
		finding_bad(f, VERDICT_FAIL, "cmdbctl migrate", "%s", db_errmsg(d->db));
	else if (unfinished)
		finding_bad(f, VERDICT_FAIL, "cmdbctl migrate --status; then --redo or --mark-done",
			"%u migrations were begun and not finished", unfinished);
	else if (!migrations_read(&files, CMDB_SCHEMA_DIR, &why))
		finding_skip(
			f, "version %u; what it should be is not known: %s", version, str_c(&why));
	else if (version < files.n)
		finding_bad(f, VERDICT_FAIL, "cmdbctl migrate",
			"version %u, this program wants %zu", version, files.n);
	else if (version > files.n)
		finding_bad(f, VERDICT_WARN, "install the newer cmdb on this host too",
			"version %u, this program knows only %zu", version, files.n);
	else
		doctor_db_check_shape(d, version, f);
	migrations_fini(&files);
	str_fini(&why);
}

/* How late pruning may be: it runs by the hour, for what is kept briefly more often. */
static const struct {
	int64_t grace_s;
	const char *age, *cure;
} retention_checks[RETENTION_N] = {
	[RETENTION_LASTING] = {86400, "retention_days",
		"run cmdbctl events prune from cron, every hour"},
	[RETENTION_BRIEF] = {3600, "brief_retention_s",
		"run cmdbctl events prune --class brief from cron, every few minutes"},
};

/* *over: the key of the limit that the class is over, with some grace; NULL: none. */
static enum err find_over(const struct doctor *d, enum retention r, const char **over)
{
	const struct cut_limits keep = cut_limits_of(d->cfg, r);
	const struct cut_limits by_age = {keep.keep_s + retention_checks[r].grace_s, CUT_ANY};
	const struct cut_limits by_rows = {CUT_ANY, keep.rows + keep.rows / 10};
	uint64_t cut;
	enum err e = cut_find(d->db, r, &by_age, UINT64_MAX, &cut);

	*over = NULL;
	if (e == ERR_OK && cut)
		*over = retention_checks[r].age;
	else if (e == ERR_OK)
		e = cut_find(d->db, r, &by_rows, UINT64_MAX, &cut);
	if (e == ERR_OK && cut && !*over)
		*over = r == RETENTION_BRIEF ? "brief_retention_rows" : "retention_rows";
	return e;
}

void check_retention(struct doctor *d, struct finding *f)
{
	if (!d->db) {
		finding_skip(f, "the database was not reached");
		return;
	}
	for (int r = 0; r < RETENTION_N; r++) {
		const char *over;

		if (find_over(d, (enum retention)r, &over) != ERR_OK) {
			finding_bad(f, VERDICT_FAIL, "cmdbctl migrate", "%s", db_errmsg(d->db));
			return;
		}
		if (over) {
			finding_bad(f, VERDICT_WARN, retention_checks[r].cure,
				"there are more or older events than events.%s allows", over);
			return;
		}
	}
	finding_ok(f, "within %lld days and %lld rows, brief topics %lld s and %lld rows",
		(long long)d->cfg->events.retention_days, (long long)d->cfg->events.retention_rows,
		(long long)d->cfg->events.brief_retention_s,
		(long long)d->cfg->events.brief_retention_rows);
}
