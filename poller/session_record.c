#include "session_record.h"

#include <string.h>

#include "clock.h"
#include "hub.h"
#include "mem.h"
#include "rights.h"
#include "session.h"
#include "session_queue.h"
#include "session_wants.h"
#include "sessions.h"

#define NUMS_MAX (4u * 1000 * 1000) /* numbers of sessions: there are never so many */

/* Of the layout of a session's record, which is also in the table. Greater than any state, with
 * which a record began before it had a version. */
#define RECORD_VERSION 0x17

enum sock_flag { SOCK_OFFSETS = 1, SOCK_WARNED = 2 };
enum flag { HAS_PID = 1, HAS_LOST = 2, IS_ANSWERED = 4, HAS_CALLER = 8, DULL_TAGS = 16 };

/* ---- writing ---- */

static void put_caller(struct str *rec, const struct caller *c)
{
	struct caller_view v = caller_view(c);

	caller_put(rec, &v);
}

static void session_record_put_text(struct str *rec, const char *text)
{
	bytes_put_text(rec, text ? text : "");
}

void session_record_put_asked(struct str *rec, const struct asked *t)
{
	bytes_put(rec, t->process, 8);
	bytes_put(rec, t->ticket, 8);
	bytes_put(rec, t->tag, 8);
	bytes_put(rec, t->is_cgi, 1);
}

void session_record_put_clocks(struct str *rec, const struct session *s)
{
	bytes_put(rec, s->hub->sessions->boot, 8);
	bytes_put(rec, (uint64_t)s->ping_ms, 8);
	bytes_put(rec, (uint64_t)s->pong_ms, 8);
	bytes_put(rec, (uint64_t)s->begin_ms, 8);
}

void session_record_put(struct str *rec, const struct session *s)
{
	struct slice rights;

	bytes_put(rec, RECORD_VERSION, 1);
	subs_put(rec, &s->subs);
	bytes_put(rec, s->state, 1);
	bytes_put(rec, s->end, 1);
	bytes_put(rec,
		(s->has_pid ? HAS_PID : 0) | (s->has_lost ? HAS_LOST : 0) |
			(s->has_dull_tags ? DULL_TAGS : 0) | (s->is_answered ? IS_ANSWERED : 0) |
			(s->caller ? HAS_CALLER : 0),
		1);
	str_add(rec, s->key, sizeof(s->key));
	str_add(rec, s->pid, sizeof(s->pid));
	bytes_put(rec, s->answer_packets, 2);
	session_record_put_text(rec, s->client_id);
	session_record_put_text(rec, s->address);
	session_record_put_text(rec, s->about);
	put_caller(rec, s->caller);
	bytes_put(rec, s->socks_n, 1);
	for (size_t i = 0; i < s->socks_n; i++) {
		const struct sock *k = &s->socks[i];

		session_record_put_text(rec, k->nsp);
		session_record_put_text(rec, k->id);
		put_caller(rec, k->caller);
		bytes_put(rec, (uint64_t)k->joined_wall_ms, 8);
		bytes_put(rec,
			(k->has_offsets ? SOCK_OFFSETS : 0) | (k->is_warned ? SOCK_WARNED : 0), 1);
		bytes_put(rec, k->next_ack, 8);
	}
	rights = rights_bytes(s->rights);
	bytes_put_blob(rec, rights.p, rights.len);
	strlist_put(rec, &s->requested);
	bytes_put(rec, s->skips_n, 2);
	for (size_t i = 0; i < s->skips_n; i++) {
		session_record_put_text(rec, s->skips[i].topic);
		bytes_put(rec, s->skips[i].by_view, 1);
		bytes_put(rec, s->skips[i].upto, 8);
	}
	bytes_put(rec, s->acked, 8);
	bytes_put(rec, s->cursor, 8);
	bytes_put(rec, s->pace.acked, 8);
	bytes_put(rec, s->pace.shown, 8);
	session_record_put_asked(rec, &s->got);
	session_record_put_asked(rec, &s->put);
	bytes_put(rec, s->posts_n, 8);
	bytes_put(rec, (uint64_t)s->opened_wall_ms, 8);
	session_record_put_clocks(rec, s);
	bytes_put(rec, (uint64_t)s->connect_ms, 8);
	bytes_put(rec, (uint64_t)s->close_ms, 8);
	bytes_put(rec, (uint64_t)s->ended_ms, 8);
	bytes_put(
		rec, s->ended_ms ? (uint64_t)(clock_wall_ms() - (clock_ms() - s->ended_ms)) : 0, 8);
}

/* ---- reading ---- */

static struct caller *read_caller(struct bytes *b)
{
	struct caller_view v = caller_get(b);

	return caller_new(&v);
}

/* Wall clock, in milliseconds. */
static int64_t read_time(struct bytes *b)
{
	uint64_t t = bytes_u64(b);

	if (t > CLOCK_S_MAX * 1000ULL)
		b->is_bad = true;
	return b->is_bad ? 0 : (int64_t)t;
}

/* Monotonic; before the boot it is negative. */
static int64_t read_clock(struct bytes *b)
{
	int64_t t = (int64_t)bytes_u64(b);

	if (t > CLOCK_S_MAX * 1000 || t < -CLOCK_S_MAX * 1000)
		b->is_bad = true;
	return b->is_bad ? 0 : t;
}

static void read_socks(struct bytes *b, struct session *s)
{
	size_t n = bytes_u8(b);
	uint8_t flags;

	for (size_t i = 0; i < n && i < OPS_SOCKETS_MAX && !b->is_bad; i++) {
		struct sock *k = &s->socks[s->socks_n++];

		k->nsp = slice_dup(bytes_text(b));
		k->id = slice_dup(bytes_text(b));
		k->caller = read_caller(b);
		k->joined_wall_ms = read_time(b);
		flags = bytes_u8(b);
		k->has_offsets = flags & SOCK_OFFSETS;
		k->is_warned = flags & SOCK_WARNED;
		k->next_ack = bytes_u64(b);
	}
}

