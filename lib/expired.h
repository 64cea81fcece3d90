/*
 * Rows that nobody needs any more once their time is over: tokens, answers kept for Idempotency-Key
 * and the like; a row of the table a kind. `cmdbctl events prune` removes them from cron, and
 * cmdb-poller where cron does not (poller/chores.h), each in chunks that are transactions of their
 * own. Any thread that owns a connection.
 */
#ifndef CMDB_EXPIRED_H
#define CMDB_EXPIRED_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "db.h"

struct expired_kind {
	const char *table; /* NULL ends the list */
	const struct db_stmt *count, *remove;
	int64_t (*keep_s)(const struct config *cfg); /* after that its time is over */
};

extern const struct expired_kind expired_kinds[];
extern const struct db_set expired_sql;

/* Both block. */
enum err expired_count(struct db *db, const struct expired_kind *kind, const struct config *cfg,
	uint64_t *n) __attribute__((warn_unused_result));
/* Removes `most` of them at most; *n: so many went. */
enum err expired_remove(struct db *db, const struct expired_kind *kind, const struct config *cfg,
	unsigned most, uint64_t *n) __attribute__((warn_unused_result));

#endif
