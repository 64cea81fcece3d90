/*
 * What a command prints: JSON objects, either as they are (--json) or as a table for people. So
 * both say the same, and a REST answer prints like a query.
 */
#ifndef CMDB_CLI_ROWS_H
#define CMDB_CLI_ROWS_H

#include <json-c/json.h>

#include "cmd.h"

/* Columns are described by one text, "id:u name:s roles:l created_at:t": s is text, u a number, t a
 * DATETIME(3) printed as RFC 3339, l a list (text with '\n' between), b a boolean (0 or 1), j JSON
 * text. NULL is null, for l the empty list. */

/* A new object of n values. */
struct json_object *rows_object(const char *cols, const struct db_val *vals, size_t n);
/* Runs a query and makes a new array with an object a row. */
enum err rows_query(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	const char *cols, struct json_object **rows) __attribute__((warn_unused_result));

/* Prints an array of objects. cols are the members a table shows ("id name roles"), in this order.
 */
void rows_print(const struct call *call, struct json_object *rows, const char *cols);
/* Prints one object, "member: value" a line for people; nested members have dotted names. */
void rows_print_one(const struct call *call, struct json_object *o);
/* A whole verb: opens the database with sets, runs st, prints its rows; all columns show in the
 * table. */
enum ctl_exit rows_list(struct call *call, const struct db_set *const *sets,
	const struct db_stmt *st, const struct db_val *in, size_t in_n, const char *cols);
/* The same for the one row that st finds by name; CTL_NOT_FOUND if there is none. `what` is the
 * command whose list has the names. */
enum ctl_exit rows_show(struct call *call, const struct db_set *const *sets,
	const struct db_stmt *st, const char *cols, const char *what, const char *name);
/* What a change did: text for people, o for --json. */
void rows_print_done(const struct call *call, struct json_object *o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#endif
