/*
 * `cmdbctl migrate`: brings the database to the schema of this program.
 *
 * MariaDB commits at every DDL statement, so a migration cannot be undone when its third statement
 * fails or the server dies in between. Therefore it is recorded as begun before and as done after;
 * one found begun stops everything until somebody has looked. A server-wide lock lets only one
 * cmdbctl at a time do this; others wait and then find nothing left to do.
 *
 * A file goes to the server whole: that takes it apart into statements, so triggers and procedures
 * need no DELIMITER, and there is no second idea here of what a comment or a quote is.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "migrate.h"
#include "migrations.h"
#include "out.h"
#include "rows.h"
#include "secret.h"
#include "shape.h"

#define LOCK_TURN_S 5 /* one GET_LOCK waits this long; then it is asked again */
#define LOCK_WAIT_MS (30 * 60 * 1000)

#define NO_DATABASE 1049u /* ER_BAD_DB_ERROR */

static const char create_tables[] =
	"CREATE TABLE IF NOT EXISTS schema_migrations ("
	" version INT UNSIGNED NOT NULL PRIMARY KEY,"
	" name VARCHAR(64) CHARACTER SET ascii NOT NULL,"
	" checksum CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'BLAKE2b-256',"
	" state ENUM('started','done') NOT NULL,"
	" started_at DATETIME(3) NOT NULL,"
	" applied_at DATETIME(3) NULL) ENGINE=InnoDB;"
	"CREATE TABLE IF NOT EXISTS schema_seeds ("
	" name VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,"
	" checksum CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
	" applied_at DATETIME(3) NOT NULL) ENGINE=InnoDB";

static const struct db_stmt sql_lock = {"migrate.lock", "SELECT GET_LOCK(?, ?)", 2, 1};
static const struct db_stmt sql_has_table = {"migrate.has_table",
	"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
	" AND TABLE_NAME = 'schema_migrations'",
	0, 1};
static const struct db_stmt sql_list = {"migrate.list",
	"SELECT version, name, checksum, state = 'done', COALESCE(applied_at, started_at)"
	" FROM schema_migrations ORDER BY version LIMIT 10000",
	0, 5};
static const struct db_stmt sql_begin = {"migrate.begin",
	"INSERT INTO schema_migrations (version, name, checksum, state, started_at)"
	" VALUES (?, ?, ?, 'started', NOW(3))",
	3, 0};
static const struct db_stmt sql_done = {"migrate.done",
	"UPDATE schema_migrations SET state = 'done', applied_at = NOW(3)"
	" WHERE version = ? AND state = 'started'",
	1, 0};
static const struct db_stmt sql_mark_done = {"migrate.mark_done",
	"UPDATE schema_migrations SET state = 'done', applied_at = NOW(3), name = ?, checksum = ?"
	" WHERE version = ? AND state = 'started'",
	3, 0};
static const struct db_stmt sql_forget = {"migrate.forget",
	"DELETE FROM schema_migrations WHERE version = ? AND state = 'started'", 1, 0};

/* One run: the files, what the database has had, and what was done, for --json. */
struct run {
	struct call *call;
	struct migrations files;
	struct migrated *had;
	size_t had_n;
	struct json_object *applied;
};

static const struct db_set *const sets[] = {&shape_sql, NULL};

/* ---- the database ---- */

/* Without a default database, which may not exist yet, and without a limit on how long a statement
 * may take. */
static enum ctl_exit open_server(struct call *call)
{
	enum err e;

	call->login = config_login(call->cfg, CONFIG_CLI);
	call->login.name = NULL;
	call->login.io_timeout_ms = 0;
	call->db = db_new(&call->login, sets);
	e = db_ensure(call->db);
	return e == ERR_OK ? CTL_OK : cmd_fail_db(call, e, "cannot open the database");
}

static enum err on_database(struct call *call, const char *before, const char *after)
{
	struct str sql = STR_INIT;
	enum err e;

	str_adds(&sql, before);
	sql_add_name(&sql, call->cfg->database.name);
	str_adds(&sql, after);
	e = db_script(call->db, str_c(&sql));
	str_fini(&sql);
	return e;
}

static enum ctl_exit create_database(struct call *call)
{
	enum err e = on_database(call, "USE ", "");

	if (e == ERR_DB && db_errno(call->db) == NO_DATABASE) {
		e = on_database(call, "CREATE DATABASE IF NOT EXISTS ",
			" CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_as_ci");
		if (e == ERR_OK)
			e = on_database(call, "USE ", "");
	}
	return e == ERR_OK ? CTL_OK : cmd_fail_db(call, e, "cannot create the database");
}

