#define _GNU_SOURCE /* memrchr */
#include "admin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin_text.h"
#include "body.h"
#include "clock.h"
#include "config.h"
#include "err.h"
#include "group.h"
#include "hub.h"
#include "mem.h"
#include "observer.h"
#include "session.h"
#include "session_auth.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "sessions.h"

#define ADMIN_NSP "/admin"
#define STATS_MS 2000   /* as often as the reference sends them */
#define FLUSH_MS 20     /* what is shown within that goes together */
#define LIST_MS 5000    /* at most so often a list of sockets because some were left out */
#define SHOWN_PER_S 200 /* events shown in a second */
#define SHOWN_BODY (1024u * 1024) /* a larger answer's events are counted, not shown */
#define SOCKETS_MAX 1000          /* in a list, which takes half of a queue at most */
#define SENT_TO_MAX 10            /* receivers that the same events are shown for */
#define PACKET_MORE 64            /* bytes of a packet besides its arguments, at most */

struct watcher {
	struct session *session;
	bool wants_config, wants_list;
	int64_t listed_ms;
};

/* What the watchers of a tenant see; there while it has any. */
struct view {
	uint32_t tenant_id;
	struct watcher *watchers;
	size_t watchers_n;
	int64_t stats_ms; /* when the last figures went out; the following is since then */
	uint64_t joined, left[END_N], in, out, bytes_in, bytes_out;
	int64_t second_ms;
	unsigned shown; /* in that second */
	uint64_t sent_id;
	unsigned sent_to; /* receivers for whom the events up to sent_id were shown */
	UT_hash_handle hh;
};

struct admin {
	struct hub *hub;
	struct view *views;
	char host[256];
	struct event flush;
};

static void on_flush(evutil_socket_t fd, short what, void *arg);

static void *admin_start(struct hub *hub)
{
	struct admin *a = xcalloc(1, sizeof(*a));

	a->hub = hub;
	gethostname(a->host, sizeof(a->host) - 1);
	evtimer_assign(&a->flush, hub->base, on_flush, a);
	return a;
}

static void admin_stop(void *me)
{
	struct admin *a = me;
	struct view *v, *next;

	evtimer_del(&a->flush);
	HASH_ITER (hh, a->views, v, next) {
		HASH_DEL(a->views, v);
		free(v->watchers);
		free(v);
	}
	free(a);
}

/* ---- sockets ---- */

static bool is_admin_sock(const struct sock *k)
{
	return strcmp(k->nsp, ADMIN_NSP) == 0;
}

static struct sock *watching(struct session *s)
{
	return session_sock(s, (struct slice){ADMIN_NSP, sizeof(ADMIN_NSP) - 1});
}

/* NULL: nobody looks. */
static struct view *view_of(struct admin *a, const struct sock *k)
{
	uint32_t tenant_id = sock_tenant(k);
	struct view *v = NULL;

	if (a->views)
		HASH_FIND(hh, a->views, &tenant_id, sizeof(tenant_id), v);
	return v;
}

static bool shows_all(const struct session *s)
{
	return s->hub->cfg->socketio.admin_events;
}

/* ---- watchers ---- */

static void watch(struct admin *a, struct session *s, struct sock *k)
{
	struct view *v = view_of(a, k);

	if (!v) {
		v = xcalloc(1, sizeof(*v));
		v->tenant_id = sock_tenant(k);
		HASH_ADD(hh, a->views, tenant_id, sizeof(v->tenant_id), v);
	}
	v->watchers = xreallocarray(v->watchers, v->watchers_n + 1, sizeof(*v->watchers));
	v->watchers[v->watchers_n++] =
		(struct watcher){.session = s, .wants_config = true, .wants_list = shows_all(s)};
	v->stats_ms = 0;
	observers_watch(a->hub->observers);
}

/* NULL: that was the last one. */
static struct view *unwatch(struct admin *a, struct view *v, const struct session *s)
{
	for (size_t i = 0; i < v->watchers_n; i++) {
		if (v->watchers[i].session != s)
			continue;
		v->watchers[i] = v->watchers[--v->watchers_n];
		observers_unwatch(a->hub->observers);
		break;
	}
	if (v->watchers_n)
		return v;
	HASH_DEL(a->views, v);
	free(v->watchers);
	free(v);
	return NULL;
}

/* ---- showing ---- */

/* args: the inside of the event's array. */
static bool show_to(struct watcher *w, const struct str *args)
{
	struct session *s = w->session;

	return session_has_room(s, args->len + PACKET_MORE) &&
	       session_emit(s, watching(s), (struct slice){args->p, args->len}, 0, false);
}

