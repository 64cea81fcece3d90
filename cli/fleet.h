/*
 * A made-up fleet of devices that log: some kinds, each with its own processes, messages, tags and
 * shares of levels; a few devices say much and most say little; now and then one has a burst of
 * trouble. What it says follows from the seed alone, times aside. No I/O; one thread a fleet.
 */
#ifndef CMDB_CLI_FLEET_H
#define CMDB_CLI_FLEET_H

#include <stdint.h>

#include "str.h"

struct fleet;

/* Of devices_n devices those whose number is `part` modulo parts_n, at least one. Never NULL. */
struct fleet *fleet_new(uint64_t seed, unsigned devices_n, unsigned part, unsigned parts_n);
void fleet_free(struct fleet *f); /* takes NULL */
/* Adds the next entry, as POST /api/logs takes it, said at that time. */
void fleet_next(struct fleet *f, int64_t wall_ms, struct str *out);

#endif
