/*
 * POST /api/logs: what devices log (docs/http.md, section 9). One transaction: rows, counts,
 * devices, one event with all entries; so an array costs about what its rows cost.
 */
#ifndef CMDB_LOGS_H
#define CMDB_LOGS_H

#include "route.h"

extern const struct route logs_routes[];
extern const size_t logs_routes_n;

#endif
