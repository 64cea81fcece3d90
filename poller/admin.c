/*
 * The server's half of the Socket.IO Admin UI (npm @socket.io/admin-ui 0.5): what it shows comes
 * as events to the sockets of namespace /admin, as the instrument() of that package sends them, and
 * its commands come as OP_ADMIN. Who holds such a socket sees the sockets of his own tenant.
 *
 * Nobody looking, it costs nothing. With admin_events on ("development mode" there) every socket
 * and event is shown, at most SHOWN_PER_S a second: figures stay exact, single events may be left
 * out.
 */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define ADMIN_NSP "/admin"
#define STATS_MS 2000    /* as often as the reference sends them */
#define SHOWN_PER_S 200  /* events shown in a second */
#define SOCKETS_MAX 1000 /* in the list that a new watcher gets */
#define SENT_TO_MAX 10   /* receivers that one event is shown for */

/* What happened in a tenant since the last figures went out. */
struct counts {
	uint32_t tenant_id;
	uint64_t joined, left[END_N], in, out, bytes_in, bytes_out;
	UT_hash_handle hh;
};

struct admin {
	struct sessions *ss;
	struct session **watchers; /* those in /admin */
	size_t watchers_n;
	struct counts *counts;
	char host[256];
	int64_t stats_ms, second_ms;
	unsigned shown;
	bool is_telling; /* what is told to watchers is not told of again */
};

struct admin *admin_new(struct sessions *ss)
{
	struct admin *a = xcalloc(1, sizeof(*a));

	a->ss = ss;
	gethostname(a->host, sizeof(a->host) - 1);
	return a;
}

void admin_free(struct admin *a)
{
	struct counts *c, *next;

	HASH_ITER (hh, a->counts, c, next) {
		HASH_DEL(a->counts, c);
		free(c);
	}
	free(a->watchers);
	free(a);
}

bool admin_is_watched(const struct admin *a)
{
	return a->watchers_n > 0 && a->ss->hub->cfg->socketio.admin_events;
}

static bool is_admin_sock(const struct sock *k)
{
	return strcmp(k->nsp, ADMIN_NSP) == 0;
}

static struct sock *watching(struct session *s)
{
	return session_sock(s, (struct slice){ADMIN_NSP, sizeof(ADMIN_NSP) - 1});
}

static uint32_t tenant_of(const struct sock *k)
{
	return k->person ? k->person->tenant_id : 0;
}

static struct counts *counts_of(struct admin *a, uint32_t tenant_id)
{
	struct counts *c;

	HASH_FIND(hh, a->counts, &tenant_id, sizeof(tenant_id), c);
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->tenant_id = tenant_id;
		HASH_ADD(hh, a->counts, tenant_id, sizeof(c->tenant_id), c);
	}
	return c;
}

/* ---- telling ---- */

/* args: the inside of the event's array. A watcher whose queue is full is closed, and so may leave
 * the list while it is gone through: from its end. */
static void tell(struct admin *a, uint32_t tenant_id, const struct str *args)
{
	a->is_telling = true;
	for (size_t i = a->watchers_n; i-- > 0;) {
		struct session *s = a->watchers[i];
		struct sock *k = watching(s);

		if (k && tenant_of(k) == tenant_id &&
			session_emit(s, k, (struct slice){args->p, args->len}, 0, false))
			session_flush(s);
	}
	a->is_telling = false;
}

/* May one more single event be shown? */
static bool may_show(struct admin *a)
{
	int64_t now = clock_ms();

	if (!admin_is_watched(a) || a->is_telling)
		return false;
	if (now - a->second_ms >= 1000) {
		a->second_ms = now;
		a->shown = 0;
	}
	return a->shown++ < SHOWN_PER_S;
}

static void add_now(struct str *s)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), text);
	str_adds(s, ",\"");
	str_adds(s, text);
	str_addc(s, '"');
}

static void add_member(struct str *s, const char *key, const char *value)
{
	str_addf(s, "\"%s\":", key);
	str_add_json(s, value);
	str_addc(s, ',');
}

static bool is_main(const struct sock *k)
{
	return strcmp(k->nsp, "/") == 0;
}

