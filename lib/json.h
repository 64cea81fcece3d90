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

#include "bytes.h"
#include "str.h"

#define JSON_DEPTH_MAX 32

/* Returns a new reference, or NULL with *why set to a static sentence that names the problem and
 * *offset to the byte it was seen at (0 for a key given twice and a number too large for a double).
 * A valid text `null` also gives NULL, with *why NULL. */
struct json_object *json_parse(const char *text, size_t len, const char **why, size_t *offset);
/* The same of what the project's own programs say: ids and figures go up to UINT64_MAX. */
struct json_object *json_parse_own(const char *text, size_t len, const char **why, size_t *offset);
/* The same, but of a key that an object has twice the last counts, as for JavaScript. */
struct json_object *json_parse_js(const char *text, size_t len, const char **why);
/* Adds the compact text of o to s. */
void json_print(struct str *s, struct json_object *o);
/* That text, which o keeps until it is changed or released. */
struct slice json_text(struct json_object *o);

/* ---- texts that are passed on as they came; nothing is built ---- */

/* Is it one JSON text by the grammar of RFC 8259, however deep? It is what JSON.parse() of
 * JavaScript takes. Bytes above 0x7f are not looked at. */
bool json_is_valid(const char *text, size_t len);
/* What a text has in it that the JSON parser of some client falls over: bits of enum json_found.
 * 0: nothing, it is JSON to every client. */
enum json_found {
	JSON_IS_BAD = 1,    /* no JSON, or no UTF-8; then the others tell nothing */
	JSON_HAS_HALF = 2,  /* half a surrogate pair, escaped: no character */
	JSON_HAS_TWICE = 4, /* an object with the same key twice (the same 64-bit hash) */
	JSON_HAS_HUGE = 8,  /* a number beyond what a double holds */
	JSON_HAS_DEEP = 16  /* more than JSON_LOOK_DEPTH_MAX levels */
};
/* .NET reads 64 levels, and what is around a payload has up to four. */
#define JSON_LOOK_DEPTH_MAX 60
unsigned json_look(const char *text, size_t len);
/* Is it well-formed UTF-8 (RFC 3629) without NUL? */
bool json_is_utf8(const char *text, size_t len);
/* Adds text, with U+FFFD for what is no UTF-8, as the decoders of browsers and of Node put it
 * (Unicode, section 3.9, "maximal subparts"). NULs stay. */
void json_add_utf8(struct str *s, const char *text, size_t len);
/* Borrowed member, or NULL when missing or null. */
struct json_object *json_get(struct json_object *o, const char *key);
/* Borrowed text of a string member, or NULL when missing or no string. */
const char *json_get_str(struct json_object *o, const char *key);

#endif
