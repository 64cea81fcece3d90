#include "session_wants.h"

#include <string.h>

#include "clients.h"
#include "figure.h"
#include "group.h"
#include "hub.h"
#include "interest.h"
#include "observer.h"
#include "rights.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_show.h"
#include "session_store.h"
#include "sessions.h"
#include "view.h"
#include "wait.h"

static struct sock *main_sock(const struct session *s)
{
	return session_sock((struct session *)s, (struct slice){NSP_MAIN, 1});
}

static struct principal who_of(const struct session *s)
{
	struct caller_view c = caller_view(main_sock(s)->caller);

	return rights_of(s->rights, &c);
}

static void set_group(struct session *s, struct group *g)
{
	if (s->group == g)
		return;
	session_enter(s, g);
	if (s->poll)
		wait_regroup(s->poll, g);
}

/* ---- views that look through texts ---- */

static bool is_costly(const struct sub *sub)
{
	return sub->type == SUB_VIEW && !sub->is_paused &&
	       view_is_costly(stream_find(sub->name.p), sub->view, sub->filter);
}

void session_uncount(struct session *s)
{
	if (s->costly[0])
		tally_drop(&s->hub->clients, 'F', s->costly);
	s->costly[0] = '\0';
}

/* What is there is counted, whatever the limit. */
static void session_count(struct session *s)
{
	bool has_costly = false;

	for (size_t i = 0; i < s->subs.n; i++)
		has_costly = has_costly || is_costly(&s->subs.v[i]);
	if (has_costly == (s->costly[0] != '\0'))
		return;
	session_uncount(s);
	if (!has_costly)
		return;
	tally_caller_name(main_sock(s)->caller, s->costly);
	if (s->costly[0])
		tally_add(&s->hub->clients, 'F', s->costly, 0);
}

/* May it have one more? */
static bool may_cost(struct session *s, const struct sub *sub)
{
	char name[TALLY_NAME_SIZE];

	if (s->costly[0] || !is_costly(sub))
		return true;
	tally_caller_name(main_sock(s)->caller, name);
	if (!tally_add(&s->hub->clients, 'F', name, s->hub->cfg->logs.max_keyword_views)) {
		figure_add(s->hub->figures, FIGURE_SUBSCRIPTIONS_REFUSED, 1);
		return false;
	}
	tally_drop(&s->hub->clients, 'F', name);
	return true;
}

void session_make_group(struct session *s)
{
	struct wire_interest want;
	struct principal who;
	struct str key = STR_INIT;
	uint16_t limit = (uint16_t)s->hub->cfg->socketio.limit;

	if (!s->rights || !main_sock(s)) {
		session_uncount(s);
		set_group(s, s->hub->sessions->nothing);
		return;
	}
	session_count(s);
	if (s->answer_packets && limit > s->answer_packets)
		limit = s->answer_packets;
	who = who_of(s);
	interest_make(&who, &s->subs, limit, &want);
	wire_interest_put(&key, &want);
	wire_interest_fini(&want);
	set_group(s, group_get(s->hub, key.p, key.len));
	str_fini(&key);
}

/* After a change of what it wants. */
static void changed(struct session *s)
{
	struct group *was = s->group;

	session_make_group(s);
	observe_regrouped(s, was);
	store_session(s);
}

/* ---- what it may ---- */

static void take_rights(struct session *s, struct slice rights, struct subs *gone)
{
	struct rights_set *set = &s->hub->sessions->rights;
	struct rights *now = rights.len ? rights_get(set, rights) : NULL;
	struct principal who;

	rights_put(set, s->rights);
	s->rights = now;
	if (!now)
		return;
	who = who_of(s);
	subs_judge(&s->subs, &who, gone);
}

void session_begin_rights(struct session *s, struct slice rights, struct subs *gone)
{
	take_rights(s, rights, gone);
	session_make_group(s);
}

