/*
 * The index of logs as it stands in the database (schema: log_index and what follows; what it is
 * for: lib/log_index.h), and the statements that make it. The chores' thread's; blocks.
 *
 * A block may be made only when no line can come into it any more, for nobody would look for one
 * there. Two things prove it, both found by reading its rows with a lock that does not wait: a
 * block that has a line of each of its ids is full, and a primary key takes no other; and one with
 * gaps whose ids were given away long ago (logs.index_settle_s) and that nobody has locked. For an
 * id is given away in the statement that inserts its row, and from then to the end of its
 * transaction the row is locked. A block that has gaps but is not old is marked open, which is the
 * same as not being in the index: searches look at all of its lines.
 *
 * Who writes an id of his own into a gap of an old block, by SQL, hides that line from keywords.
 */
#ifndef CMDB_LOG_BLOCKS_H
#define CMDB_LOG_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "log_index.h"
#include "txn.h"

struct log_block {
	uint64_t block;
	bool is_waited_for; /* some of its lines are in transactions that are not over */
	unsigned lines_n;
	bool is_open;
	int64_t from_ms, to_ms;
	uint64_t last_id; /* of its lines, and when that came */
	int64_t last_ms;
	uint8_t signature[LOG_SIGNATURE_SIZE];
};

struct log_index_state {
	unsigned version;
	uint64_t next_block, next_super, last_id;
	int64_t last_ms;
	bool holds; /* it is of the lines there are */
};

enum err log_blocks_state(struct db *db, struct log_index_state *s)
	__attribute__((warn_unused_result));
/* The newest id there is; 0: none. */
enum err log_blocks_newest(struct db *db, uint64_t *id) __attribute__((warn_unused_result));
/* The first id from this on; UINT64_MAX: none. */
enum err log_blocks_first_from(struct db *db, uint64_t from, uint64_t *id)
	__attribute__((warn_unused_result));
/* Reads the lines of b->block and makes the rest of b of them. */
enum err log_blocks_read(struct db *db, struct log_block *b) __attribute__((warn_unused_result));
/* Are there lines among these ids that are not committed? */
enum err log_blocks_is_locked(struct db *db, uint64_t from, uint64_t to, bool *is_locked)
	__attribute__((warn_unused_result));
/* The first block from this on that there is; UINT64_MAX: none. */
enum err log_blocks_next(struct db *db, uint64_t from, uint64_t *block)
	__attribute__((warn_unused_result));
/* Up to `most` blocks below `below` that are open, the first ones. */
enum err log_blocks_open(struct db *db, uint64_t below, uint64_t *blocks, size_t most, size_t *n)
	__attribute__((warn_unused_result));

/* ---- in a unit of work ---- */

/* Takes away what there is, in steps: until it is all gone (*is_gone) nobody uses it. */
enum err log_blocks_void(struct db *db) __attribute__((warn_unused_result));
enum err log_blocks_clear(struct db *db, bool *is_gone) __attribute__((warn_unused_result));
enum err log_blocks_begin(struct db *db) __attribute__((warn_unused_result));
enum err log_blocks_put(struct db *db, const struct log_block *b)
	__attribute__((warn_unused_result));
/* Moves the mark on. *is_ours false: it is elsewhere by now, somebody else is at it. */
enum err log_blocks_move(struct db *db, uint64_t from, const struct log_index_state *to,
	bool *is_ours) __attribute__((warn_unused_result));
/* Turns the signatures of a superblock that has no open blocks; from: the mark, behind which there
 * are no blocks before those of super. */
enum err log_blocks_turn(struct db *db, uint64_t from, uint64_t super, bool *is_ours)
	__attribute__((warn_unused_result));

#endif