/* The lock is the server's and of this connection: whatever ends the connection ends it. Its name
 * may have 64 characters, as many as a database's may. */
static enum ctl_exit take_lock(struct call *call)
{
	const char *name = call->cfg->database.name;
	int64_t until = clock_ms() + LOCK_WAIT_MS;
	uint8_t hash[SECRET_HASH_SIZE];
	char lock[5 + 2 * 16 + 1] = "cmdb.";
	const struct db_val *row;

	secret_hash(hash, name, strlen(name));
	secret_hex(lock + 5, hash, 16);
	for (bool is_first = true;; is_first = false) {
		const struct db_val in[] = {dbv_s(lock), DBV_U(is_first ? 0 : LOCK_TURN_S)};
		enum err e = db_one(call->db, &sql_lock, in, 2, &row);

		if (e != ERR_OK)
			return cmd_fail_db(call, e, "cannot take the migration lock");
		if (row && row->type != DB_NULL && dbv_i(row) == 1)
			return CTL_OK;
		if (clock_ms() > until)
			return cmd_fail(CTL_FAILED,
				"another cmdbctl migrate has been running for %d "
				"minutes; see what it does (SHOW PROCESSLIST)",
				LOCK_WAIT_MS / 60000);
		if (is_first)
			fputs("waiting for another cmdbctl migrate\n", stderr);
	}
}

static enum err load_had(struct run *r)
{
	struct db *db = r->call->db;
	const struct db_val *row;
	enum err e = db_query(db, &sql_list, NULL, 0);

	if (e != ERR_OK)
		return e;
	free(r->had);
	r->had_n = 0;
	r->had = xcalloc(db_rows_n(db) + 1, sizeof(*r->had));
	while ((row = db_fetch(db))) {
		struct migrated *h = &r->had[r->had_n++];

		h->version = (unsigned)dbv_u(&row[0]);
		snprintf(h->name, sizeof(h->name), "%s", dbv_text(&row[1]));
		snprintf(h->checksum, sizeof(h->checksum), "%s", dbv_text(&row[2]));
		h->is_done = dbv_i(&row[3]) != 0;
		clock_from_sql(dbv_text(&row[4]), h->when);
	}
	db_done(db);
	return ERR_OK;
}

/* For --status and --dry-run, which change nothing: no database, or one without the table, has had
 * nothing. */
static enum ctl_exit look(struct run *r)
{
	struct call *call = r->call;
	const struct db_val *row;
	enum err e = on_database(call, "USE ", "");

	if (e == ERR_DB && db_errno(call->db) == NO_DATABASE)
		return CTL_OK;
	if (e == ERR_OK)
		e = db_one(call->db, &sql_has_table, NULL, 0, &row);
	if (e == ERR_OK && row && dbv_i(row))
		e = load_had(r);
	return e == ERR_OK ? CTL_OK : cmd_fail_db(call, e, "cannot read what the database has had");
}

static enum ctl_exit cmd_migrate_check(const struct run *r)
{
	struct str why = STR_INIT;
	enum ctl_exit status = CTL_OK;

	if (!migrations_check(&r->files, r->had, r->had_n, &why))
		status = cmd_fail(CTL_FAILED, "%s", str_c(&why));
	str_fini(&why);
	return status;
}

/* ---- applying ---- */

/* Says why, and what is to be done about a migration of which a part may be there. Where not even
 * its first statement was carried out there is none. */
static enum ctl_exit fail_migration(struct run *r, const struct migration *f, enum err e)
{
	struct db *db = r->call->db;
	const struct db_val in[] = {DBV_U(f->version)};
	char label[MIGRATION_NAME_MAX + 16];
	enum ctl_exit status;

	snprintf(label, sizeof(label), "%04u_%s", f->version, f->name);
	status = cmd_fail_db(r->call, e, label);
	if (e == ERR_DB_LOST)
		return status;
	if (!db_script_n(db) && db_exec(db, &sql_forget, in, 1, NULL, NULL) != ERR_OK)
		return status;
	if (load_had(r) == ERR_OK)
		cmd_migrate_check(r);
	return status;
}

static enum ctl_exit cmd_migrate_apply_one(struct run *r, const struct migration *f)
{
	struct call *call = r->call;
	const struct db_val in[] = {DBV_U(f->version), dbv_s(f->name), dbv_s(f->checksum)};
	int64_t from = clock_ms();
	char label[MIGRATION_NAME_MAX + 16];
	enum err e;

