#include "connection.h"

#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "clock.h"
#include "hub.h"
#include "mem.h"
#include "record.h"
#include "ring.h"
#include "session.h"
#include "session_poll.h"

#define NODE_MAX 65535

/* ---- what is asked for ---- */

void connection_read_text(struct ask *a, const char *field, const char *value, char **out)
{
	if (!value[0])
		ask_problem(a, field, "must not be empty");
	free(*out);
	*out = xstrdup(value);
}

static void read_state(struct ask *a, struct connection_filter *f, const char *value)
{
	static const char *const states[] = {"open", "joined"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(value, states[i]) == 0) {
			f->state = states[i];
			return;
		}
	}
	ask_problem(a, "state", "must be open or joined");
}

bool connection_filter_read(
	struct ask *a, struct connection_filter *f, const char *key, const char *value)
{
	if (strcmp(key, "node") == 0)
		ask_number(a, key, value, 1, NODE_MAX, &f->node_id);
	else if (strcmp(key, "state") == 0)
		read_state(a, f, value);
	else if (strcmp(key, "id") == 0)
		connection_read_text(a, key, value, &f->id);
	else if (strcmp(key, "user") == 0)
		connection_read_text(a, key, value, &f->user);
	else if (strcmp(key, "ip") == 0)
		connection_read_text(a, key, value, &f->ip);
	else if (strcmp(key, "topic") == 0)
		connection_read_text(a, key, value, &f->topic);
	else
		return false;
	return true;
}

void connection_filter_fini(struct connection_filter *f)
{
	free(f->id);
	free(f->user);
	free(f->ip);
	free(f->topic);
}

/* Whose it is, as far as the tenant may know. false: it is none of the tenant's. */
static bool is_seen_by(uint32_t tenant_id, const struct session *s, struct caller **whose)
{
	*whose = NULL;
	for (size_t i = 0; i < s->socks_n && !*whose; i++)
		if (s->socks[i].caller && (!tenant_id || sock_tenant(&s->socks[i]) == tenant_id))
			*whose = s->socks[i].caller;
	if (!s->socks_n && s->caller && (!tenant_id || s->caller->tenant_id == tenant_id))
		*whose = s->caller;
	return *whose || !tenant_id;
}

/* As it would be asked for: a user's name, or id. */
static bool is_user(const struct caller *p, const char *user)
{
	uint64_t id;

	return p && (strcmp(p->username, user) == 0 ||
			    (parse_u64(user, 1, UINT64_MAX, &id) && p->user_id == id));
}

static const char *state_of(const struct session *s)
{
	return s->state == SESSION_OPEN ? "open" : "joined";
}

/* Has it asked for the topic? */
static bool has_topic(const struct session *s, const char *topic)
{
	if (strlist_has(&s->requested, topic))
		return true;
	for (size_t i = 0; i < s->subs.n; i++)
		if (s->subs.v[i].type == SUB_VIEW && slice_is(s->subs.v[i].name, topic))
			return true;
	return false;
}

bool connection_is_wanted(
	const struct connection_filter *f, const struct session *s, struct caller **whose)
{
	return (s->state == SESSION_OPEN || s->state == SESSION_JOINED) &&
	       (!f->node_id || f->node_id == (uint64_t)s->hub->cfg->poller.node_id) &&
	       (!f->id || strcmp(s->client_id, f->id) == 0) && is_seen_by(f->tenant_id, s, whose) &&
	       (!f->state || strcmp(state_of(s), f->state) == 0) &&
	       (!f->user || is_user(*whose, f->user)) &&
	       (!f->ip || strcmp(s->address, f->ip) == 0) && (!f->topic || has_topic(s, f->topic));
}

/* ---- lag: the tenant's events that are still to be looked through for it ---- */

/* The ring's events with cursor < id < l->before. */
static void look_back(struct connection_lag *l, uint64_t cursor)
{
	const struct ring *ring = &l->hub->ring;

	for (size_t i = ring_after(ring, l->before - 1); i-- > 0;) {
		const struct record *r = ring_at(ring, i);

		if (r->item.id <= cursor)
			break;
		if (record_is_internal(r) || (l->tenant_id && r->tenant_id != l->tenant_id))
			continue;
		if (l->ids_n == l->ids_cap) {
			l->ids_cap = l->ids_cap ? 2 * l->ids_cap : 64;
			l->ids = xreallocarray(l->ids, l->ids_cap, sizeof(*l->ids));
		}
		l->ids[l->ids_n++] = r->item.id;
	}
	l->before = cursor + 1;
}

void connection_lag_init(struct connection_lag *l, const struct hub *hub, uint32_t tenant_id)
{
	*l = (struct connection_lag){
		.hub = hub, .tenant_id = tenant_id, .upto = hub->tail, .before = hub->tail + 1};
}

