#include "session_who.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sessions.h"

/* ---- people ---- */

struct person *person_new(const struct ops_caller *c)
{
	struct person *p = xcalloc(1, sizeof(*p));

	p->refs = 1;
	p->tenant_id = c->tenant_id;
	p->user_id = c->user_id;
	p->apikey_id = c->apikey_id;
	p->expires_s = c->expires_s;
	p->username = slice_dup(c->username);
	p->jti = slice_dup(c->jti);
	return p;
}

struct person *person_ref(struct person *p)
{
	p->refs++;
	return p;
}

void person_put(struct person *p)
{
	if (!p || --p->refs)
		return;
	free(p->username);
	free(p->jti);
	free(p);
}

struct ops_caller person_caller(const struct person *p)
{
	if (!p)
		return (struct ops_caller){.username = {.p = ""}, .jti = {.p = ""}};
	return (struct ops_caller){
		.tenant_id = p->tenant_id,
		.user_id = p->user_id,
		.apikey_id = p->apikey_id,
		.expires_s = p->expires_s,
		.username = {.p = p->username, .len = strlen(p->username)},
		.jti = {.p = p->jti, .len = strlen(p->jti)},
	};
}

bool person_is(const struct person *p, const struct ops_caller *c)
{
	return p && p->tenant_id == c->tenant_id && p->user_id == c->user_id &&
	       p->apikey_id == c->apikey_id;
}

bool sock_is_main(const struct sock *k)
{
	return strcmp(k->nsp, "/") == 0;
}

uint32_t sock_tenant(const struct sock *k)
{
	return k->person ? k->person->tenant_id : 0;
}

/* ---- how many a user or an address has ---- */

struct tally {
	char *name;
	size_t n;
	UT_hash_handle hh;
};

static struct str tally_name(char kind, const char *name)
{
	struct str s = STR_INIT;

	str_addc(&s, kind);
	str_adds(&s, name);
	return s;
}

bool tally_add(struct sessions *ss, char kind, const char *name, int64_t max)
{
	struct str key = tally_name(kind, name);
	struct tally *t;
	bool has_room;

	HASH_FIND(hh, ss->tallies, key.p, key.len, t);
	has_room = !max || !t || t->n < (size_t)max;
	if (has_room && !t) {
		t = xcalloc(1, sizeof(*t));
		t->name = xstrdup(key.p);
		HASH_ADD_KEYPTR(hh, ss->tallies, t->name, key.len, t);
	}
	if (has_room)
		t->n++;
	str_fini(&key);
	return has_room;
}

void tally_drop(struct sessions *ss, char kind, const char *name)
{
	struct str key = tally_name(kind, name);
	struct tally *t;

	HASH_FIND(hh, ss->tallies, key.p, key.len, t);
	str_fini(&key);
	if (!t || --t->n)
		return;
	HASH_DEL(ss->tallies, t);
	free(t->name);
	free(t);
}

void tallies_free(struct sessions *ss)
{
	struct tally *t, *next;

	HASH_ITER (hh, ss->tallies, t, next) {
		HASH_DEL(ss->tallies, t);
		free(t->name);
		free(t);
	}
}
