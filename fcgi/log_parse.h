/*
 * From what a client posts to entries of the log: one object, an array of them, or JSON lines
 * (application/x-ndjson). All of it is looked at before anything is done with it, and each problem
 * is told by the entry it is of and the field. No I/O; any thread.
 *
 * What is refused: unknown fields, texts that are too long, levels and times that are none. What is
 * taken in more than one form: the level in any case, the time as RFC 3339 with its zone or as
 * milliseconds since 1970, null for any field that may be left out.
 */
#ifndef CMDB_LOG_PARSE_H
#define CMDB_LOG_PARSE_H

#include <stddef.h>
#include <json-c/json.h>

#include "log_entry.h"

#define LOG_ENTRIES_MAX 1000
#define LOG_MESSAGE_MAX 65536
#define LOG_TAGS_MAX 32
#define LOG_TAG_MAX 64
#define LOG_SOURCE_MAX 255
#define LOG_META_MAX 16384
#define LOG_META_DEPTH_MAX 16 /* MariaDB takes 31 levels of JSON, with what is around it */
#define LOG_NO_TIME (-1)      /* logged_ms of an entry without a time of its own */

/* {0} is an empty one. Texts of the entries are borrowed from json. */
struct log_batch {
	struct log_entry *v; /* id and received_ms are still to come */
	size_t n;
	struct json_object **json; /* one reference each */
	size_t json_n;
};
void log_batch_fini(struct log_batch *b);

/* field: "level" of a single object, "[17].level" of the 18th entry, "" of the whole. */
typedef void log_problem_fn(void *arg, const char *field, const char *problem);

/* An object, or an array. Returns how many problems were told. */
size_t log_parse_json(
	struct log_batch *b, struct json_object *o, log_problem_fn *problem, void *arg);
/* An entry a line; lines without anything in them are passed over. */
size_t log_parse_lines(
	struct log_batch *b, const char *text, size_t len, log_problem_fn *problem, void *arg);

#endif
