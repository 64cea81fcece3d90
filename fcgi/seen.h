/*
 * Devices of which something has come, in the transaction that stores it: they are online and were
 * seen now. Most have been seen a moment ago, and then their row is only looked at, so that
 * requests of one device do not wait for each other; else it is locked, in order of the ids, and
 * what has changed of it is told. Blocks.
 */
#ifndef CMDB_SEEN_H
#define CMDB_SEEN_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "device.h"
#include "log_entry.h"

enum seen_state { SEEN_NEW, SEEN_STALE, SEEN_FRESH };

struct seen {
	struct slice id; /* borrowed */
	uint32_t lines_n;
	enum seen_state state;
};

struct seen_list {
	struct seen *v; /* in order of the ids */
	size_t n;
	int64_t now_ms;   /* by the database's clock: one for all hosts */
	uint64_t id_step; /* of this session: @@auto_increment_increment */
	uint64_t session; /* its number: no other of this time has it */
};

extern const struct db_set seen_sql;

/* The devices of entries, each once. */
void seen_of(struct seen_list *seen, const struct log_entry *entries, size_t n);
void seen_fini(struct seen_list *seen);
/* Finds all but ids and lines; locks nothing. */
enum err seen_look(struct db *db, uint32_t tenant_id, struct seen_list *seen)
	__attribute__((warn_unused_result));
/* Writes down that they were seen, and has events of t tell what is new. */
enum err seen_touch(struct txn *t, uint32_t tenant_id, const struct seen_list *seen)
	__attribute__((warn_unused_result));

#endif
