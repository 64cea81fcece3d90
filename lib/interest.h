/*
 * What a principal gets without asking. A Socket.IO socket's interest is the same whether
 * cmdb-fcgi makes it for a new socket or cmdb-poller for one whose rights have changed. Pure; any
 * thread.
 */
#ifndef CMDB_INTEREST_H
#define CMDB_INTEREST_H

#include "perm.h"
#include "wire.h"

/* Adds the rooms that one is in by being who one is: user:<id> (not for an API key), role:<name>,
 * department:<name>. */
void interest_add_own_rooms(const struct principal *who, struct strlist *rooms);
/* All that a socket of namespace "/" is sent: the streams that it is shown by right (stream.h), and
 * whatever comes to its own rooms. No one, not even who may do everything, gets all topics or
 * rooms. *out is the caller's to free with wire_interest_fini(). */
void interest_of_socket(const struct principal *who, uint16_t limit, struct wire_interest *out);

#endif
