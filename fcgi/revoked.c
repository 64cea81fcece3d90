#include "revoked.h"

#include <string.h>

const struct revoked *revocations_add(struct revocations *rs, enum wire_revoke what, uint64_t id,
	struct slice jti, int64_t now_ms)
{
	struct revoked *r = &rs->last[rs->n++ % REVOKED_N];

	*r = (struct revoked){.what = what, .id = id, .at_ms = now_ms};
	if (jti.len < sizeof(r->jti))
		memcpy(r->jti, jti.p, jti.len);
	return r;
}

bool revoked_is(const struct revoked *r, const struct caller_view *c)
{
	switch (r->what) {
	case WIRE_REVOKE_USER:
		return r->id != 0 && c->user_id == r->id;
	case WIRE_REVOKE_APIKEY:
		return r->id != 0 && c->apikey_id == r->id;
	case WIRE_REVOKE_JTI:
		return r->jti[0] && slice_is(c->jti, r->jti);
	case WIRE_REVOKE_ALL:
	case WIRE_MORE_USER:
	case WIRE_MORE_APIKEY:
		break;
	}
	return false;
}

enum revoked_answer revocations_find(
	const struct revocations *rs, const struct caller_view *c, int64_t since_ms)
{
	size_t n = rs->n < REVOKED_N ? rs->n : REVOKED_N;

	for (size_t i = 1; i <= n; i++) {
		const struct revoked *r = &rs->last[(rs->n - i) % REVOKED_N];

		if (r->at_ms < since_ms)
			return REVOKED_NO;
		if (revoked_is(r, c))
			return REVOKED_YES;
	}
	return n == REVOKED_N ? REVOKED_UNKNOWN : REVOKED_NO;
}