void connection_lag_fini(struct connection_lag *l)
{
	free(l->ids);
}

uint64_t connection_lag(struct connection_lag *l, const struct session *s)
{
	uint64_t cursor = session_cursor(s);
	size_t from = 0, to;

	if (cursor >= l->upto)
		return 0;
	if (cursor + 1 < l->before)
		look_back(l, cursor);
	/* They descend: how many are above the cursor? */
	for (to = l->ids_n; from < to;) {
		size_t middle = from + (to - from) / 2;

		if (l->ids[middle] > cursor)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* ---- as JSON ---- */

static void put_texts(struct str *out, const char *key, const struct strlist *l)
{
	str_addf(out, "\"%s\":[", key);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			str_addc(out, ',');
		str_add_json(out, l->v[i]);
	}
	str_addc(out, ']');
}

void connection_put_user(
	struct str *out, uint32_t tenant_id, uint64_t user_id, const char *username)
{
	str_adds(out, "{\"id\":");
	if (user_id)
		str_addu(out, user_id);
	else
		str_adds(out, "null");
	str_adds(out, ",\"username\":");
	str_add_json(out, username);
	str_addf(out, "},\"tenant\":%u", tenant_id);
}

static void put_sockets(struct str *out, const struct session *s, uint32_t tenant_id)
{
	const char *between = "";

	str_adds(out, ",\"namespaces\":[");
	for (size_t i = 0; i < s->socks_n; i++) {
		const struct sock *k = &s->socks[i];

		if (tenant_id && sock_tenant(k) != tenant_id)
			continue;
		str_addf(out, "%s{\"name\":", between);
		str_add_json(out, k->nsp);
		str_adds(out, ",\"socket\":");
		str_add_json(out, k->id);
		str_addc(out, '}');
		between = ",";
	}
	str_addc(out, ']');
}

/* Views with a filter, or that are paused. */
static void put_views(struct str *out, const struct session *s)
{
	const char *between = "";

	str_adds(out, ",\"views\":[");
	for (size_t i = 0; i < s->subs.n; i++) {
		const struct sub *sub = &s->subs.v[i];
		const struct stream *st = sub->type == SUB_VIEW ? stream_find(sub->name.p) : NULL;
		const struct stream_filter *f = st ? stream_filter(st) : NULL;

		if (!f)
			continue;
		str_addf(out, "%s{\"topic\":\"%s\",\"filter\":", between, st->topic);
		if (sub->filter.len && f->show)
			f->show(sub->filter, out);
		else
			str_adds(out, "null");
		str_addf(out, ",\"paused\":%s}", sub->is_paused ? "true" : "false");
		between = ",";
	}
	str_addc(out, ']');
}

void connection_put_subscription(struct str *out, const struct session *s)
{
	struct strlist topics = {0}, rooms = {0};

	if (!s->requested.n && !s->subs.n) {
		str_adds(out, "null");
		return;
	}
	for (size_t i = 0; i < s->requested.n; i++)
		strlist_add(&topics, s->requested.v[i], strlen(s->requested.v[i]));
	for (size_t i = 0; i < s->subs.n; i++)
		strlist_add(s->subs.v[i].type == SUB_ROOM ? &rooms : &topics, s->subs.v[i].name.p,
			s->subs.v[i].name.len);
	str_addc(out, '{');
	put_texts(out, "topics", &topics);
	str_addc(out, ',');
	put_texts(out, "rooms", &rooms);
	put_views(out, s);
	str_addc(out, '}');
	strlist_fini(&topics);
	strlist_fini(&rooms);
}

void connection_put(struct str *out, const struct session *s, const struct caller *whose,
	uint32_t tenant_id, uint64_t lag)
{
	char at[CLOCK_RFC3339_SIZE];

	clock_rfc3339(s->opened_wall_ms, at);
	str_adds(out, "{\"id\":");
	str_add_json(out, s->client_id);
	str_addf(out, ",\"node\":%lld,\"user\":", (long long)s->hub->cfg->poller.node_id);
	if (whose)
		connection_put_user(out, whose->tenant_id, whose->user_id, whose->username);
	else
		str_adds(out, "null,\"tenant\":null");
	str_adds(out, ",\"ip\":");
	str_add_json(out, s->address);
	str_addf(out, ",\"connectedAt\":\"%s\",\"state\":\"%s\"", at, state_of(s));
	put_sockets(out, s, tenant_id);
	str_adds(out, ",\"subscription\":");
	connection_put_subscription(out, s);
	str_addf(out,
		",\"messageCount\":%llu,\"messagesSent\":%llu,\"messagesReceived\":%llu,"
		"\"lag\":%llu}",
		(unsigned long long)(s->sent_n + s->heard_n), (unsigned long long)s->sent_n,
		(unsigned long long)s->heard_n, (unsigned long long)lag);
}
