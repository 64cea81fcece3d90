#include "caller.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "perm.h"

struct caller *caller_new(const struct caller_view *v)
{
	struct caller *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->tenant_id = v->tenant_id;
	c->user_id = v->user_id;
	c->apikey_id = v->apikey_id;
	c->expires_s = v->expires_s;
	c->username = slice_dup(v->username);
	c->jti = slice_dup(v->jti);
	return c;
}

struct caller *caller_ref(struct caller *c)
{
	c->refs++;
	return c;
}

void caller_unref(struct caller *c)
{
	if (!c || --c->refs)
		return;
	free(c->username);
	free(c->jti);
	free(c);
}

struct caller_view caller_view(const struct caller *c)
{
	if (!c)
		return (struct caller_view){.username = slice_of(""), .jti = slice_of("")};
	return (struct caller_view){
		.tenant_id = c->tenant_id,
		.user_id = c->user_id,
		.apikey_id = c->apikey_id,
		.expires_s = c->expires_s,
		.username = slice_of(c->username),
		.jti = slice_of(c->jti),
	};
}

struct caller_view caller_of(const struct principal *p)
{
	return (struct caller_view){
		.tenant_id = p->tenant_id,
		.user_id = p->user_id,
		.apikey_id = p->apikey_id,
		.expires_s = p->expires_at_s,
		.username = slice_of(p->username),
		.jti = slice_of(p->jti),
	};
}

uint64_t caller_number(const struct caller_view *v)
{
	if (v->apikey_id)
		return v->apikey_id << 1 | 1;
	return v->user_id << 1;
}

bool caller_is_same(const struct caller_view *a, const struct caller_view *b)
{
	return a->tenant_id == b->tenant_id && a->user_id == b->user_id &&
	       a->apikey_id == b->apikey_id;
}

bool caller_is_same_token(const struct caller_view *a, const struct caller_view *b)
{
	return caller_is_same(a, b) && slice_same(a->jti, b->jti);
}

void caller_put(struct str *s, const struct caller_view *v)
{
	bytes_put(s, v->tenant_id, 4);
	bytes_put(s, v->user_id, 8);
	bytes_put(s, v->apikey_id, 8);
	bytes_put(s, (uint64_t)v->expires_s, 8);
	bytes_put_slice(s, v->username);
	bytes_put_slice(s, v->jti);
}

struct caller_view caller_get(struct bytes *b)
{
	struct caller_view v;
	uint64_t expires_s;

	v.tenant_id = bytes_u32(b);
	v.user_id = bytes_u64(b);
	v.apikey_id = bytes_u64(b);
	expires_s = bytes_u64(b);
	if (expires_s > CLOCK_S_MAX)
		b->is_bad = true;
	v.expires_s = b->is_bad ? 0 : (int64_t)expires_s;
	v.username = bytes_text(b);
	v.jti = bytes_text(b);
	return v;
}