static void flush_soon(struct admin *a)
{
	static const struct timeval soon = {0, FLUSH_MS * 1000};

	if (!evtimer_pending(&a->flush, NULL))
		evtimer_add(&a->flush, &soon);
}

static void show(struct admin *a, struct view *v, const struct str *args)
{
	for (size_t i = 0; i < v->watchers_n; i++)
		if (!show_to(&v->watchers[i], args))
			v->watchers[i].wants_list = shows_all(v->watchers[i].session);
	flush_soon(a);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct admin *a = arg;
	struct view *v, *next;

	/* A watcher that is answered stays one: it is not closed here. */
	HASH_ITER (hh, a->views, v, next)
		for (size_t i = 0; i < v->watchers_n; i++)
			session_flush(v->watchers[i].session);
	store_flush(a->hub->sessions);
}

/* May one more thing be shown now? */
static bool may_show(const struct session *s, struct view *v)
{
	int64_t now = clock_ms();

	if (!shows_all(s))
		return false;
	if (now - v->second_ms >= 1000) {
		v->second_ms = now;
		v->shown = 0;
	}
	return v->shown++ < SHOWN_PER_S;
}

/* The same for what changes the sockets and rooms there are: left out, the list comes anew. */
static bool may_show_change(const struct session *s, struct view *v)
{
	if (may_show(s, v))
		return true;
	for (size_t i = 0; i < v->watchers_n; i++)
		v->watchers[i].wants_list = shows_all(s);
	return false;
}

/* ---- figures ---- */

static void add_count(struct str *s, const char *type, const char *sub_type, uint64_t n)
{
	if (!n)
		return;
	if (s->p[s->len - 1] != '[')
		str_addc(s, ',');
	str_addf(s, "{\"timestamp\":%lld,\"type\":\"%s\"",
		(long long)(clock_wall_ms() / 1000 * 1000), type);
	if (sub_type)
		str_addf(s, ",\"subType\":\"%s\"", sub_type);
	str_addf(s, ",\"count\":%llu}", (unsigned long long)n);
}

static void add_counts(struct str *s, const struct view *v)
{
	str_adds(s, ",\"aggregatedEvents\":[");
	add_count(s, "rawConnection", NULL, v->joined);
	for (int i = 0; i < END_N; i++)
		add_count(s, "rawDisconnection", session_end_text((enum session_end)i), v->left[i]);
	add_count(s, "packetsIn", NULL, v->in);
	add_count(s, "packetsOut", NULL, v->out);
	add_count(s, "bytesIn", NULL, v->bytes_in);
	add_count(s, "bytesOut", NULL, v->bytes_out);
	str_addc(s, ']');
}

static void add_stats(struct str *args, const struct admin *a, const struct view *v)
{
	size_t clients = 0, in_main = 0, in_admin = 0;
	int64_t up_ms = clock_ms() - a->hub->started_ms;
	struct session *s;

	TAILQ_FOREACH (s, &a->hub->sessions->lists[SESSION_JOINED], entry) {
		bool is_counted = false;

		for (size_t i = 0; i < s->socks_n; i++) {
			if (sock_tenant(&s->socks[i]) != v->tenant_id)
				continue;
			is_counted = true;
			in_main += sock_is_main(&s->socks[i]);
			in_admin += is_admin_sock(&s->socks[i]);
		}
		clients += is_counted;
	}
	str_adds(args, "\"server_stats\",{");
	str_addf(args, "\"serverId\":\"%s#%lld\",\"hostname\":\"%s\",\"pid\":%ld,", a->host,
		(long long)a->hub->cfg->poller.node_id, a->host, (long)getpid());
	str_addf(args, "\"uptime\":%lld.%03lld,", (long long)up_ms / 1000, (long long)up_ms % 1000);
	str_addf(args, "\"clientsCount\":%zu,\"pollingClientsCount\":%zu,", clients, clients);
	str_addf(args,
		"\"namespaces\":[{\"name\":\"/\",\"socketsCount\":%zu},"
		"{\"name\":\"" ADMIN_NSP "\",\"socketsCount\":%zu}]",
		in_main, in_admin);
	add_counts(args, v);
	str_addc(args, '}');
}

static void show_stats(struct admin *a, struct view *v)
{
	struct str args = STR_INIT;

	add_stats(&args, a, v);
	for (size_t i = 0; i < v->watchers_n; i++)
		show_to(&v->watchers[i], &args);
	flush_soon(a);
	str_fini(&args);
	v->joined = v->in = v->out = v->bytes_in = v->bytes_out = 0;
	memset(v->left, 0, sizeof(v->left));
}

