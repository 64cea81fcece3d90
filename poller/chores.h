/*
 * Chores: what cmdb-poller changes in the database by itself, from time to time. A chore is a row
 * of the table in chores.c: its name, which has a row in ws_chores, how often, and what it does, as
 * units of work (chore.h). One thread, one connection, one chore after the other. The events of
 * what it has committed are looked for at once.
 *
 * Of the pollers of several hosts one does it: whoever moves the row's ran_at on, which is its
 * claim. A host that dies over a chore has it done again when the next time has come, so a chore
 * says no more than what is still to be done.
 *
 * What cannot be done is logged when its reason is another one, counted, and tried again; nothing
 * else waits for it. The thread's session waits a second for locks, and a chore that has much to do
 * does it in steps between which it may be stopped.
 */
#ifndef CMDB_CHORES_H
#define CMDB_CHORES_H

#include <stdint.h>

#include "config.h"

struct census_result;
struct chores;
struct tail;

/* figures and tail are borrowed; of the first there are FIGURE_N. Does not start the thread. */
struct chores *chores_new(const struct config *cfg, _Atomic uint64_t *figures, struct tail *tail);
void chores_run(struct chores *cs);
/* What the loop has counted, to be published now; takes it. What was given before and is not taken
 * up yet is dropped: it is old by now. */
void chores_give(struct chores *cs, struct census_result *found);
void chores_stop(struct chores *cs); /* once the step at hand is done */
void chores_free(struct chores *cs); /* takes NULL */

#endif
