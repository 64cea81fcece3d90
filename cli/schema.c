#include "schema.h"

static const struct db_stmt has_table = {
	.name = "schema.has_table",
	.sql = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
	       " AND TABLE_NAME = 'schema_migrations'",
	.cols_n = 1,
};
static const struct db_stmt get_version = {
	.name = "schema.version",
	.sql = "SELECT MAX(version), COUNT(IF(state = 'started', 1, NULL))"
	       " FROM schema_migrations",
	.cols_n = 2,
};
const struct db_set schema_sql = {
	.name = "schema",
	.stmts = (const struct db_stmt *const[]){&has_table, &get_version, NULL},
	.is_lazy = true,
};

enum err schema_version(struct db *db, unsigned *version, unsigned *unfinished)
{
	const struct db_val *row;
	enum err e = db_one(db, &has_table, NULL, 0, &row);

	*version = *unfinished = 0;
	if (e != ERR_OK || !row || !dbv_u(&row[0]))
		return e;
	e = db_one(db, &get_version, NULL, 0, &row);
	if (e == ERR_OK && row) {
		*version = (unsigned)dbv_u(&row[0]);
		*unfinished = (unsigned)dbv_u(&row[1]);
	}
	return e;
}