/* ---- what a watcher begins with ---- */

static void greet(struct watcher *w)
{
	const struct config *cfg = w->session->hub->cfg;
	struct str args = STR_INIT;

	str_adds(&args, "\"config\",{\"supportedFeatures\":[");
	if (strcmp(cfg->socketio.admin, "on") == 0)
		str_adds(&args, "\"EMIT\",\"JOIN\",\"LEAVE\",\"DISCONNECT\",\"MJOIN\",\"MLEAVE\","
				"\"MDISCONNECT\",");
	str_adds(&args, "\"AGGREGATED_EVENTS\"");
	str_adds(&args, cfg->socketio.admin_events ? ",\"ALL_EVENTS\"]}" : "]}");
	w->wants_config = !show_to(w, &args);
	str_fini(&args);
}

/* As many sockets as there is room for: a packet that does not fit would end the watcher. */
static void admin_list(struct watcher *w)
{
	struct session *s = w->session, *other;
	size_t most = (size_t)s->hub->cfg->socketio.queue_bytes / 2, n = 0;
	uint32_t tenant_id = sock_tenant(watching(s));
	struct str args = STR_INIT;

	str_adds(&args, "\"all_sockets\",[");
	TAILQ_FOREACH (other, &s->hub->sessions->lists[SESSION_JOINED], entry) {
		for (size_t i = 0; i < other->socks_n && n < SOCKETS_MAX; i++) {
			size_t was = args.len;

			if (sock_tenant(&other->socks[i]) != tenant_id)
				continue;
			if (n++)
				str_addc(&args, ',');
			admin_text_socket(&args, other, &other->socks[i]);
			if (args.len > most) {
				args.len = was;
				n = SOCKETS_MAX;
			}
		}
	}
	str_addc(&args, ']');
	if (show_to(w, &args)) {
		w->wants_list = false;
		w->listed_ms = clock_ms();
	}
	str_fini(&args);
}

static void admin_refresh(struct view *v, int64_t now)
{
	for (size_t i = 0; i < v->watchers_n; i++) {
		struct watcher *w = &v->watchers[i];

		if (w->wants_config)
			greet(w);
		if (w->wants_list && now - w->listed_ms >= LIST_MS)
			admin_list(w);
	}
}

/* The namespace has been taken away by the configuration of this start. */
static void close_all(struct admin *a)
{
	while (a->views) {
		struct session *s = a->views->watchers[0].session;

		session_end(
			s, watching(s), err_code(ERR_FORBIDDEN), "The Admin UI is switched off.");
	}
}

static void admin_tick(void *me, int64_t now)
{
	struct admin *a = me;
	struct view *v, *next;

	if (a->views && strcmp(a->hub->cfg->socketio.admin, "off") == 0)
		close_all(a);
	HASH_ITER (hh, a->views, v, next) {
		if (now - v->stats_ms < STATS_MS)
			continue;
		v->stats_ms = now;
		admin_refresh(v, now);
		show_stats(a, v);
	}
}

static void admin_adopted(void *me, struct session *s)
{
	struct sock *k = watching(s);

	if (k)
		watch(me, s, k);
}

/* ---- what happens ---- */

static void admin_joined(void *me, struct session *s, struct sock *k)
{
	struct admin *a = me;
	struct str args = STR_INIT;
	struct view *v;

	if (is_admin_sock(k))
		watch(a, s, k);
	v = view_of(a, k);
	if (!v)
		return;
	v->joined++;
	if (is_admin_sock(k))
		greet(&v->watchers[v->watchers_n - 1]);
	if (is_admin_sock(k) && shows_all(s))
		admin_list(&v->watchers[v->watchers_n - 1]);
	if (may_show_change(s, v)) {
		str_adds(&args, "\"socket_connected\",");
		admin_text_socket(&args, s, k);
		admin_text_now(&args);
		show(a, v, &args);
		str_fini(&args);
	}
}

static void show_room(
	struct admin *a, const struct sock *k, struct view *v, const char *room, bool is_joined)
{
	struct str args = STR_INIT;

	str_addf(&args, "\"room_%s\",", is_joined ? "joined" : "left");
	str_add_json(&args, k->nsp);
	str_addc(&args, ',');
	str_add_json(&args, room);
	str_addc(&args, ',');
	str_add_json(&args, k->id);
	admin_text_now(&args);
	show(a, v, &args);
	str_fini(&args);
}

