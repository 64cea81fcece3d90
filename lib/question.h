/*
 * The questions that a poller answers by name (ASK, wire.h): who may put each. Both programs read
 * this table: cmdb-fcgi asks nothing for whom lacks the permission, and the poller answers no peer
 * that it is not for. What a question's answer is, poller/ask.c has a row for. Any thread.
 *
 * To add one: a row here and one in poller/ask.c; for HTTP a route that has its name (fcgi/ws.c).
 */
#ifndef CMDB_QUESTION_H
#define CMDB_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "wire.h"

struct question {
	const char *name;
	const char *perm; /* of the person it is asked for; cmdbctl's has the whole host */
	unsigned roles;   /* of peers, QUESTION_OF() each */
};
#define QUESTION_OF(role) (1u << (role))

const struct question *question_find(struct slice name); /* NULL: there is none */
/* May a peer of this role put it about this tenant? All tenants (0) are cmdbctl's alone. */
bool question_is_for(const struct question *q, enum wire_role role, uint32_t tenant_id);

#endif
