/*
 * Views with pace and filter, through the poller's own frames, without a database: what sockets get
 * of streams that are the test's own, and that each event comes once, whatever dies meanwhile.
 */
#include "unit.h"

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "clock.h"
#include "config.h"
#include "conn.h"
#include "fanout.h"
#include "group.h"
#include "hub.h"
#include "json.h"
#include "mem.h"
#include "mutate.h"
#include "ops.h"
#include "poller.h"
#include "record.h"
#include "session.h"
#include "session_adopt.h"
#include "session_store.h"
#include "sessions.h"
#include "stream.h"
#include "subs.h"
#include "tail.h"
#include "wait.h"
#include "wire.h"

/* ---- streams ---- */

static void put(struct str *out, const struct event_row *e, struct slice payload)
{
	str_addf(out, "\"%s\",%.*s", e->topic, (int)payload.len, payload.p);
}

static void put_entry(struct str *out, const struct event_row *e, struct slice entry)
{
	str_add(out, entry.p, entry.len);
}

static void put_batch(struct str *out, struct slice entries, size_t n)
{
	if (n == 1)
		str_addf(out, "\"one\",%.*s", (int)entries.len, entries.p);
	else
		str_addf(out, "\"batch\",[%.*s],%zu", (int)entries.len, entries.p, n);
}

static void put_dropped(struct str *out, uint64_t n, uint64_t from, uint64_t to)
{
	str_addf(out, "\"dropped\",[%llu,%llu,%llu]", (unsigned long long)n,
		(unsigned long long)from, (unsigned long long)to);
}

/* A filter is the devices it is for, one letter each; an entry's is the first letter of its text,
 * or, of a number, its first digit. */
static void digest(struct str *out, const struct event_row *e, struct slice entry)
{
	str_addc(out, entry.p[entry.p[0] == '"']);
}

static bool matches(struct slice filter, struct slice device)
{
	return memchr(filter.p, device.p[0], filter.len);
}

static void keys(struct slice filter, void (*visit)(struct slice key, void *arg), void *arg)
{
	for (size_t i = 0; i < filter.len; i++)
		visit((struct slice){filter.p + i, 1}, arg);
}

/* The same for devices with names of four letters, of which a filter has one; found by it, or not.
 */
static size_t matches_n;

static void digest_name(struct str *out, const struct event_row *e, struct slice entry)
{
	str_add(out, entry.p + 1, 4);
}

static bool is_named(struct slice filter, struct slice device)
{
	matches_n++;
	return filter.len == device.len && memcmp(filter.p, device.p, device.len) == 0;
}

static void name_key(struct slice filter, void (*visit)(struct slice key, void *arg), void *arg)
{
	visit(filter, arg);
}

static void no_keys(struct slice filter, void (*visit)(struct slice key, void *arg), void *arg)
{
}

static const struct stream_filter by_name = {
	.digest = digest_name, .matches = is_named, .keys = name_key, .entry_keys = name_key};
static const struct stream_filter by_looking = {
	.digest = digest_name, .matches = is_named, .keys = no_keys, .entry_keys = no_keys};

#define WINDOW_MS 250

static const struct stream_filter by_device = {
	.digest = digest, .matches = matches, .keys = keys, .entry_keys = keys};
static const struct stream_shape shape = {"test", put, put_entry, put_batch, put_dropped};
static const struct stream_pace slow = {.window_ms = WINDOW_MS, .batch_max = 3};
static const struct stream_pace quick = {.window_ms = 20, .batch_max = 3};
static const struct stream_pace newest = {.window_ms = WINDOW_MS, .batch_max = 50, .newest_n = 2};
static const struct stream_pace rated = {.window_ms = WINDOW_MS, .batch_max = 50, .per_s = 4};

const struct stream streams[] = {
	{.topic = "plain", .views = {{STREAM_BY_RIGHT, &stream_shape_update}}},
	{.topic = "slow", .views = {{STREAM_ON_ASKING, &shape, &slow}}},
	{.topic = "newest", .views = {{STREAM_ON_ASKING, &shape, &newest}}},
	{.topic = "rated", .has_entries = true, .views = {{STREAM_ON_ASKING, &shape, &rated}}},
	{.topic = "logs",
		.has_entries = true,
		.views = {{STREAM_ON_ASKING, &shape, NULL, &by_device},
			{STREAM_ON_ASKING, &shape, &quick, &by_device}}},
	{.topic = "quick", .views = {{STREAM_ON_ASKING, &shape, &quick}}},
	{.topic = "found", .views = {{STREAM_ON_ASKING, &shape, NULL, &by_name}}},
	{.topic = "sought", .views = {{STREAM_ON_ASKING, &shape, NULL, &by_looking}}},
	{0},
};

