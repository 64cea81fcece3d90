/*
 * A line of a device's log: what it is made of, and how everybody is shown it. The same JSON object
 * stands in GET /api/logs, in the events of the topic "logs", in what Socket.IO clients get and in
 * the file of lines:
 *
 *   {"id","deviceId","timestamp","level","message","tags":[..],"source","meta","receivedAt"}
 *
 * timestamp is what the device said, receivedAt when it came; both RFC 3339 UTC with milliseconds.
 * source and meta are null where there is none. Any thread; nothing blocks; texts are borrowed.
 */
#ifndef CMDB_LOG_ENTRY_H
#define CMDB_LOG_ENTRY_H

#include <stdint.h>

#include "bytes.h"
#include "str.h"

/* As the column has it. */
enum entry_level {
	ENTRY_DEBUG = 1,
	ENTRY_INFO,
	ENTRY_WARN,
	ENTRY_ERROR,
	ENTRY_FATAL,
	ENTRY_LEVEL_N
};

struct log_entry {
	uint64_t id;
	struct slice device;
	enum entry_level level;
	int64_t logged_ms, received_ms; /* since 1970 */
	struct slice message;           /* UTF-8 without NUL */
	struct slice tags;              /* JSON array of texts; empty: none */
	struct slice source;            /* p NULL: none */
	struct slice meta;              /* JSON object; empty: none */
};

const char *entry_level_name(enum entry_level level); /* "DEBUG", ...; any other: "" */
/* In any case; 0: there is none of that name. */
enum entry_level entry_level_find(struct slice name);
void log_entry_put(struct str *out, const struct log_entry *e);

#endif
