/*
 * What has lately been revoked. A request whose caller was found good just before a revocation may
 * be parked just after it: the loop asks here. The loop's thread only; no I/O.
 */
#ifndef CMDB_REVOKED_H
#define CMDB_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "caller.h"
#include "wire.h"

#define REVOKED_N 256

struct revoked {
	enum wire_revoke what;
	uint64_t id; /* of the user or API key */
	char jti[33];
	int64_t at_ms;
};

/* A ring of the last ones; {0} is an empty one. */
struct revocations {
	struct revoked last[REVOKED_N];
	size_t n; /* ever */
};

/* Borrowed until the next call. */
const struct revoked *revocations_add(struct revocations *rs, enum wire_revoke what, uint64_t id,
	struct slice jti, int64_t now_ms);
bool revoked_is(const struct revoked *r, const struct caller_view *c);
/* Was c revoked at or after since_ms? */
enum revoked_answer { REVOKED_NO, REVOKED_YES, REVOKED_UNKNOWN /* more than are remembered */ };
enum revoked_answer revocations_find(
	const struct revocations *rs, const struct caller_view *c, int64_t since_ms);

#endif