static void add_rooms(struct str *out, const struct session *s, const struct sock *k)
{
	str_adds(out, "\"rooms\":[");
	str_add_json(out, k->id);
	for (size_t i = 0; is_main(k) && i < s->group->want.rooms.n; i++) {
		str_addc(out, ',');
		str_add_json(out, s->group->want.rooms.v[i]);
	}
	str_addc(out, ']');
}

/* A socket as serialize() of the reference has it. */
static void add_socket(struct str *out, const struct session *s, const struct sock *k)
{
	bool has_about = s->about && s->about[0] == '{' && s->about[1] != '}';

	str_addc(out, '{');
	add_member(out, "id", k->id);
	add_member(out, "clientId", s->client_id);
	add_member(out, "transport", "polling");
	add_member(out, "nsp", k->nsp);
	str_adds(out, "\"data\":{\"username\":");
	str_add_json(out, k->person ? k->person->username : "");
	str_adds(out, "},\"handshake\":{\"address\":");
	str_add_json(out, s->address);
	str_addc(out, has_about ? ',' : '}');
	if (has_about)
		str_adds(out, s->about + 1);
	str_addc(out, ',');
	add_rooms(out, s, k);
	str_addc(out, '}');
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

static void add_counts(struct str *s, const struct counts *c)
{
	str_adds(s, ",\"aggregatedEvents\":[");
	add_count(s, "rawConnection", NULL, c->joined);
	for (int i = 0; i < END_N; i++)
		add_count(s, "rawDisconnection", session_end_text((enum session_end)i), c->left[i]);
	add_count(s, "packetsIn", NULL, c->in);
	add_count(s, "packetsOut", NULL, c->out);
	add_count(s, "bytesIn", NULL, c->bytes_in);
	add_count(s, "bytesOut", NULL, c->bytes_out);
	str_addc(s, ']');
}

static void add_stats(struct admin *a, struct str *args, const struct counts *c)
{
	size_t clients = 0, in_main = 0, in_admin = 0;
	struct session *s;

	TAILQ_FOREACH (s, &a->ss->lists[SESSION_JOINED], entry) {
		bool is_counted = false;

		for (size_t i = 0; i < s->socks_n; i++) {
			if (tenant_of(&s->socks[i]) != c->tenant_id)
				continue;
			is_counted = true;
			in_main += is_main(&s->socks[i]);
			in_admin += is_admin_sock(&s->socks[i]);
		}
		clients += is_counted;
	}
	str_adds(args, "\"server_stats\",{");
	str_addf(args, "\"serverId\":\"%s#%lld\",\"hostname\":\"%s\",\"pid\":%ld,", a->host,
		(long long)a->ss->hub->cfg->poller.node_id, a->host, (long)getpid());
	str_addf(args, "\"uptime\":%lld.%03lld,",
		(long long)(clock_ms() - a->ss->hub->started_ms) / 1000,
		(long long)(clock_ms() - a->ss->hub->started_ms) % 1000);
	str_addf(args, "\"clientsCount\":%zu,\"pollingClientsCount\":%zu,", clients, clients);
	str_addf(args,
		"\"namespaces\":[{\"name\":\"/\",\"socketsCount\":%zu},"
		"{\"name\":\"" ADMIN_NSP "\",\"socketsCount\":%zu}]",
		in_main, in_admin);
	add_counts(args, c);
	str_addc(args, '}');
}

static void tell_stats(struct admin *a, struct counts *c)
{
	struct str args = STR_INIT;
	uint32_t tenant_id = c->tenant_id;

	add_stats(a, &args, c);
	tell(a, tenant_id, &args);
	str_fini(&args);
	c = counts_of(a, tenant_id);
	c->joined = c->in = c->out = c->bytes_in = c->bytes_out = 0;
	memset(c->left, 0, sizeof(c->left));
}

void admin_tick(struct admin *a, int64_t now)
{
	struct counts *c, *next;

	if (!a->watchers_n || now - a->stats_ms < STATS_MS)
		return;
	a->stats_ms = now;
	HASH_ITER (hh, a->counts, c, next)
		tell_stats(a, c);
}

/* ---- what is shown ---- */

static void greet(struct admin *a, struct session *s, struct sock *k)
{
	const struct config *cfg = a->ss->hub->cfg;
	struct str args = STR_INIT;
	struct session *other;
	size_t n = 0;
	bool ok;

	str_adds(&args, "\"config\",{\"supportedFeatures\":[");
	if (strcmp(cfg->socketio.admin, "on") == 0)
		str_adds(&args, "\"EMIT\",\"JOIN\",\"LEAVE\",\"DISCONNECT\",\"MJOIN\",\"MLEAVE\","
				"\"MDISCONNECT\",");
	str_adds(&args, "\"AGGREGATED_EVENTS\"");
	str_adds(&args, cfg->socketio.admin_events ? ",\"ALL_EVENTS\"]}" : "]}");
	ok = session_emit(s, k, (struct slice){args.p, args.len}, 0, false);
	str_clear(&args);
	str_adds(&args, "\"all_sockets\",[");
	TAILQ_FOREACH (other, &a->ss->lists[SESSION_JOINED], entry) {
		for (size_t i = 0; i < other->socks_n && n < SOCKETS_MAX; i++) {
			if (tenant_of(&other->socks[i]) != tenant_of(k))
				continue;
			if (n++)
				str_addc(&args, ',');
			add_socket(&args, other, &other->socks[i]);
		}
	}
	str_addc(&args, ']');
	if (ok && cfg->socketio.admin_events)
		session_emit(s, k, (struct slice){args.p, args.len}, 0, false);
	str_fini(&args);
	a->stats_ms = 0;
}

void admin_joined(struct session *s, struct sock *k)
{
	struct admin *a = s->hub->sessions->admin;
	struct str args = STR_INIT;

	if (a->watchers_n || is_admin_sock(k))
		counts_of(a, tenant_of(k))->joined++;
	if (may_show(a)) {
		str_adds(&args, "\"socket_connected\",");
		add_socket(&args, s, k);
		add_now(&args);
		tell(a, tenant_of(k), &args);
		str_fini(&args);
	}
	if (!is_admin_sock(k))
		return;
	a->watchers = xreallocarray(a->watchers, a->watchers_n + 1, sizeof(struct session *));
	a->watchers[a->watchers_n++] = s;
	greet(a, s, k);
}

void admin_left(struct session *s, struct sock *k, enum session_end how)
{
	struct admin *a = s->hub->sessions->admin;
	struct str args = STR_INIT;

	for (size_t i = 0; is_admin_sock(k) && i < a->watchers_n; i++) {
		if (a->watchers[i] != s)
			continue;
		a->watchers[i] = a->watchers[--a->watchers_n];
		break;
	}
	if (!a->watchers_n)
		return;
	counts_of(a, tenant_of(k))->left[how]++;
	if (!may_show(a))
		return;
	str_adds(&args, "\"socket_disconnected\",");
	str_add_json(&args, k->nsp);
	str_addc(&args, ',');
	str_add_json(&args, k->id);
	str_addf(&args, ",\"%s\"", session_end_text(how));
	add_now(&args);
	tell(a, tenant_of(k), &args);
	str_fini(&args);
}

void admin_adopt(struct session *s)
{
	struct admin *a = s->hub->sessions->admin;

	if (!watching(s))
		return;
	a->watchers = xreallocarray(a->watchers, a->watchers_n + 1, sizeof(struct session *));
	a->watchers[a->watchers_n++] = s;
	counts_of(a, tenant_of(watching(s)));
}

static void show_event(struct admin *a, const char *what, const struct sock *k, struct slice args)
{
	struct str text = STR_INIT;

	str_addf(&text, "\"%s\",", what);
	str_add_json(&text, k->nsp);
	str_addc(&text, ',');
	str_add_json(&text, k->id);
	str_adds(&text, ",[");
	str_add(&text, args.p, args.len);
	str_addc(&text, ']');
	add_now(&text);
	tell(a, tenant_of(k), &text);
	str_fini(&text);
}

void admin_heard(struct session *s, struct sock *k, struct slice args)
{
	struct admin *a = s->hub->sessions->admin;
	struct counts *c;

	if (!a->watchers_n || is_admin_sock(k))
		return;
	c = counts_of(a, tenant_of(k));
	c->in++;
	c->bytes_in += args.len;
	if (args.len && may_show(a))
		show_event(a, "event_received", k, args);
}

void admin_sent(struct session *s, struct sock *k, struct slice args)
{
	struct admin *a = s->hub->sessions->admin;
	struct counts *c;

	if (!a->watchers_n || is_admin_sock(k) || a->is_telling)
		return;
	c = counts_of(a, tenant_of(k));
	c->out++;
	c->bytes_out += args.len;
	if (may_show(a))
		show_event(a, "event_sent", k, args);
}

void admin_fanout(struct hub *hub, const struct group *g, const struct body *b)
{
	struct admin *a = hub->sessions->admin;
	struct waiter *w;
	size_t n = 0;

	if (!a->watchers_n || a->is_telling)
		return;
	TAILQ_FOREACH (w, &g->parked, entry) {
		struct sock *k =
			w->session ? session_sock(w->session, (struct slice){"/", 1}) : NULL;
		struct counts *c;

		if (!k)
			continue;
		c = counts_of(a, tenant_of(k));
		c->out += b->n;
		c->bytes_out += evbuffer_get_length(b->buf);
		for (size_t i = 0; n < SENT_TO_MAX && i < g->hits_n && may_show(a); i++, n++) {
			struct str args = STR_INIT;

			record_socket_args(g->hits[i], &args);
			show_event(a, "event_sent", k, (struct slice){args.p, args.len});
			str_fini(&args);
		}
	}
}

void admin_room(struct session *s, const char *room, bool is_joined)
{
	struct admin *a = s->hub->sessions->admin;
	struct sock *k = session_sock(s, (struct slice){"/", 1});
	struct str args = STR_INIT;

	if (!k || !may_show(a))
		return;
	str_addf(&args, "\"%s\",\"/\",", is_joined ? "room_joined" : "room_left");
	str_add_json(&args, room);
	str_addc(&args, ',');
	str_add_json(&args, k->id);
	add_now(&args);
	tell(a, tenant_of(k), &args);
	str_fini(&args);
}

/* ---- commands ---- */

static bool is_in(const struct session *s, const struct sock *k, const char *room)
{
	return !room[0] || strcmp(k->id, room) == 0 ||
	       (is_main(k) && strlist_has(&s->group->want.rooms, room));
}

/* false: s was closed. */
static bool disconnect(struct session *s, struct sock *k, bool closes)
{
	struct str packet = STR_INIT;
	bool ok;

	str_adds(&packet, "41");
	if (!is_main(k))
		str_addf(&packet, "%s,", k->nsp);
	ok = session_queue(s, packet.p, packet.len);
	str_fini(&packet);
	if (!ok)
		return false;
	if (closes) {
		session_close(s, END_SERVER_DISCONNECT);
		return false;
	}
	session_leave(s, k, END_SERVER_DISCONNECT);
	store_session(s);
	session_flush(s);
	return true;
}

static void command(struct session *s, struct sock *k, const struct op *op, const char *room)
{
	switch (op->admin) {
	case OP_ADMIN_EMIT:
		if (session_emit(s, k, op->bytes, session_cursor(s), false))
			session_flush(s);
		break;
	case OP_ADMIN_JOIN:
		if (is_main(k) && session_join(s, room))
			admin_room(s, room, true);
		break;
	case OP_ADMIN_LEAVE:
		if (is_main(k) && session_unjoin(s, room))
			admin_room(s, room, false);
		break;
	case OP_ADMIN_DISCONNECT:
		disconnect(s, k, op->flags & OP_CLOSES);
		break;
	case OP_ADMIN_N:
		break;
	}
}

/* By number: what a command does may close any of them, watchers too. */
void admin_command(struct sessions *ss, const struct op *op)
{
	char *filter = slice_dup(op->filter), *room = slice_dup(op->room);

	for (size_t i = 0; i < ss->slots_n; i++) {
		struct session *s = ss->slots[i];
		struct sock *k = s ? session_sock(s, op->nsp) : NULL;

		if (s && s->state == SESSION_JOINED && k && tenant_of(k) == op->caller.tenant_id &&
			is_in(s, k, filter))
			command(s, k, op, room);
	}
	free(filter);
	free(room);
}