/* The UI takes a socket out of a room only when it is told that it left the room. */
static void show_left(
	struct admin *a, struct session *s, struct sock *k, struct view *v, enum session_end how)
{
	struct str args = STR_INIT;

	str_adds(&args, "\"socket_disconnected\",");
	str_add_json(&args, k->nsp);
	str_addc(&args, ',');
	str_add_json(&args, k->id);
	str_addf(&args, ",\"%s\"", session_end_text(how));
	admin_text_now(&args);
	show(a, v, &args);
	str_fini(&args);
	show_room(a, k, v, k->id, false);
	for (size_t i = 0; sock_is_main(k) && i < s->group->want.rooms.n; i++)
		show_room(a, k, v, s->group->want.rooms.v[i], false);
}

static void admin_left(void *me, struct session *s, struct sock *k, enum session_end how)
{
	struct admin *a = me;
	struct view *v = view_of(a, k);

	if (v && is_admin_sock(k))
		v = unwatch(a, v, s);
	if (!v)
		return;
	v->left[how]++;
	if (may_show_change(s, v))
		show_left(a, s, k, v, how);
}

static void admin_room(
	void *me, struct session *s, struct sock *k, const char *room, bool is_joined)
{
	struct admin *a = me;
	struct view *v = view_of(a, k);

	if (v && may_show_change(s, v))
		show_room(a, k, v, room, is_joined);
}

static void show_event(
	struct admin *a, const char *what, const struct sock *k, struct view *v, struct slice args)
{
	struct str text = STR_INIT;

	str_addf(&text, "\"%s\",", what);
	str_add_json(&text, k->nsp);
	str_addc(&text, ',');
	str_add_json(&text, k->id);
	str_addc(&text, ',');
	admin_text_args(&text, args);
	admin_text_now(&text);
	show(a, v, &text);
	str_fini(&text);
}

static void admin_heard(void *me, struct session *s, struct sock *k, struct slice args)
{
	struct admin *a = me;
	struct view *v = is_admin_sock(k) ? NULL : view_of(a, k);

	if (!v)
		return;
	v->in++;
	v->bytes_in += args.len;
	if (args.len && may_show(s, v))
		show_event(a, "event_received", k, v, args);
}

static void admin_sent(void *me, struct session *s, struct sock *k, struct slice args)
{
	struct admin *a = me;
	struct view *v = is_admin_sock(k) ? NULL : view_of(a, k);

	if (!v)
		return;
	v->out++;
	if (may_show(s, v))
		show_event(a, "event_sent", k, v, args);
}

/* The last n packets of a payload are events: `42[` arguments `,` offset `]`. */
static void show_packets(struct admin *a, struct session *s, const struct sock *k, struct view *v,
	const struct str *payload, size_t n)
{
	const char *begin = payload->p, *stop = begin + payload->len, *p = stop, *end, *comma;

	for (size_t i = 0; i < n && p > begin; i++) {
		p = memrchr(begin, '\x1e', (size_t)(p - begin));
		p = p ? p : begin;
	}
	while (p < stop && may_show(s, v)) {
		p += *p == '\x1e';
		end = memchr(p, '\x1e', (size_t)(stop - p));
		end = end ? end : stop;
		comma = memrchr(p, ',', (size_t)(end - p));
		if (comma && comma - p > 3)
			show_event(a, "event_sent", k, v,
				(struct slice){p + 3, (size_t)(comma - p) - 3});
		p = end;
	}
}

static void admin_answered(void *me, struct session *s, const struct body *b)
{
	struct admin *a = me;
	struct sock *k = session_sock(s, (struct slice){"/", 1});
	struct view *v = k ? view_of(a, k) : NULL;
	size_t len = evbuffer_get_length(b->buf);
	struct str payload = STR_INIT;

	if (!v)
		return;
	v->out += b->n;
	v->bytes_out += len;
	if (b->last_id != v->sent_id)
		v->sent_to = 0;
	v->sent_id = b->last_id;
	if (!b->n || len > SHOWN_BODY || !shows_all(s) || v->sent_to++ >= SENT_TO_MAX)
		return;
	str_reserve(&payload, len);
	evbuffer_copyout(b->buf, payload.p, len);
	payload.len = len;
	show_packets(a, s, k, v, &payload, b->n);
	str_fini(&payload);
}

const struct observer admin_observer = {
	.start = admin_start,
	.stop = admin_stop,
	.tick = admin_tick,
	.adopted = admin_adopted,
	.joined = admin_joined,
	.left = admin_left,
	.room = admin_room,
	.heard = admin_heard,
	.sent = admin_sent,
	.answered = admin_answered,
};
