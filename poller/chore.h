/*
 * A chore seen from inside: what the table of chores.c is made of, and what a chore at work has.
 * All of the chores' thread.
 *
 * A chore works in units (txn.h) by chore_unit(), which has the tail look when there were events in
 * it. Its statements are prepared when they are used, so that a right that is missing is its own
 * failure. One that has more to do than a turn's work says so by chore_goes_on() and ends: it gets
 * another turn, by the same claim, when the other chores have had theirs.
 */
#ifndef CMDB_CHORE_H
#define CMDB_CHORE_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "txn.h"

struct census_result;
struct chores;

struct chore {
	const char *name;                             /* its row in ws_chores */
	int64_t (*every_s)(const struct config *cfg); /* 0: never */
	enum err (*run)(struct chores *cs);
	/* Each host does it, without a claim, whenever its loop has given something for it:
	 * chores_give(). */
	bool is_given;
	/* Is there work to claim? Each poller asks, every time. NULL: always. */
	enum err (*look)(struct chores *cs, bool *has_work);
};

extern const struct chore chore_expired;   /* chore_expired.c: what is over goes */
extern const struct chore chore_log_index; /* chore_log_index.c: makes the index of logs */
extern const struct chore chore_offline;   /* chore_offline.c: devices that are silent */
extern const struct chore chore_stats;     /* chore_stats.c: what the census has found */

const struct config *chores_cfg(const struct chores *cs);
struct db *chores_db(const struct chores *cs);
_Atomic uint64_t *chores_figures(const struct chores *cs);
bool chores_is_stopping(struct chores *cs);
/* The last call of db failed: this is why the chore will have, although it goes on. */
void chores_note_why(struct chores *cs);
enum err chore_unit(struct chores *cs, enum err (*run)(struct txn *t, void *arg), void *arg)
	__attribute__((warn_unused_result));
void chore_goes_on(struct chores *cs);
/* What was given, which is the caller's; or NULL. */
struct census_result *chores_take(struct chores *cs);

#endif
