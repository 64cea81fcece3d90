/*
 * What is known of devices, and what they say besides lines (docs/http.md, section 9):
 *
 *   GET  /api/devices, /api/devices/{device}        logs:read
 *   POST /api/devices/{device}/heartbeat            logs:ingest
 *
 * What makes them known is in seen.h, what makes them offline in the poller (chore_offline.c).
 */
#ifndef CMDB_DEVICES_H
#define CMDB_DEVICES_H

#include "db.h"
#include "route.h"

extern const struct route devices_routes[];
extern const size_t devices_routes_n;
extern const struct db_set devices_sql;

void devices_list(struct ctx *ctx);
void devices_get(struct ctx *ctx);

#endif