/* ---- a poller and a process that asks it ---- */

struct world {
	char dir[64];
	struct config cfg;
	struct event_base *base;
	struct hub *hub;
	uint64_t id; /* of the last event */
	struct bufferevent *bev;
	uint64_t ticket, get; /* get: of the last GET */
	struct str got;       /* bodies, and what else was answered, one a line */
};

static void on_frames(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct world *w = arg;
	struct wire_frame f;
	const char *why;

	while (wire_peek(in, WIRE_FROM_POLLER_MAX, &f, &why) == WIRE_GOT_FRAME) {
		if (f.type == WIRE_DELIVER) {
			str_add(&w->got, f.deliver.body.p, f.deliver.body.len);
			str_addc(&w->got, '\n');
		} else if (f.type == WIRE_DONE) {
			assert_int_equal(f.done.what, WIRE_DONE_OK);
		} else {
			assert_int_equal(f.type, WIRE_WELCOME);
		}
		wire_drop(in, &f);
	}
}

static void turn(struct world *w)
{
	event_base_loop(w->base, EVLOOP_NONBLOCK);
}

/* Until all that is asked is answered that is answered at once. */
static void settle(struct world *w)
{
	for (int i = 0; i < 30; i++)
		turn(w);
}

static void start(struct world *w, uint64_t tail)
{
	struct tail_start *s = xcalloc(1, sizeof(*s));
	struct tail_batch *ready = xcalloc(1, sizeof(*ready));
	int fds[2];

	w->base = event_base_new();
	w->hub = poller_new(&w->cfg, w->base);
	memcpy(s->epoch, "e", 2);
	s->tail = tail;
	poller_on_start(&s->mail, w->hub);
	ready->kind = BATCH_READY;
	poller_on_batch(&ready->mail, w->hub);
	/* No journal: then the table would say what sessions there are. */
	if (!hub_is_open(w->hub))
		sessions_adopted(w->hub->sessions);
	w->id = tail;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conn_accept(w->hub, fds[0]);
	w->bev = bufferevent_socket_new(w->base, fds[1], BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(w->bev, on_frames, NULL, NULL, w);
	bufferevent_enable(w->bev, EV_READ);
	wire_put_hello(bufferevent_get_output(w->bev), WIRE_ROLE_FCGI, 1, 100);
	settle(w);
}

/* As if it was killed: what is in the journal is what the next one has. */
static void stop(struct world *w)
{
	bufferevent_free(w->bev);
	poller_stop(w->hub);
	poller_free(w->hub);
	event_base_free(w->base);
}

static void open_world(struct world *w)
{
	struct str set = STR_INIT, errors = STR_INIT;
	const char *sets[2];

	*w = (struct world){.ticket = 1};
	snprintf(w->dir, sizeof(w->dir), "/tmp/test_pace.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	str_addf(&set, "poller.socket=%s/s", w->dir);
	sets[0] = set.p;
	sets[1] = "socketio.list_wait_ms=0";
	if (!config_load(&w->cfg, "/dev/null", sets, 2, &errors))
		fail_msg("%s", errors.p);
	str_fini(&set);
	start(w, 100);
}

static void close_world(struct world *w)
{
	DIR *d;
	struct dirent *e;
	char path[512];

	stop(w);
	config_fini(&w->cfg);
	str_fini(&w->got);
	d = opendir(w->dir);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, e->d_name);
		unlink(path);
	}
	closedir(d);
	rmdir(w->dir);
}

/* ---- what it is asked ---- */

static void apply(struct world *w, const char *sid, const struct op *op)
{
	struct str ops = STR_INIT;

	ops_put(&ops, op);
	wire_put_apply(bufferevent_get_output(w->bev), w->ticket++, sid, 0, 0, 0, &ops);
	str_fini(&ops);
	settle(w);
}

static void open_session(struct world *w, const char *sid)
{
	static const struct str none = STR_INIT;

	wire_put_open(bufferevent_get_output(w->bev), w->ticket++, sid, "::1", 0, &none, &none);
	settle(w);
}

