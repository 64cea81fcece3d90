/*
 * Looks for lines in the table of logs, from a cursor on, newest or oldest first, in steps: each
 * adds what it found, moves the cursor behind what it looked at, and ends when it has enough, has
 * looked at enough, or there is nothing more. So one page, and an export of everything, whose
 * reader may take an hour, are the same work; between two statements nothing is held, neither a
 * transaction nor a lock.
 *
 * Which ids are looked at says log_candidates.h; whether a line is wanted says log_filter.h, and
 * nothing else. A worker's or job's thread; blocks.
 */
#ifndef CMDB_LOG_SEARCH_H
#define CMDB_LOG_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "log_filter.h"
#include "str.h"

struct log_search {
	uint32_t tenant_id;
	struct log_filter wants;
	struct str filter;      /* wants, as log_filter_put() has it */
	int64_t from_ms, to_ms; /* of the timestamps, both included */
	uint64_t above, below;  /* ids between these, without them; one of them is the cursor */
	bool is_ascending;
	bool is_done; /* there is nothing more */
};

/* How far a step goes; whatever comes first. */
struct log_step {
	uint64_t entries;      /* found */
	size_t bytes;          /* of what is found: at least one is taken */
	uint64_t rows;         /* looked at */
	int64_t deadline_ms;   /* monotonic */
	const char *separator; /* between entries, and behind them all if it is a line's end */
};

extern const struct db_set log_search_sql;

/* Everything there is of the tenant. */
void log_search_init(struct log_search *s, uint32_t tenant_id);
void log_search_fini(struct log_search *s);
/* Adds entries as log_entry.h has them. *found_n: how many. */
enum err log_search_step(struct db *db, struct log_search *s, const struct log_step *step,
	struct str *out, uint64_t *found_n) __attribute__((warn_unused_result));
/* Where the next step goes on. */
uint64_t log_search_cursor(const struct log_search *s);

#endif
