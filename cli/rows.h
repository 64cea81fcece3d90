/*
 * What a command prints: JSON objects, either as they are (--json) or as a table for people. So
 * both say the same, and a REST answer prints like a query.
 */
#ifndef CMDB_CLI_ROWS_H
#define CMDB_CLI_ROWS_H

#include <json-c/json.h>

#include "cmd.h"

/* Runs a query and adds an object a row to a new array. cols names the columns and says how each reads: "id:u
 * name:s roles:l created_at:t", where s is text, u a number, t a DATETIME(3) printed as RFC 3339, l a list (text with '\n' between), b a
 * boolean (0 or 1), j JSON text. NULL is null, for l the empty list. */
enum err rows_query(struct db *db, const struct db_stmt *st, const struct db_val *in, size_t in_n,
	const char *cols, struct json_object **rows) __attribute__((warn_unused_result));

/* Prints an array of objects. cols are the members a table shows ("id name roles"), in this order. */
void rows_print(const struct call *call, struct json_object *rows, const char *cols);
/* Prints one object, "member: value" a line for people; nested members have dotted names. */
void rows_print_one(const struct call *call, struct json_object *o);
/* What a change did: text for people, o for --json. */
void rows_print_done(const struct call *call, struct json_object *o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Adds text, with '?' for what could steer a terminal. */
void rows_add_safe(struct str *out, const char *text);

#endif