	snprintf(label, sizeof(label), "%04u_%s", f->version, f->name);
	e = db_exec(call->db, &sql_begin, in, 3, NULL, NULL);
	if (e != ERR_OK)
		return cmd_fail_db(call, e, label);
	e = db_script(call->db, str_c(&f->sql));
	if (e == ERR_OK)
		e = db_exec(call->db, &sql_done, in, 1, NULL, NULL);
	if (e != ERR_OK)
		return fail_migration(r, f, e);
	json_object_array_add(r->applied, json_object_new_string(label));
	if (!call->json) {
		rows_print_done(
			call, NULL, "applied %s (%lld ms)", label, (long long)(clock_ms() - from));
		out_flush();
	}
	return CTL_OK;
}

/* --redo and --mark-done: somebody has looked at a migration that did not finish. What was
 * completed by hand counts as what its file says now. */
static enum ctl_exit resolve(struct run *r, const char *option, bool is_done)
{
	struct call *call = r->call;
	size_t version = (size_t)opt_number(call, option, 0);
	uint64_t n = 0;
	enum err e = ERR_OK;

	if (!version)
		return CTL_OK;
	if (version <= r->files.n) {
		const struct migration *f = &r->files.v[version - 1];
		const struct db_val in[] = {dbv_s(f->name), dbv_s(f->checksum), DBV_U(version)};

		if (is_done)
			e = db_exec(call->db, &sql_mark_done, in, 3, &n, NULL);
		else
			e = db_exec(call->db, &sql_forget, in + 2, 1, &n, NULL);
	}
	if (e != ERR_OK)
		return cmd_fail_db(call, e, option);
	if (!n)
		return cmd_fail(CTL_NOT_FOUND, "--%s: migration %04zu is not an unfinished one",
			option, version);
	return CTL_OK;
}

static enum ctl_exit migrate(struct run *r)
{
	enum ctl_exit status = create_database(r->call);
	enum err e;

	if (status == CTL_OK)
		status = take_lock(r->call);
	if (status != CTL_OK)
		return status;
	e = db_script(r->call->db, create_tables);
	if (e != ERR_OK)
		return cmd_fail_db(r->call, e, "cannot create schema_migrations");
	status = resolve(r, "redo", false);
	if (status == CTL_OK)
		status = resolve(r, "mark-done", true);
	if (status != CTL_OK)
		return status;
	e = load_had(r);
	if (e != ERR_OK)
		return cmd_fail_db(r->call, e, "cannot read schema_migrations");
	status = cmd_migrate_check(r);
	for (size_t i = r->had_n; i < r->files.n && status == CTL_OK; i++)
		status = cmd_migrate_apply_one(r, &r->files.v[i]);
	return status;
}

/* ---- verbs ---- */

static struct json_object *state_row(const struct migration *f, const struct migrated *had)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "version", json_object_new_int64(f ? f->version : had->version));
	json_object_object_add(o, "name", json_object_new_string(f ? f->name : had->name));
	json_object_object_add(
		o, "state", json_object_new_string(migration_state_name(migration_state(f, had))));
	json_object_object_add(o, "at", had ? json_object_new_string(had->when) : NULL);
	return o;
}

static const struct migrated *find_had(const struct run *r, unsigned version)
{
	for (size_t i = 0; i < r->had_n; i++)
		if (r->had[i].version == version)
			return &r->had[i];
	return NULL;
}

static enum ctl_exit show_status(struct run *r)
{
	struct json_object *rows = json_object_new_array();

	for (size_t i = 0; i < r->files.n; i++)
		json_object_array_add(
			rows, state_row(&r->files.v[i], find_had(r, r->files.v[i].version)));
	for (size_t i = 0; i < r->had_n; i++)
		if (r->had[i].version == 0 || r->had[i].version > r->files.n)
			json_object_array_add(rows, state_row(NULL, &r->had[i]));
	rows_print(r->call, rows, "version name state at");
	json_object_put(rows);
	return CTL_OK;
}

static enum ctl_exit show_pending(struct run *r)
{
	struct json_object *rows = json_object_new_array();
	enum ctl_exit status = cmd_migrate_check(r);

	for (size_t i = r->had_n; i < r->files.n; i++)
		json_object_array_add(rows, state_row(&r->files.v[i], NULL));
	if (status == CTL_OK && !json_object_array_length(rows) && !r->call->json)
		out_line("nothing to apply");
	else if (status == CTL_OK)
		rows_print(r->call, rows, "version name state");
	json_object_put(rows);
	return status;
}

