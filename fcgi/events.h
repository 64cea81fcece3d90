/*
 * GET /events (docs/http.md, section 3): the long-poll and the event stream, and the addresses that
 * clients of a WebSocket know, which answer the same. A worker reads and checks the request; park.c
 * holds it.
 */
#ifndef CMDB_EVENTS_H
#define CMDB_EVENTS_H

#include "route.h"

extern const struct route events_routes[];
extern const size_t events_routes_n;

#endif