/* pid: of the session that it goes on from, behind the event `from`. */
static void join(struct world *w, const char *sid, const char *pid, uint64_t from)
{
	struct principal who = {.user_id = 7, .tenant_id = 1};
	struct str rights = STR_INIT;
	struct op op = {.type = OP_CONNECT,
		.flags = OP_OFFSETS | (from == OPS_FROM_NOW ? 0 : OP_RESUMES),
		.id = from,
		.nsp = {"/", 1},
		.socket_id = {sid, strlen(sid)},
		.pid = {pid, strlen(pid)},
		.caller = {.tenant_id = 1, .user_id = 7}};

	strlist_add(&who.perms, "*", 1);
	perm_rights_put(&rights, &who);
	op.rights = (struct slice){rights.p, rights.len};
	apply(w, sid, &op);
	str_fini(&rights);
	perm_rights_fini(&who);
}

static void subscribe(
	struct world *w, const char *sid, const char *topic, uint8_t view, const char *filter)
{
	const struct sub s = {.type = SUB_VIEW,
		.view = view,
		.name = {topic, strlen(topic)},
		.filter = {filter, strlen(filter)}};
	struct subs subs = {0};
	struct str bytes = STR_INIT;
	struct op op = {.type = OP_SUBSCRIBE};

	assert_true(subs_add(&subs, &s));
	subs_put(&bytes, &subs);
	op.bytes = (struct slice){bytes.p, bytes.len};
	apply(w, sid, &op);
	str_fini(&bytes);
	subs_fini(&subs);
}

static void poll(struct world *w, const char *sid)
{
	w->get = w->ticket++;
	wire_put_poll(bufferevent_get_output(w->bev), w->get, sid, 0, 0, 0);
	settle(w);
}

/* The same GET again, as the process that had it died before its client had the answer. */
static void poll_again(struct world *w, const char *sid)
{
	wire_put_poll(bufferevent_get_output(w->bev), w->get, sid, 0, 0, WIRE_IS_AGAIN);
	settle(w);
}

static void got(struct world *w, const char *expected)
{
	assert_string_equal(str_c(&w->got), expected);
	str_clear(&w->got);
}

static void wait_got(struct world *w, const char *expected)
{
	int64_t end = clock_ms() + 20000;

	while (!w->got.len && clock_ms() < end)
		event_base_loop(w->base, EVLOOP_ONCE);
	settle(w);
	got(w, expected);
}

/* ---- events ---- */

static struct db_val text(const char *s)
{
	return s ? dbv_s(s) : DBV_NULL;
}

static struct record *make(uint64_t id, const char *topic, const char *payload, const char *room)
{
	const struct db_val row[RECORD_COLUMNS_N] = {DBV_U(id), DBV_U(1), text(topic),
		text("update"), text(payload), text(room), DBV_NULL,
		text("2026-11-26 10:00:00.000")};

	return record_new(row);
}

/* n events, with these payloads, released together. */
static void release(struct world *w, const char *const *events, size_t n)
{
	struct tail_batch *b = xcalloc(1, sizeof(*b));

	b->records = xcalloc(n, sizeof(struct record *));
	b->n = n;
	for (size_t i = 0; i < n; i++)
		b->records[i] = make(++w->id, events[2 * i], events[2 * i + 1], NULL);
	b->tail = w->id;
	poller_on_batch(&b->mail, w->hub);
	settle(w);
}

static void one(struct world *w, const char *topic, const char *payload)
{
	release(w, (const char *const[]){topic, payload}, 1);
}

/* A session that has what it needs, and whose GET is held. */
static void begin(
	struct world *w, const char *sid, const char *topic, uint8_t view, const char *filter)
{
	open_session(w, sid);
	join(w, sid, sid, OPS_FROM_NOW);
	poll(w, sid);
	str_clear(&w->got);
	if (topic)
		subscribe(w, sid, topic, view, filter);
	poll(w, sid);
	got(w, "");
}

/* Until the session's window is over. */
static void over(struct world *w, const char *sid)
{
	struct session *s = session_find(w->hub->sessions, (struct slice){sid, strlen(sid)});

	while (!pace_is_open(&s->pace, clock_ms())) {
		turn(w);
		usleep(1000);
	}
}

#define S "\x1e"

