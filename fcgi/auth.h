/*
 * /api/v1/auth: login, refresh, logout, me (docs/http.md, section 2). Handlers run on
 * worker threads and keep their own transactions, because a failed login must be counted.
 *
 * A login begins a family of refresh tokens. Each is used once and gives the next; one that comes a
 * second time was stolen, or its thief was faster, so the family ends: its refresh tokens and the
 * access tokens given out with them. All that touches a family holds the lock of its user's row,
 * so that no token can be added to a family while it is being revoked.
 */
#ifndef CMDB_AUTH_H
#define CMDB_AUTH_H

#include "route.h"

extern const struct route auth_routes[];
extern const size_t auth_routes_n;

#endif
