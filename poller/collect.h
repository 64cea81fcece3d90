/*
 * What a waiter is shown of old events, one after the other, as it walks through them (wait.h):
 * what its views match and it has not been shown yet goes into its partial body. The loop thread's.
 */
#ifndef CMDB_COLLECT_H
#define CMDB_COLLECT_H

#include <stdbool.h>

struct body;
struct record;
struct start;
struct waiter;

/* Adds what the waiter is to be shown of the record, and moves its cursor there. false: there is no
 * room. */
bool collect_record(struct waiter *w, const struct record *r);
/* Is what came out for one who began at a that of who begins at b? A rate that was not reached does
 * not matter. */
bool collect_is_alike(const struct start *a, const struct start *b, const struct body *made);

#endif
