/*
 * Which ids of logs a search has to look at: all, but for those that the index of lines
 * (lib/log_index.h) says have none of what is wanted. Where it is not made yet, behind, or not
 * there at all, everything is looked at.
 */
#ifndef CMDB_LOG_CANDIDATES_H
#define CMDB_LOG_CANDIDATES_H

#include "log_search.h"

struct id_range {
	uint64_t low, high; /* both included */
};

struct log_candidates;

extern const struct db_set log_candidates_sql;

/* Borrows both, for one step. */
struct log_candidates *log_candidates_new(struct db *db, const struct log_search *s);
void log_candidates_free(struct log_candidates *c);
/* Narrows r, whose near end is the cursor, to the next stretch that is to be looked at. *is_empty:
 * there is none. Ranges asked for come in the order of the search. */
enum err log_candidates_next(struct log_candidates *c, struct id_range *r, bool *is_empty)
	__attribute__((warn_unused_result));

#endif
