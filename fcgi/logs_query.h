/*
 * GET /api/logs (docs/http.md, section 9): a page of lines, or all that there are, as lines of JSON
 * (park_export.h).
 */
#ifndef CMDB_LOGS_QUERY_H
#define CMDB_LOGS_QUERY_H

#include "route.h"

extern const struct route logs_query_routes[];
extern const size_t logs_query_routes_n;

#endif
