/*
 * The question "connection-stats": the connections of a tenant on this host in figures. Of the
 * users those with the most connections are told by name, USERS_MAX of them, and the others as a
 * number.
 */

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "ask.h"
#include "caller.h"
#include "clock.h"
#include "connection.h"
#include "errand.h"
#include "hub.h"
#include "mem.h"
#include "session.h"

#define USERS_MAX 1000

struct by_user {
	struct caller *who; /* a reference: its name is the key */
	uint64_t n;
	UT_hash_handle hh;
};

struct stats {
	struct errand errand;
	struct connection_filter filter;
	struct connection_lag lag;
	int64_t now_ms; /* wall clock */
	uint64_t total, open_n, anonymous_n, sent_n, heard_n, answers_n, resent_n, behind_n,
		lag_max;
	uint64_t uptime_ms; /* of all together */
	struct by_user *users;
};

static struct stats *stats_of(struct errand *e)
{
	return (struct stats *)e;
}

static void count_for(struct stats *st, struct caller *who)
{
	struct by_user *u;

	if (!who) {
		st->anonymous_n++;
		return;
	}
	HASH_FIND_STR(st->users, who->username, u);
	if (!u) {
		u = xcalloc(1, sizeof(*u));
		u->who = caller_ref(who);
		HASH_ADD_KEYPTR(hh, st->users, u->who->username, strlen(u->who->username), u);
	}
	u->n++;
}

static void stats_visit(struct errand *e, struct session *s)
{
	struct stats *st = stats_of(e);
	struct caller *whose;
	uint64_t lag;

	if (!connection_is_wanted(&st->filter, s, &whose))
		return;
	count_for(st, whose);
	lag = connection_lag(&st->lag, s);
	st->total++;
	st->open_n += s->state == SESSION_OPEN;
	st->sent_n += s->sent_n;
	st->heard_n += s->heard_n;
	st->answers_n += s->answers_n;
	st->resent_n += s->resent_n;
	st->behind_n += lag > 0;
	st->lag_max = lag > st->lag_max ? lag : st->lag_max;
	if (st->now_ms > s->opened_wall_ms)
		st->uptime_ms += (uint64_t)(st->now_ms - s->opened_wall_ms);
}

static int has_more(const struct by_user *a, const struct by_user *b)
{
	if (a->n != b->n)
		return a->n > b->n ? -1 : 1;
	return strcmp(a->who->username, b->who->username);
}

static void put_users(struct stats *st, struct str *json)
{
	const char *between = "";
	size_t n = 0;

	HASH_SORT(st->users, has_more);
	str_adds(json, ",\"byUser\":{");
	for (struct by_user *u = st->users; u && n < USERS_MAX; u = u->hh.next, n++) {
		str_adds(json, between);
		str_add_json(json, u->who->username);
		str_addf(json, ":%llu", (unsigned long long)u->n);
		between = ",";
	}
	str_addf(json, "},\"users\":%u", HASH_COUNT(st->users));
}

static enum wire_answer stats_finish(struct errand *e, struct str *json)
{
	struct stats *st = stats_of(e);
	double total = st->total ? (double)st->total : 1;

	str_addf(json, "{\"node\":%lld,\"total\":%llu,\"byState\":{\"open\":%llu,\"joined\":%llu}",
		(long long)e->hub->cfg->poller.node_id, (unsigned long long)st->total,
		(unsigned long long)st->open_n, (unsigned long long)(st->total - st->open_n));
	put_users(st, json);
	str_addf(json,
		",\"anonymous\":%llu,\"averageUptime\":%.3f,\"messagesSent\":%llu,"
		"\"messagesReceived\":%llu,\"pushSuccessRate\":",
		(unsigned long long)st->anonymous_n, (double)st->uptime_ms / 1000 / total,
		(unsigned long long)st->sent_n, (unsigned long long)st->heard_n);
	if (st->answers_n)
		str_addf(json, "%.6f", 1 - (double)st->resent_n / (double)st->answers_n);
	else
		str_adds(json, "null");
	str_addf(json, ",\"lagging\":%llu,\"maxLag\":%llu}", (unsigned long long)st->behind_n,
		(unsigned long long)st->lag_max);
	return WIRE_ANSWER_OK;
}

static void stats_fini(struct errand *e)
{
	struct stats *st = stats_of(e);
	struct by_user *u, *next;

	HASH_ITER (hh, st->users, u, next) {
		HASH_DEL(st->users, u);
		caller_unref(u->who);
		free(u);
	}
	connection_lag_fini(&st->lag);
	connection_filter_fini(&st->filter);
}

static const struct errand_kind stats_kind = {
	.visit = stats_visit, .finish = stats_finish, .fini = stats_fini};

void ask_connection_stats(struct ask *a)
{
	struct stats *st = stats_of(errand_new(a->hub, &stats_kind, sizeof(*st)));

	st->filter.tenant_id = a->tenant_id;
	st->now_ms = clock_wall_ms();
	connection_lag_init(&st->lag, a->hub, a->tenant_id);
	if (a->args) {
		json_object_object_foreach (a->args, key, value)
			ask_problem(a, key, "unknown parameter");
	}
	a->errand = &st->errand;
}
