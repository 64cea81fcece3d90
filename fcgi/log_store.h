/*
 * Entries as rows: of logs, and counted a minute and device in log_counts. Within a transaction;
 * blocks.
 *
 * Ids must be told apart by row, and MariaDB tells only the first of a statement: rows of one
 * INSERT ... VALUES have consecutive ids. So an array goes in by statements of 512, 256, .. 1 rows,
 * the fewest that make its number.
 */
#ifndef CMDB_LOG_STORE_H
#define CMDB_LOG_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "log_entry.h"
#include "seen.h"

/* Makes the statements, once, before threads. */
const struct db_set *log_store_sql(void);

/* Gives each entry its id; received_ms is set. Ids of rows of one statement are id_step apart
 * (@@auto_increment_increment). */
enum err log_store_rows(struct db *db, uint32_t tenant_id, struct log_entry *entries, size_t n,
	uint64_t id_step) __attribute__((warn_unused_result));
enum err log_store_counts(struct db *db, uint32_t tenant_id, const struct seen_list *seen)
	__attribute__((warn_unused_result));

#endif