static bool tell(struct session *s, const struct sub *sub, const char *reason)
{
	struct str args = STR_INIT;
	bool ok;

	str_adds(&args, "\"subscription_error\",{\"channel\":");
	str_add_json_n(&args, sub->name.p, sub->name.len);
	str_addf(&args, ",\"reason\":\"%s\"}", reason);
	ok = session_emit(
		s, main_sock(s), (struct slice){args.p, args.len}, session_cursor(s), false);
	str_fini(&args);
	return ok;
}

bool session_tell_gone(struct session *s, const struct subs *gone, const char *reason)
{
	bool is_alive = true;

	for (size_t i = 0; is_alive && i < gone->n; i++)
		if (!gone->v[i].is_command)
			is_alive = tell(s, &gone->v[i], reason);
	return is_alive;
}

bool session_set_rights(struct session *s, struct slice rights)
{
	struct subs gone = {0};
	bool is_alive;

	take_rights(s, rights, &gone);
	changed(s);
	is_alive = session_tell_gone(s, &gone, "revoked");
	if (is_alive && gone.n)
		session_flush(s);
	subs_fini(&gone);
	return is_alive;
}

void session_end_rights(struct session *s)
{
	rights_put(&s->hub->sessions->rights, s->rights);
	s->rights = NULL;
	session_uncount(s);
	set_group(s, s->hub->sessions->nothing);
}

/* ---- what was asked for ---- */

/* Has it that already, and as it is asked for? */
static bool has(const struct session *s, const struct sub *sub)
{
	const struct sub *was = subs_find(&s->subs, sub);

	return was && was->is_paused == sub->is_paused && slice_same(was->filter, sub->filter);
}

bool session_subscribe(struct session *s, const struct subs *asked)
{
	struct principal who;
	bool is_alive = true, is_new = false;

	if (!s->rights || !main_sock(s))
		return true;
	who = who_of(s);
	for (size_t i = 0; is_alive && i < asked->n; i++) {
		const struct sub *sub = &asked->v[i];

		if (!sub_may(sub, &who)) {
			is_alive = tell(s, sub, "forbidden");
		} else if (has(s, sub)) {
			continue;
		} else if (!may_cost(s, sub) || !subs_add(&s->subs, sub)) {
			is_alive = tell(s, sub, "limit");
		} else {
			figure_add(s->hub->figures, FIGURE_SUBSCRIPTIONS, 1);
			is_new = true;
		}
	}
	if (is_alive && is_new)
		changed(s);
	return is_alive;
}

void session_unsubscribe(struct session *s, const struct subs *asked)
{
	bool is_dropped = false;

	for (size_t i = 0; i < asked->n; i++)
		is_dropped = subs_drop(&s->subs, &asked->v[i]) || is_dropped;
	if (is_dropped)
		changed(s);
}

void session_pause(struct session *s, const struct sub *view, uint64_t mark)
{
	struct sub *sub = subs_find(&s->subs, view);

	if (!sub || sub->is_paused)
		return;
	sub->since = session_shown(s, sub);
	sub->mark = mark;
	sub->is_paused = true;
	changed(s);
}

bool session_resume(struct session *s, const struct sub *view, uint64_t behind)
{
	struct sub *sub = subs_find(&s->subs, view);

	if (!sub || !sub->is_paused)
		return true;
	if (behind == OPS_FROM_NOW)
		behind = sub->since;
	sub->is_paused = false;
	changed(s);
	return session_show_again(s, sub, behind);
}

static bool session_wants_is_in(const struct session *s, const char *room)
{
	return strlist_has(&s->group->want.rooms, room);
}

static struct sub by_command(const char *room)
{
	return (struct sub){.type = SUB_ROOM, .is_command = true, .name = {room, strlen(room)}};
}

bool session_join(struct session *s, const char *room)
{
	const struct sub sub = by_command(room);
	struct principal who;
	bool was_in = session_wants_is_in(s, room);

	if (!s->rights)
		return false;
	who = who_of(s);
	if (!sub_may(&sub, &who) || !subs_add(&s->subs, &sub))
		return false;
	changed(s);
	return !was_in;
}

bool session_unjoin(struct session *s, const char *room)
{
	const struct sub sub = by_command(room);

	if (!subs_drop(&s->subs, &sub))
		return false;
	changed(s);
	return !session_wants_is_in(s, room);
}