static enum ctl_exit show_shape(struct run *r)
{
	struct json_object *o = json_object_new_object();
	struct str shape = STR_INIT;
	enum err e = on_database(r->call, "USE ", "");

	if (e == ERR_OK)
		e = shape_read(r->call->db, &shape);
	json_object_object_add(o, "shape", json_object_new_string(str_c(&shape)));
	if (e == ERR_OK && r->call->json)
		out_json(o);
	else if (e == ERR_OK)
		out_text(str_c(&shape));
	json_object_put(o);
	str_fini(&shape);
	return e == ERR_OK ? CTL_OK : cmd_fail_db(r->call, e, "cannot read the schema");
}

/* What comes after the migrations: accounts, then data. */
static enum ctl_exit cmd_migrate_finish(struct run *r)
{
	struct call *call = r->call;
	const char *host = opt_text(call, "account-host"), *seed = opt_text(call, "seed");
	bool is_local = *call->cfg->database.socket, was_seeded = false;
	struct json_object *o = json_object_new_object();
	enum ctl_exit status = CTL_OK;

	if (opt_flag(call, "grants"))
		status = grants_apply(call, host ? host : is_local ? "localhost" : "%");
	if (status == CTL_OK && seed)
		status = seed_apply(call, seed, &was_seeded);
	json_object_object_add(o, "version", json_object_new_int64((int64_t)r->files.n));
	json_object_object_add(o, "applied", json_object_get(r->applied));
	json_object_object_add(o, "granted", json_object_new_boolean(opt_flag(call, "grants")));
	json_object_object_add(o, "seeded", json_object_new_boolean(seed && !was_seeded));
	if (status == CTL_OK)
		rows_print_done(call, o, "the schema is at version %04zu%s%s", r->files.n,
			opt_flag(call, "grants") ? "; accounts are set" : "",
			!seed        ? ""
			: was_seeded ? "; the seed was applied before"
				     : "; the seed is applied");
	json_object_put(o);
	return status;
}

static enum ctl_exit run_migrate(struct call *call)
{
	const char *dir = opt_text(call, "schema");
	struct run r = {.call = call, .applied = json_object_new_array()};
	struct str why = STR_INIT;
	enum ctl_exit status;

	if (!migrations_read(&r.files, dir ? dir : CMDB_SCHEMA_DIR, &why)) {
		status = cmd_fail(CTL_FAILED, "%s", str_c(&why));
		goto out;
	}
	status = open_server(call);
	if (status != CTL_OK)
		goto out;
	if (opt_flag(call, "shape")) {
		status = show_shape(&r);
		goto out;
	}
	if (opt_flag(call, "status") || opt_flag(call, "dry-run")) {
		status = look(&r);
		if (status == CTL_OK)
			status = opt_flag(call, "status") ? show_status(&r) : show_pending(&r);
		goto out;
	}
	status = migrate(&r);
	if (status == CTL_OK)
		status = cmd_migrate_finish(&r);
out:
	json_object_put(r.applied);
	free(r.had);
	migrations_fini(&r.files);
	str_fini(&why);
	return status;
}

static const struct opt migrate_opts[] = {
	{"status", OPT_FLAG, NULL, "show which migrations there are and were applied", 0, 0},
	{"dry-run", OPT_FLAG, NULL, "show what would be applied", 0, 0},
	{"shape", OPT_FLAG, NULL, "show the columns and indexes that there are", 0, 0},
	{"schema", OPT_TEXT, "DIR", "where the migrations are, not " CMDB_SCHEMA_DIR, 0, 0},
	{"grants", OPT_FLAG, NULL, "then create the accounts of cmdb-fcgi and cmdb-poller", 0, 0},
	{"account-host", OPT_TEXT, "HOST",
		"where these may come from; localhost, or % without [database] socket", 0, 0},
	{"seed", OPT_TEXT, "FILE", "then run this file of data, once for each database", 0, 0},
	{"redo", OPT_NUMBER, "VERSION", "run an unfinished migration from its start", 1, 9999},
	{"mark-done", OPT_NUMBER, "VERSION", "an unfinished migration was completed by hand", 1,
		9999},
	{0},
};

const struct cmd cmd_migrate = {
	"migrate",
	"the schema of the database",
	(const struct verb[]){
		{"", "", 0, 0, migrate_opts, run_migrate,
			"create the database and apply what is new in the schema", false},
		{0},
	},
};
