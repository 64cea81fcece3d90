/*
 * One value of one field: is it allowed, what is its canonical form, how does it go into a
 * statement. FIELD_LIST is not one value. No I/O; any thread.
 */
#ifndef CMDB_CRUD_VALUE_H
#define CMDB_CRUD_VALUE_H

#include "crud.h"

/* What is wrong with a value, to be read after the field's name. */
struct fault {
	char text[160];
};
/* Says so; returns NULL for the caller to return. */
struct json_object *fault(struct fault *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A canonical copy of `given`, which is not null: a new reference, or NULL with *why. */
struct json_object *value_check(
	const struct field *f, struct json_object *given, struct fault *why);
/* The same for a text of the query string. */
struct json_object *value_from_text(const struct field *f, const char *text, struct fault *why);
/* A new reference, NULL if there is no default. */
struct json_object *value_default(const struct field *f);
/* Borrows from v, which may be NULL (SQL NULL). */
struct db_val value_bind(struct json_object *v);

#endif
