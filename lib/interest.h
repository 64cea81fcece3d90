/*
 * What a Socket.IO socket of namespace "/" is sent, made here alone, for a new socket and whenever
 * its rights or its subscriptions change: from who one is, and what was asked for. Pure; any
 * thread.
 */
#ifndef CMDB_INTEREST_H
#define CMDB_INTEREST_H

#include "perm.h"
#include "subs.h"
#include "wire.h"

/* The streams that it is shown by right (stream.h), whatever comes to its own rooms (room.h), and
 * of subs what who may have. No one, not even who may do everything, gets all topics or rooms. *out
 * is the caller's to free with wire_interest_fini(). */
void interest_make(const struct principal *who, const struct subs *subs, uint16_t limit,
	struct wire_interest *out);

#endif
