#include "session_who.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sessions.h"

bool sock_is_main(const struct sock *k)
{
	return strcmp(k->nsp, "/") == 0;
}

uint32_t sock_tenant(const struct sock *k)
{
	return k->caller ? k->caller->tenant_id : 0;
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
