/* Whose sessions are, how many they have, and what they want. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define JOINED_MAX 64 /* rooms that a socket is in by command */
#define ROOM_MAX 128  /* bytes of one's name, as in ws_events */

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

/* ---- what it wants ---- */

void session_set_group(struct session *s, struct group *g)
{
	if (s->group == g)
		return;
	s->group->waiters_n--;
	s->group = g;
	g->waiters_n++;
	if (s->poll)
		wait_regroup(s->poll, g);
}

bool session_set_interest(struct session *s, struct slice interest)
{
	struct wire_interest want;
	struct str key = STR_INIT;
	struct group *g;

	if (!interest.len) {
		session_set_group(s, s->hub->sessions->nothing);
		return true;
	}
	if (!wire_interest_get(interest.p, interest.len, &want))
		return false;
	for (size_t i = 0; i < s->joined.n; i++)
		strlist_add(&want.rooms, s->joined.v[i], strlen(s->joined.v[i]));
	if (s->answer_packets && want.limit > s->answer_packets)
		want.limit = s->answer_packets;
	wire_interest_put(&key, &want);
	wire_interest_fini(&want);
	g = group_get(s->hub, key.p, key.len);
	str_fini(&key);
	if (!g)
		return false;
	session_set_group(s, g);
	return true;
}

static bool change_rooms(struct session *s, const char *room, bool joins)
{
	struct wire_interest want;
	struct str key = STR_INIT;
	struct group *g;
	size_t i;

	if (strlist_has(&s->group->want.rooms, room) == joins ||
		!wire_interest_get(s->group->key, s->group->key_len, &want))
		return false;
	if (joins) {
		strlist_add(&want.rooms, room, strlen(room));
	} else {
		for (i = 0; strcmp(want.rooms.v[i], room) != 0; i++)
			;
		free(want.rooms.v[i]);
		want.rooms.v[i] = want.rooms.v[--want.rooms.n];
	}
	wire_interest_put(&key, &want);
	wire_interest_fini(&want);
	g = group_get(s->hub, key.p, key.len);
	str_fini(&key);
	session_set_group(s, g);
	return true;
}

bool session_join(struct session *s, const char *room)
{
	if (s->joined.n == JOINED_MAX || strlen(room) > ROOM_MAX || !change_rooms(s, room, true))
		return false;
	strlist_add(&s->joined, room, strlen(room));
	store_session(s);
	return true;
}

bool session_unjoin(struct session *s, const char *room)
{
	if (!change_rooms(s, room, false))
		return false;
	for (size_t i = s->joined.n; i-- > 0;) {
		if (strcmp(s->joined.v[i], room) != 0)
			continue;
		free(s->joined.v[i]);
		s->joined.v[i] = s->joined.v[--s->joined.n];
	}
	store_session(s);
	return true;
}
