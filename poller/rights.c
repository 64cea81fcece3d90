#include "rights.h"

#include <stdlib.h>

#include <uthash.h>

#include "mem.h"

struct rights {
	unsigned refs;
	struct str bytes;
	struct principal lists; /* nothing else of it */
	UT_hash_handle hh;      /* by bytes */
};

struct rights *rights_get(struct rights_set *set, struct slice from)
{
	struct bytes b = bytes_of(from.p, from.len);
	struct rights *r;

	HASH_FIND(hh, set->all, from.p, from.len, r);
	if (r) {
		r->refs++;
		return r;
	}
	r = xcalloc(1, sizeof(*r));
	if (!perm_rights_get(&b, &r->lists) || !bytes_are_done(&b)) {
		perm_rights_fini(&r->lists);
		free(r);
		return NULL;
	}
	r->refs = 1;
	str_add(&r->bytes, from.p, from.len);
	HASH_ADD_KEYPTR(hh, set->all, r->bytes.p, r->bytes.len, r);
	return r;
}

void rights_put(struct rights_set *set, struct rights *r)
{
	if (!r || --r->refs)
		return;
	HASH_DEL(set->all, r);
	perm_rights_fini(&r->lists);
	str_fini(&r->bytes);
	free(r);
}

struct slice rights_bytes(const struct rights *r)
{
	return r ? (struct slice){r->bytes.p, r->bytes.len} : (struct slice){"", 0};
}

struct principal rights_of(const struct rights *r, const struct caller_view *c)
{
	struct principal who = r->lists;

	who.tenant_id = c->tenant_id;
	who.user_id = c->user_id;
	who.apikey_id = c->apikey_id;
	return who;
}
