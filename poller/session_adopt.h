/*
 * The sessions of before the start, taken up with their clocks going on. Until they are, nobody is
 * let in (hub_is_open()). The loop thread's.
 */
#ifndef CMDB_SESSION_ADOPT_H
#define CMDB_SESSION_ADOPT_H

struct sessions;

/* Once the epoch is known: takes up the sessions of before the start. */
void sessions_adopt(struct sessions *ss);
void sessions_adopted(struct sessions *ss); /* they are here: requests may come */

#endif
