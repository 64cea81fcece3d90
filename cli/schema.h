/*
 * Which schema a database has: the last migration it has had.
 */
#ifndef CMDB_CLI_SCHEMA_H
#define CMDB_CLI_SCHEMA_H

#include "db.h"

extern const struct db_set schema_sql;

/* *version is 0 for a database without any; *unfinished counts migrations begun and not done. */
enum err schema_version(struct db *db, unsigned *version, unsigned *unfinished)
	__attribute__((warn_unused_result));

#endif