/* The first goes at once; what comes within the window is one answer, in batches. */
static void is_slow(void **state)
{
	struct world w;

	open_world(&w);
	begin(&w, "s", "slow", 0, "");
	one(&w, "slow", "1");
	got(&w, "42[\"one\",1,\"e:101\"]\n");
	poll(&w, "s");
	for (char i = '2'; i < '7'; i++)
		one(&w, "slow", (const char[]){i, '\0'});
	got(&w, "");
	wait_got(&w, "42[\"batch\",[2,3,4],3,\"e:106\"]" S "42[\"batch\",[5,6],2,\"e:106\"]\n");
	/* Nobody was there when the window was over: then all at once. */
	one(&w, "slow", "7");
	over(&w, "s");
	one(&w, "slow", "8");
	poll(&w, "s");
	got(&w, "42[\"batch\",[7,8],2,\"e:108\"]\n");
	close_world(&w);
}

/* What has no pace goes at once, and is not held by what has. */
static void is_mixed(void **state)
{
	struct world w;

	open_world(&w);
	begin(&w, "s", "slow", 0, "");
	release(&w, (const char *const[]){"slow", "1", "plain", "2"}, 2);
	got(&w, "42[\"plain:update\",{\"eventId\":102,\"type\":\"update\",\"data\":2},\"e:102\"]" S
		"42[\"one\",1,\"e:102\"]\n");
	poll(&w, "s");
	one(&w, "slow", "3");
	got(&w, "");
	one(&w, "plain", "4");
	got(&w, "42[\"plain:update\",{\"eventId\":104,\"type\":\"update\",\"data\":4},\"e:104\"]"
		"\n");
	poll(&w, "s");
	got(&w, "");
	release(&w, (const char *const[]){"slow", "5", "plain", "6"}, 2);
	got(&w, "42[\"plain:update\",{\"eventId\":106,\"type\":\"update\",\"data\":6},\"e:106\"]"
		"\n");
	poll(&w, "s");
	wait_got(&w, "42[\"batch\",[3,5],2,\"e:106\"]\n");
	poll(&w, "s");
	got(&w, "");
	close_world(&w);
}

static void keeps_the_newest(void **state)
{
	struct world w;

	open_world(&w);
	begin(&w, "s", "newest", 0, "");
	one(&w, "newest", "1");
	got(&w, "42[\"one\",1,\"e:101\"]\n");
	poll(&w, "s");
	release(&w, (const char *const[]){"newest", "2", "newest", "3", "newest", "4"}, 3);
	wait_got(&w, "42[\"batch\",[3,4],2,\"e:104\"]\n");
	close_world(&w);
}

/* Past its rate it is told what it does not get. */
static void says_what_is_dropped(void **state)
{
	struct world w;

	open_world(&w);
	begin(&w, "s", "rated", 0, "");
	one(&w, "rated", "[1,2,{\"a\":[3,\"]\"]}]");
	got(&w, "42[\"batch\",[1,2,{\"a\":[3,\"]\"]}],3,\"e:101\"]\n");
	poll(&w, "s");
	release(&w,
		(const char *const[]){
			"rated", "[4, 5]", "rated", "[]", "rated", "6", "rated", "[7,8,9]"},
		4);
	wait_got(&w, "42[\"batch\",[4,5],2,\"e:105\"]" S "42[\"dropped\",[4,104,105],\"e:105\"]\n");
	close_world(&w);
}

/* Each entry for itself; an event whose entries are not all wanted brings the others. */
static void is_filtered(void **state)
{
	struct world w;

	open_world(&w);
	begin(&w, "a", "logs", 0, "a");
	begin(&w, "ac", "logs", 0, "ac");
	begin(&w, "all", "logs", 0, "");
	one(&w, "logs", "[\"a1\",\"b1\",\"a2\"]");
	assert_non_null(strstr(w.got.p, "42[\"logs\",[\"a1\",\"b1\",\"a2\"],\"e:101\"]\n"));
	assert_non_null(strstr(w.got.p, "42[\"logs\",[\"a1\",\"a2\"],\"e:101\"]\n"));
	assert_null(strstr(w.got.p, "[\"b1"));
	close_world(&w);
}

#define PLAIN(id, data)                                                                     \
	"42[\"plain:update\",{\"eventId\":" #id ",\"type\":\"update\",\"data\":" #data "}," \
	"\"e:" #id "\"]"

