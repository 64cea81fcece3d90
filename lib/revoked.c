#include "revoked.h"

#include <string.h>

#include "json.h"

static const struct {
	const char *key, *word, *id_key;
	enum wire_revoke what;
} kinds[] = {
	{"revoke", "jti", NULL, WIRE_REVOKE_JTI},
	{"revoke", "user", "user_id", WIRE_REVOKE_USER},
	{"revoke", "apikey", "apikey_id", WIRE_REVOKE_APIKEY},
	{"changed", "user", "user_id", WIRE_MORE_USER},
	{"changed", "apikey", "apikey_id", WIRE_MORE_APIKEY},
};

static bool has_word(struct json_object *o, const char *key, const char *word)
{
	const char *said = json_get_str(o, key);

	return said && strcmp(said, word) == 0;
}

/* Whose it is. */
static bool read_name(struct revoked *r, struct json_object *o, const char *id_key)
{
	const char *jti = json_get_str(o, "jti");

	if (id_key)
		return (r->id = json_object_get_uint64(json_get(o, id_key))) != 0;
	if (!jti || !*jti || strlen(jti) >= sizeof(r->jti))
		return false;
	memcpy(r->jti, jti, strlen(jti) + 1);
	return true;
}

bool revoked_parse(struct revoked *r, const char *json, size_t len)
{
	const char *why;
	size_t at;
	struct json_object *o = json_parse(json, len, &why, &at);
	bool is_found = false;

	*r = (struct revoked){0};
	for (size_t i = 0; !is_found && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!has_word(o, kinds[i].key, kinds[i].word))
			continue;
		r->what = kinds[i].what;
		is_found = read_name(r, o, kinds[i].id_key);
	}
	json_object_put(o);
	return is_found;
}

bool revoked_concerns(const struct revoked *r, const struct caller_view *c)
{
	switch (r->what) {
	case WIRE_REVOKE_USER:
	case WIRE_MORE_USER:
		return r->id != 0 && c->user_id == r->id;
	case WIRE_REVOKE_APIKEY:
	case WIRE_MORE_APIKEY:
		return r->id != 0 && c->apikey_id == r->id;
	case WIRE_REVOKE_JTI:
		return r->jti[0] && slice_is(c->jti, r->jti);
	case WIRE_REVOKE_ALL:
		break;
	}
	return false;
}

void revocations_add(struct revocations *rs, const struct revoked *r, int64_t now_ms)
{
	struct revoked *last = &rs->last[rs->n++ % REVOKED_N];

	*last = *r;
	last->at_ms = now_ms;
}

enum revoked_answer revocations_find(
	const struct revocations *rs, const struct caller_view *c, int64_t since_ms)
{
	size_t n = rs->n < REVOKED_N ? rs->n : REVOKED_N;

	for (size_t i = 1; i <= n; i++) {
		const struct revoked *r = &rs->last[(rs->n - i) % REVOKED_N];

		if (r->at_ms < since_ms)
			return REVOKED_NO;
		if (revoked_concerns(r, c))
			return REVOKED_YES;
	}
	return n == REVOKED_N ? REVOKED_UNKNOWN : REVOKED_NO;
}
