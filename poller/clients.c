#include "clients.h"

#include <stdio.h>
#include <stdlib.h>

#include <uthash.h>

#include "caller.h"
#include "mem.h"
#include "str.h"

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

bool tally_add(struct clients *all, char kind, const char *name, int64_t max)
{
	struct str key = tally_name(kind, name);
	struct tally *t;
	bool has_room;

	HASH_FIND(hh, all->tallies, key.p, key.len, t);
	has_room = !max || !t || t->n < (size_t)max;
	if (has_room && !t) {
		t = xcalloc(1, sizeof(*t));
		t->name = xstrdup(key.p);
		HASH_ADD_KEYPTR(hh, all->tallies, t->name, key.len, t);
	}
	if (has_room)
		t->n++;
	str_fini(&key);
	return has_room;
}

void tally_drop(struct clients *all, char kind, const char *name)
{
	struct str key = tally_name(kind, name);
	struct tally *t;

	HASH_FIND(hh, all->tallies, key.p, key.len, t);
	str_fini(&key);
	if (!t || --t->n)
		return;
	HASH_DEL(all->tallies, t);
	free(t->name);
	free(t);
}

static char caller_name(const struct caller *c, char name[24])
{
	bool is_user = c && c->user_id;

	if (!is_user && (!c || !c->apikey_id))
		return '\0';
	snprintf(name, 24, "%llu", (unsigned long long)(is_user ? c->user_id : c->apikey_id));
	return is_user ? 'u' : 'k';
}

bool tally_add_caller(struct clients *all, const struct caller *c, int64_t max)
{
	char name[24], kind = caller_name(c, name);

	return !kind || tally_add(all, kind, name, max);
}

void tally_drop_caller(struct clients *all, const struct caller *c)
{
	char name[24], kind = caller_name(c, name);

	if (kind)
		tally_drop(all, kind, name);
}

void clients_fini(struct clients *all)
{
	struct tally *t, *next;

	HASH_ITER (hh, all->tallies, t, next) {
		HASH_DEL(all->tallies, t);
		free(t->name);
		free(t);
	}
}

size_t clients_n(const struct clients *all)
{
	return all->held_n + (all->sessions_n ? all->sessions_n(all->sessions) : 0);
}

bool clients_make_room(struct clients *all, int64_t max)
{
	while (clients_n(all) >= (size_t)max)
		if (!all->evict || !all->evict(all->sessions))
			return false;
	return true;
}

void tally_caller_name(const struct caller *c, char name[TALLY_NAME_SIZE])
{
	char id[24], kind = caller_name(c, id);

	snprintf(name, TALLY_NAME_SIZE, "%s%s",
		kind == 'u' ? "user:"
		: kind      ? "apikey:"
			    : "",
		kind ? id : "");
}