/* One that was given 2 at once, 3 has been held from, and 4 at once, which may not have come. */
static void hold_some(struct world *w)
{
	open_world(w);
	begin(w, "s", "slow", 0, "");
	release(w, (const char *const[]){"slow", "1", "plain", "2"}, 2);
	got(w, PLAIN(102, 2) S "42[\"one\",1,\"e:102\"]\n");
	poll(w, "s");
	release(w, (const char *const[]){"slow", "3", "plain", "4"}, 2);
	got(w, PLAIN(104, 4) "\n");
}

/* The same GET comes again: what is sent again does not bring what was held twice, nor lose it. */
static void is_sent_again(void **state)
{
	struct world w;

	hold_some(&w);
	over(&w, "s");
	poll_again(&w, "s");
	got(&w, PLAIN(104, 4) S "42[\"one\",3,\"e:104\"]\n");
	poll_again(&w, "s");
	got(&w, PLAIN(104, 4) "\n");
	poll(&w, "s");
	wait_got(&w, "42[\"one\",3,\"e:104\"]\n");
	poll(&w, "s");
	got(&w, "");
	close_world(&w);
}

/* What was held is in the journal as what is still to come. */
static void outlives_the_poller(void **state)
{
	static const char *const gone[] = {"slow", "1", "plain", "2", "slow", "3", "plain", "4"};
	struct world w;

	hold_some(&w);
	stop(&w);
	start(&w, 100);
	release(&w, gone, 4);
	poll(&w, "s");
	got(&w, "42[\"one\",3,\"e:104\"]\n");
	poll(&w, "s");
	got(&w, "");
	one(&w, "slow", "5");
	wait_got(&w, "42[\"one\",5,\"e:105\"]\n");
	close_world(&w);
}

/* Its client comes back with another session, and says what it has got. */
static void is_recovered(void **state)
{
	struct world w;

	hold_some(&w);
	open_session(&w, "t");
	join(&w, "t", "s", 104);
	poll(&w, "t");
	assert_non_null(strstr(str_c(&w.got), "42[\"one\",3,\"e:104\"]"));
	assert_null(strstr(str_c(&w.got), "plain"));
	str_clear(&w.got);
	poll(&w, "t");
	got(&w, "");
	close_world(&w);
	/* It has not got the last answer. */
	hold_some(&w);
	open_session(&w, "t");
	join(&w, "t", "s", 102);
	poll(&w, "t");
	assert_non_null(strstr(str_c(&w.got), PLAIN(104, 4) S "42[\"one\",3,\"e:104\"]"));
	close_world(&w);
}

/* ---- the index ---- */

static void park(struct world *w, const char *topic, const char *device)
{
	static const struct waiter_kind kind = {.is_told_late = true};
	struct wire_interest want = {.tenant_id = 1, .format = WIRE_SOCKET, .limit = 10};
	struct str key = STR_INIT;

	wire_interest_add_view(&want, slice_of(topic), 0, slice_of(device));
	wire_interest_put(&key, &want);
	wait_park(wait_new(TAILQ_FIRST(&w->hub->conns), w->ticket++,
		group_get(w->hub, key.p, key.len), &kind, NULL));
	wire_interest_fini(&want);
	str_fini(&key);
}

/* n waiters, each for a device of its own, and events of devices that there are and are not: how
 * often is a filter asked for each event? CMDB_TEST_GROUPS: how many, and how long it takes. */
static double cost(const char *topic, size_t n, size_t events_n)
{
	struct world w;
	int64_t began;
	double us;

	open_world(&w);
	for (size_t i = 0; i < n; i++) {
		char device[24];

		snprintf(device, sizeof(device), "%04zx", i);
		park(&w, topic, device);
	}
	began = clock_us();
	matches_n = 0;
	for (size_t i = 0; i < events_n; i++) {
		char payload[24];
		struct record *r;

		snprintf(payload, sizeof(payload), "\"%04zx\"", i * 2 % (2 * n));
		r = make(++w.id, topic, payload, NULL);
		fanout(w.hub, &r, 1, w.id, false);
		record_free(r);
	}
	us = (double)(clock_us() - began) / (double)events_n;
	settle(&w);
	close_world(&w);
	return us;
}

static void costs_what_it_matches(void **state)
{
	const char *groups = getenv("CMDB_TEST_GROUPS");
	size_t n = groups ? strtoul(groups, NULL, 10) : 500;
	double found, sought;

	found = cost("found", n, n);
	assert_int_equal(matches_n, n / 2);
	sought = cost("sought", n, n);
	assert_true(matches_n > n / 2 * n);
	if (groups)
		printf("%zu groups: %.1f us an event by keys, %.1f us without\n", n, found, sought);
}

