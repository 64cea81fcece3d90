/*
 * The routes that look after live connections: what the poller knows of them, by its named
 * questions (question.h), for who may ask them, and what it is to tell them. Each stands under /ws/
 * and under /api/ws/.
 */
#ifndef CMDB_WS_H
#define CMDB_WS_H

#include "route.h"

extern const struct route ws_routes[];
extern const size_t ws_routes_n;

#endif
