/*
 * The shape of a database: its columns, indexes and foreign keys, a line each, as the migrations
 * make them. `cmdbctl migrate --shape` prints it, schema/shape.txt is that of this version, and
 * `cmdbctl doctor` compares the two.
 */
#ifndef CMDB_CLI_SHAPE_H
#define CMDB_CLI_SHAPE_H

#include "db.h"

extern const struct db_set shape_sql;

/* Sorted lines, each with its line end. */
enum err shape_read(struct db *db, struct str *out) __attribute__((warn_unused_result));
/* Adds the lines of want that are not in have, at most max of them, joined by "; "; returns how
 * many there are. */
size_t shape_missing(const char *want, const char *have, size_t max, struct str *out);

#endif