static void read_rights(struct bytes *b, struct session *s)
{
	struct slice rights = bytes_blob(b);
	struct subs gone = {0};

	/* Judged again: what a kind of rooms lets in may have changed with the release. */
	if (!b->is_bad && session_sock(s, (struct slice){NSP_MAIN, 1}))
		session_begin_rights(s, rights, &gone);
	subs_fini(&gone);
}

static void read_skips(struct bytes *b, struct session *s)
{
	size_t n = bytes_u16(b);

	for (size_t i = 0; i < n && !b->is_bad; i++) {
		struct skip skip = {.topic = slice_dup(bytes_text(b))};

		skip.by_view = bytes_u8(b);
		skip.upto = bytes_u64(b);
		s->skips = xreallocarray(s->skips, s->skips_n + 1, sizeof(*s->skips));
		s->skips[s->skips_n++] = skip;
	}
}

void session_record_get_asked(struct bytes *b, struct asked *t)
{
	t->process = bytes_u64(b);
	t->ticket = bytes_u64(b);
	t->tag = bytes_u64(b);
	t->is_cgi = bytes_u8(b);
}

bool session_record_get_clocks(struct bytes *b, struct session *s)
{
	bool is_known = bytes_u64(b) == s->hub->sessions->boot && s->hub->sessions->boot;
	int64_t ping = read_clock(b), pong = read_clock(b), begin = read_clock(b);

	s->ping_ms = is_known ? ping : 0;
	s->pong_ms = is_known ? pong : 0;
	s->begin_ms = is_known ? begin : 0;
	return is_known;
}

static void read_deadlines(struct bytes *b, struct session *s)
{
	bool is_known = session_record_get_clocks(b, s);
	int64_t connect = read_clock(b), close = read_clock(b);
	int64_t ended = read_clock(b), ended_wall = read_time(b);
	int64_t age = clock_wall_ms() - ended_wall;

	s->connect_ms = is_known ? connect : 0;
	s->close_ms = is_known ? close : 0;
	if (!ended || is_known)
		s->ended_ms = ended;
	else
		s->ended_ms = clock_ms() - (age > 0 ? age : 0);
}

/* What a record begins with. */
static bool read_subs(struct bytes *b, struct subs *subs)
{
	*subs = (struct subs){0};
	return bytes_u8(b) == RECORD_VERSION && subs_get(b, subs);
}

bool session_record_get_subs(struct slice record, struct subs *subs)
{
	struct bytes b = bytes_of(record.p, record.len);

	return read_subs(&b, subs);
}

struct session *session_record_get(struct sessions *ss, uint32_t num, struct bytes *b)
{
	struct subs subs;
	bool is_ours = read_subs(b, &subs);
	enum session_state state = (enum session_state)bytes_u8(b);
	uint8_t end = bytes_u8(b), flags = bytes_u8(b);
	struct slice key = bytes_take(b, SESSION_KEY_SIZE), pid = bytes_take(b, SESSION_KEY_SIZE);
	struct session *s = sessions_at(ss, num), *other;
	struct packets queue = {.n = 0}, inflight = {.n = 0};
	struct str pending = STR_INIT;

	if (b->is_bad || !is_ours || state >= SESSION_STATES || end >= END_N ||
		(num >= NUMS_MAX && num != SESSION_ANY_NUM)) {
		subs_fini(&subs);
		return NULL;
	}
	if (s) {
		queue = s->queue;
		inflight = s->inflight;
		pending = s->pending;
		s->queue = s->inflight = (struct packets){.n = 0};
		s->pending = (struct str)STR_INIT;
		session_free(s);
	}
	HASH_FIND(hh, ss->by_key, key.p, SESSION_KEY_SIZE, other);
	if (other)
		session_free(other);
	s = session_new(ss, (const unsigned char *)key.p, num);
	s->queue = queue;
	s->inflight = inflight;
	s->pending = pending;
	session_weigh(s);
	s->answer_packets = bytes_u16(b);
	s->client_id = slice_dup(bytes_text(b));
	s->address = slice_dup(bytes_text(b));
	s->about = slice_dup(bytes_text(b));
	s->caller = read_caller(b);
	if (!(flags & HAS_CALLER)) {
		caller_unref(s->caller);
		s->caller = NULL;
	}
	read_socks(b, s);
	s->subs = subs;
	read_rights(b, s);
	strlist_get(b, &s->requested);
	read_skips(b, s);
	s->acked = bytes_u64(b);
	s->cursor = bytes_u64(b);
	s->pace.acked = bytes_u64(b);
	s->pace.shown = bytes_u64(b);
	session_record_get_asked(b, &s->got);
	session_record_get_asked(b, &s->put);
	s->posts_n = bytes_u64(b);
	s->opened_wall_ms = read_time(b);
	read_deadlines(b, s);
	s->end = (enum session_end)end;
	s->has_lost = flags & HAS_LOST;
	s->is_answered = flags & IS_ANSWERED;
	s->has_dull_tags = flags & DULL_TAGS;
	other = session_find_pid(ss, (const unsigned char *)pid.p);
	if ((flags & HAS_PID) && (!other || other == s))
		session_set_pid(s, (const unsigned char *)pid.p);
	if (!bytes_are_done(b)) {
		session_free(s);
		return NULL;
	}
	if (state == SESSION_GONE)
		HASH_DEL(ss->by_key, s);
	session_move(s, state);
	return s;
}