/* ---- at random ---- */

/* What a client has got, of a view: numbers, ascending. A GET that comes again brings what its
 * client has not got; so does a poller that was killed. */
struct got {
	unsigned last[3];
};

static const char *const random_topics[] = {"plain", "quick", "logs"};

/* The numbers that a payload of an answer has of the topic: each is one more than the one before.
 */
static void take_numbers(struct got *g, size_t topic, const char *text)
{
	static const char *const marks[] = {"P", "S", "aL"};

	for (const char *p = text; (p = strstr(p, marks[topic]));) {
		unsigned n = (unsigned)strtoul(p + strlen(marks[topic]), NULL, 10);

		if (n != g->last[topic] + 1)
			fail_msg("%s: %u after %u: %s", random_topics[topic], n, g->last[topic],
				text);
		g->last[topic] = n;
		p++;
	}
}

/* The client has the answer, if there is one. */
static bool take_answer(struct world *w, struct got *g)
{
	if (!w->got.len)
		return false;
	for (size_t i = 0; i < ARRAY_N(random_topics); i++)
		take_numbers(g, i, w->got.p);
	str_clear(&w->got);
	return true;
}

struct random {
	struct world w;
	struct got client;
	struct str log; /* topics and payloads of all events, each followed by a NUL */
	unsigned made[3];
};

static void random_event(struct random *r, size_t topic)
{
	static const char *const before[] = {"\"P", "\"S", "[\"bL\",\"aL"};
	static const char *const after[] = {"\"", "\"", "\",\"c\"]"};
	char payload[48];

	snprintf(payload, sizeof(payload), "%s%u%s", before[topic], ++r->made[topic], after[topic]);
	str_add(&r->log, random_topics[topic], strlen(random_topics[topic]) + 1);
	str_add(&r->log, payload, strlen(payload) + 1);
	one(&r->w, random_topics[topic], payload);
}

/* Killed; the next one reads the log from its beginning. */
static void random_restart(struct random *r)
{
	const char *p = r->log.p, *end = p + r->log.len;
	bool is_early = mutate_any(2);

	stop(&r->w);
	str_clear(&r->w.got);
	start(&r->w, 100);
	if (is_early)
		poll_again(&r->w, "s"); /* its process knows of no answer */
	while (p < end) {
		const char *payload = p + strlen(p) + 1;

		one(&r->w, p, payload);
		p = payload + strlen(payload) + 1;
	}
	if (!is_early)
		poll_again(&r->w, "s");
}

static void random_step(struct random *r)
{
	uint32_t what = mutate_any(100);

	if (what < 55) {
		random_event(r, what % 3);
	} else if (what < 57) {
		random_restart(r);
	} else if (what < 64 && r->w.got.len) {
		str_clear(&r->w.got); /* the answer is lost, with who had it */
		poll_again(&r->w, "s");
	} else if (what < 70) {
		over(&r->w, "s");
		settle(&r->w);
	} else if (take_answer(&r->w, &r->client)) {
		poll(&r->w, "s");
	}
}

/* In the end each event has come, once, in its order. */
static void comes_once_at_random(void **state)
{
	struct random r = {0};

	open_world(&r.w);
	begin(&r.w, "s", "quick", 0, "");

	subscribe(&r.w, "s", "logs", 1, "ab");
	for (int i = 0; i < 1500; i++)
		random_step(&r);
	for (int i = 0; i < 200 && memcmp(r.client.last, r.made, sizeof(r.made)) != 0; i++) {
		over(&r.w, "s");
		settle(&r.w);
		if (take_answer(&r.w, &r.client))
			poll(&r.w, "s");
	}
	assert_memory_equal(r.client.last, r.made, sizeof(r.made));
	str_fini(&r.log);
	close_world(&r.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_slow),
		cmocka_unit_test(is_mixed),
		cmocka_unit_test(keeps_the_newest),
		cmocka_unit_test(says_what_is_dropped),
		cmocka_unit_test(is_filtered),
		cmocka_unit_test(is_sent_again),
		cmocka_unit_test(outlives_the_poller),
		cmocka_unit_test(is_recovered),
		cmocka_unit_test(comes_once_at_random),
		cmocka_unit_test(costs_what_it_matches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
