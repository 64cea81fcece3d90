/*
 * Which lines of logs one wants: by device, level, tag and keyword. All dimensions that have values
 * must match, in one of them any value does; one without values matches all. Devices and tags match
 * as they are, levels in any case, a keyword as a part of the message by simple case folding
 * (fold.h).
 *
 * Socket.IO clients, /events, GET /api/logs and cmdbctl filter by this and nothing else. A filter
 * is its canonical bytes, as stream.h has it: equal wishes have equal ones, and no wish none. What
 * filters look at in a line is its digest. Any thread; pure.
 *
 *   filter  u8 version, u8 levels (1 << level), and of devices, tags, keywords each, sorted:
 *           u16 n, n * text
 *   digest  u64 id, u8 level (0: none that is known), text device, u16 n, n * text tag, the grams
 *           of the message (u8 log2 of how many bits, and these), and the message, folded, up to
 * the end
 *
 * Grams are the hashes of up to three bytes of the message that follow each other: a keyword whose
 * own are not all among them is nowhere in it, so that hardly any message is looked through in
 * vain, however many keywords there are.
 */
#ifndef CMDB_LOG_FILTER_H
#define CMDB_LOG_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "log_entry.h"
#include "str.h"
#include "stream.h"

#define LOG_FILTER_VALUES_MAX 256 /* devices, or tags */
#define LOG_FILTER_KEYWORDS_MAX 16
#define LOG_FILTER_VALUE_MAX 256 /* bytes of one */
#define LOG_FILTER_MAX 8192      /* bytes of a filter */

enum log_dimension { LOG_DEVICES, LOG_LEVELS, LOG_TAGS, LOG_KEYWORDS, LOG_DIMENSIONS_N };
struct log_dimension_name {
	const char *field;     /* of a client's object: an array of texts */
	const char *parameter; /* of a query */
	bool is_list;          /* values may be joined by commas in the parameter */
};
extern const struct log_dimension_name log_dimensions[LOG_DIMENSIONS_N];

/* {0} wants everything. Keywords are folded. */
struct log_filter {
	unsigned levels; /* 1 << enum entry_level */
	struct strlist devices, tags, keywords;
};

/* Adds a value. false: *problem says what is wrong with it, or with so many. */
bool log_filter_add(
	struct log_filter *f, enum log_dimension d, struct slice value, const char **problem);
/* A parameter of a query. -1: it is no dimension's; 0: *problem; 1: added. */
int log_filter_add_parameter(
	struct log_filter *f, const char *key, const char *value, const char **problem);
/* Adds the canonical bytes, none if everything is wanted, and sorts the lists. false: there are
 * more than LOG_FILTER_MAX. */
bool log_filter_put(struct log_filter *f, struct str *out);
void log_filter_fini(struct log_filter *f);

/* The digest of a line, and of one of a payload, which may be any JSON. */
void log_filter_digest(struct str *out, const struct log_entry *e);
bool log_filter_matches(struct slice filter, struct slice digest);

/* For the streams. */
extern const struct stream_filter log_stream_filter;

#endif
