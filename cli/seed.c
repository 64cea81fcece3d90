#include "migrate.h"

#include <string.h>

#include "migrations.h"

static const struct db_stmt sql_find = {
	"seed.find", "SELECT checksum FROM schema_seeds WHERE name = ?", 1, 1};
static const struct db_stmt sql_record = {"seed.record",
	"INSERT INTO schema_seeds (name, checksum, applied_at) VALUES (?, ?, NOW(3))", 2, 0};

/* A seed is data, so one transaction holds all of it and the note that it was applied. */
static enum err run_and_record(
	struct db *db, const char *name, const char *sql, const char *checksum)
{
	enum err e = db_begin(db);

	if (e == ERR_OK)
		e = db_script(db, sql);
	if (e == ERR_OK)
		e = db_exec(db, &sql_record, (const struct db_val[]){dbv_s(name), dbv_s(checksum)},
			2, NULL, NULL);
	if (e == ERR_OK)
		e = db_commit(db);
	else
		db_rollback(db);
	return e;
}

enum ctl_exit seed_apply(struct call *call, const char *path, bool *was_applied)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char checksum[MIGRATION_CHECKSUM_SIZE];
	struct str sql = STR_INIT, why = STR_INIT;
	enum ctl_exit status = CTL_OK;
	const struct db_val *row;
	enum err e;

	*was_applied = false;
	if (!migration_read_file(path, &sql, &why)) {
		status = cmd_fail(CTL_FAILED, "%s", str_c(&why));
		goto out;
	}
	migration_checksum(&sql, checksum);
	e = db_one(call->db, &sql_find, (const struct db_val[]){dbv_s(name)}, 1, &row);
	*was_applied = row;
	if (e == ERR_OK && !row)
		e = run_and_record(call->db, name, str_c(&sql), checksum);
	if (e != ERR_OK)
		status = cmd_fail_db(call, e, name);
out:
	str_fini(&sql);
	str_fini(&why);
	return status;
}
