/*
 * What "_auth" events tell: that a token, a user or an API key was revoked, or that a user or key
 * may more than before. And the last ones of them: whoever was found good just before a revocation
 * may come in just after it, and is asked about here.
 *
 * Payloads: {"revoke":"jti","jti":"..."}, {"revoke":"user","user_id":7},
 * {"revoke":"apikey","apikey_id":7}, and the last two with "changed" in the place of "revoke".
 *
 * One thread, the loop's; no I/O.
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

/* The payload of an "_auth" event. false: it tells of nothing. */
bool revoked_parse(struct revoked *r, const char *json, size_t len);
/* Is it c's token, user or key? */
bool revoked_concerns(const struct revoked *r, const struct caller_view *c);

/* A ring of the last ones; {0} is an empty one. */
struct revocations {
	struct revoked last[REVOKED_N];
	size_t n; /* ever */
};

void revocations_add(struct revocations *rs, const struct revoked *r, int64_t now_ms);
/* Does one at or after since_ms concern c? */
enum revoked_answer { REVOKED_NO, REVOKED_YES, REVOKED_UNKNOWN /* more than are remembered */ };
enum revoked_answer revocations_find(
	const struct revocations *rs, const struct caller_view *c, int64_t since_ms);

#endif
