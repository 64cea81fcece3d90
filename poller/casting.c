#include "casting.h"

#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "cast.h"
#include "conn.h"
#include "errand.h"
#include "group.h"
#include "hub.h"
#include "log.h"
#include "room.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "sessions.h"
#include "shared.h"

struct casting {
	struct errand errand;
	uint32_t tenant_id;
	char *room, *except; /* "": all, nobody */
	struct shared *args; /* a loan */
	uint64_t sockets_n, skipped_n;
};

static struct casting *casting_of(struct errand *e)
{
	return (struct casting *)e;
}

static bool casting_is_for(const struct casting *c, const struct session *s, const struct sock *k)
{
	return (!c->tenant_id || sock_tenant(k) == c->tenant_id) &&
	       (!c->room[0] || strlist_has(&s->group->want.rooms, c->room)) &&
	       strcmp(k->id, c->except) != 0;
}

static void casting_visit(struct errand *e, struct session *s)
{
	struct casting *c = casting_of(e);
	struct sock *k = session_sock(s, (struct slice){NSP_MAIN, sizeof(NSP_MAIN) - 1});

	if (s->state != SESSION_JOINED || !k || !casting_is_for(c, s, k))
		return;
	if (s->queue.n >= CAST_QUEUE_MAX || !session_has_room(s, c->args->len)) {
		c->skipped_n++;
		return;
	}
	c->sockets_n++;
	if (session_emit_shared(s, k, c->args, session_cursor(s)))
		session_flush(s);
}

static enum wire_answer casting_finish(struct errand *e, struct str *json)
{
	str_addf(json, "{\"sockets\":%llu,\"skipped\":%llu}",
		(unsigned long long)casting_of(e)->sockets_n,
		(unsigned long long)casting_of(e)->skipped_n);
	return WIRE_ANSWER_OK;
}

static void casting_fini(struct errand *e)
{
	struct casting *c = casting_of(e);

	shared_return(c->args);
	free(c->room);
	free(c->except);
}

static const struct errand_kind casting_kind = {
	.visit = casting_visit, .finish = casting_finish, .fini = casting_fini, .goes_on = true};

static struct errand *casting_new(struct hub *hub, uint32_t tenant_id, struct slice room,
	struct slice except, struct slice args)
{
	struct casting *c = casting_of(errand_new(hub, &casting_kind, sizeof(*c)));

	c->tenant_id = tenant_id;
	c->room = slice_dup(room);
	c->except = slice_dup(except);
	c->args = shared_get(&hub->pool, args);
	return &c->errand;
}

/* The sessions in its room; more than CAST_AT_ONCE: that there are more. By number: what is told to
 * one may end it, or have it be another group's. */
static size_t casting_members(const struct casting *c, uint32_t nums[CAST_AT_ONCE])
{
	const struct group *g;
	const struct session *s;
	size_t n = 0;

	for (size_t i = 0; (g = group_of_room(c->errand.hub, c->tenant_id, c->room, i)); i++) {
		TAILQ_FOREACH (s, &g->members, member_entry) {
			if (n == CAST_AT_ONCE)
				return n + 1;
			nums[n++] = s->num;
		}
	}
	return n;
}

/* false: they are too many. */
static bool casting_at_once(struct casting *c, struct str *json)
{
	uint32_t nums[CAST_AT_ONCE];
	size_t n = c->room[0] && c->tenant_id ? casting_members(c, nums) : SIZE_MAX;

	if (n > CAST_AT_ONCE)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct session *s = sessions_at(c->errand.hub->sessions, nums[i]);

		if (s)
			casting_visit(&c->errand, s);
	}
	casting_finish(&c->errand, json);
	return true;
}

static enum wire_answer casting_look(struct ask *a, struct conn *c, const struct wire_frame *f)
{
	const char *field, *why;

	if (!f->cast.tenant_id && c->role != WIRE_ROLE_CLI)
		return WIRE_ANSWER_FORBIDDEN;
	if (!cast_is_good(f->cast.args, &field, &why))
		ask_problem(a, field, "%s", why);
	if (f->cast.room.len && !room_is_name(f->cast.room.p, f->cast.room.len))
		ask_problem(a, "room", "is no room's name");
	return a->problems.len ? WIRE_ANSWER_BAD : WIRE_ANSWER_OK;
}

void cast_begin(struct conn *c, const struct wire_frame *f)
{
	struct ask a = {.hub = c->hub};

	a.what = casting_look(&a, c, f);
	if (a.what == WIRE_ANSWER_OK)
		a.errand = casting_new(
			c->hub, f->cast.tenant_id, f->cast.room, f->cast.except, f->cast.args);
	if (a.errand && casting_at_once(casting_of(a.errand), &a.json)) {
		errand_free(a.errand);
		a.errand = NULL;
	}
	ask_end(&a, f->cast.ticket ? c : NULL, f->cast.ticket);
}

void cast_carry(struct hub *hub, uint32_t tenant_id, const char *room, struct slice args)
{
	static const struct slice nobody = {"", 0};
	const char *field, *why;
	struct errand *e;

	if (!cast_is_good(args, &field, &why) || (room[0] && !room_is_name(room, strlen(room))))
		return;
	e = casting_new(hub, tenant_id, slice_of(room), nobody, args);
	/* Not at once, however few: in the order in which they come. */
	if (errand_add(e, NULL, 0))
		return;
	log_warn("hosts", "too much to do at once: a broadcast of another host is not sent");
	errand_free(e);
}
