/*
 * json-c behind a strict door: RFC 8259 as written (no comments, no NaN, no trailing bytes), valid
 * UTF-8 without NUL (also no \u0000), at most JSON_DEPTH_MAX deep, no duplicate keys, integers
 * within int64_t. Objects come from json-c and are released with json_object_put(). Any thread.
 */
#ifndef CMDB_JSON_H
#define CMDB_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <json-c/json.h>

#include "str.h"

#define JSON_DEPTH_MAX 32

/* Returns a new reference, or NULL with *why set to a static sentence that names the problem and
 * *offset to the byte it was seen at (0 for a key given twice and a number too large for a double).
 * A valid text `null` also gives NULL, with *why NULL. */
struct json_object *json_parse(const char *text, size_t len, const char **why, size_t *offset);
/* Adds the compact text of o to s. */
void json_print(struct str *s, struct json_object *o);
/* Is it one JSON text by the grammar of RFC 8259, at most JSON_VALID_DEPTH_MAX deep? Builds
 * nothing. Bytes above 0x7f are not looked at. For texts that are passed on as they came. */
#define JSON_VALID_DEPTH_MAX 64
bool json_is_valid(const char *text, size_t len);
/* Is it well-formed UTF-8 (RFC 3629) without NUL? */
bool json_is_utf8(const char *text, size_t len);
/* Borrowed member, or NULL when missing or null. */
struct json_object *json_get(struct json_object *o, const char *key);
/* Borrowed text of a string member, or NULL when missing or no string. */
const char *json_get_str(struct json_object *o, const char *key);

#endif
