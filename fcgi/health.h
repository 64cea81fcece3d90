/*
 * GET /healthz (alive), /api/ws/health (ready) and /metrics (Prometheus, of this process: its pid
 * is a label).
 */
#ifndef CMDB_HEALTH_H
#define CMDB_HEALTH_H

#include "route.h"

extern const struct route health_routes[];
extern const size_t health_routes_n;

#endif
