/*
 * What of the sessions outlives this process.
 *
 * The journal beside the socket has every change before an answer that shows it can leave: after
 * kill -9 the next poller of this host goes on with all of them, to the packet. The table
 * ws_sessions, written behind, has what other hosts and a later boot need of those that have a pid:
 * who it was, and how far.
 *
 * Records: u8 kind, u32 num (the session's), and what the kind's reader below takes.
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "journal.h"
#include "log.h"
#include "mem.h"
#include "saver.h"

#define JOURNAL_BYTES (16u * 1024 * 1024) /* begin anew past that */
#define SAVE_MS 1000
#define NUMS_MAX (4u * 1000 * 1000) /* numbers of sessions: there are never so many */
#define REFRESH_ALL_MS (3600 * 1000)

enum kind {
	REC_SESSION = 1, /* all but the queues, which stay as they are */
	REC_POLLED,      /* u8 is_again, try: a GET came, and said what of the answer before */
	REC_ANSWERED,    /* u64 cursor */
	REC_TAKEN,       /* u32 most: so many packets of the queue became inflight */
	REC_QUEUED,      /* the rest: packets */
	REC_APPLIED,     /* try of the POST */
	REC_FORGET,
	REC_CLOCKS,  /* boot, i64 ping_ms, pong_ms, begin_ms */
	REC_OVER,    /* of no session: session_over.c */
	REC_BODY,    /* of no session; the rest: what those that are queued as shared name */
	REC_SHARED,  /* blob text, key of the body, blob after, text topic: queued */
	REC_DROPPED, /* text topic: its rows were taken out of the queue */
	REC_LOST,    /* queue and inflight were thrown away */
	REC_PENDING  /* the rest: of a packet whose attachments are still to come */
};

/* Of the layout of a session's record, which is also in the table. Greater than any state, with
 * which a record began before it had a version. */
#define RECORD_VERSION 0x15

enum sock_flag { SOCK_OFFSETS = 1, SOCK_WARNED = 2 };
enum flag { HAS_PID = 1, HAS_LOST = 2, IS_ANSWERED = 4, HAS_PERSON = 8, DULL_TAGS = 16 };

/* ---- writing ---- */

static struct str begin(const struct session *s, enum kind kind)
{
	struct str rec = STR_INIT;

	bytes_put(&rec, kind, 1);
	bytes_put(&rec, s->num, 4);
	return rec;
}

static void put(struct session *s, struct str *rec)
{
	struct journal *j = s->hub->sessions->journal;

	if (j)
		journal_add(j, rec->p, rec->len);
	str_fini(rec);
}

static void put_list(struct str *rec, const struct strlist *l)
{
	bytes_put(rec, l->n, 2);
	for (size_t i = 0; i < l->n; i++)
		bytes_put_text(rec, l->v[i]);
}

static void put_person(struct str *rec, const struct person *p)
{
	struct ops_caller c = person_caller(p);

	ops_caller_put(rec, &c);
}

static void put_text(struct str *rec, const char *text)
{
	bytes_put_text(rec, text ? text : "");
}

static void put_try(struct str *rec, const struct try *t)
{
	bytes_put(rec, t->process, 8);
	bytes_put(rec, t->ticket, 8);
	bytes_put(rec, t->tag, 8);
	bytes_put(rec, t->is_cgi, 1);
}

/* Monotonic, and so of this boot alone. */
static void put_clocks(struct str *rec, const struct session *s)
{
	bytes_put(rec, s->hub->sessions->boot, 8);
	bytes_put(rec, (uint64_t)s->ping_ms, 8);
	bytes_put(rec, (uint64_t)s->pong_ms, 8);
	bytes_put(rec, (uint64_t)s->begin_ms, 8);
}

static void put_session(struct str *rec, const struct session *s)
{
	bytes_put(rec, RECORD_VERSION, 1);
	bytes_put(rec, s->state, 1);
	bytes_put(rec, s->end, 1);
	bytes_put(rec,
		(s->has_pid ? HAS_PID : 0) | (s->has_lost ? HAS_LOST : 0) |
			(s->has_dull_tags ? DULL_TAGS : 0) | (s->is_answered ? IS_ANSWERED : 0) |
			(s->person ? HAS_PERSON : 0),
		1);
	str_add(rec, s->key, sizeof(s->key));
	str_add(rec, s->pid, sizeof(s->pid));
	bytes_put(rec, s->answer_packets, 2);
	put_text(rec, s->client_id);
	put_text(rec, s->address);
	put_text(rec, s->about);
	put_person(rec, s->person);
	bytes_put(rec, s->socks_n, 1);
	for (size_t i = 0; i < s->socks_n; i++) {
		const struct sock *k = &s->socks[i];

		put_text(rec, k->nsp);
		put_text(rec, k->id);
		put_person(rec, k->person);
		bytes_put(rec, (uint64_t)k->joined_wall_ms, 8);
		bytes_put(rec,
			(k->has_offsets ? SOCK_OFFSETS : 0) | (k->is_warned ? SOCK_WARNED : 0), 1);
		bytes_put(rec, k->next_ack, 8);
	}
	bytes_put_blob(rec, s->group->key, s->group->key_len);
	put_list(rec, &s->joined);
	put_list(rec, &s->requested);
	bytes_put(rec, s->skips_n, 2);
	for (size_t i = 0; i < s->skips_n; i++) {
		put_text(rec, s->skips[i].topic);
		bytes_put(rec, s->skips[i].upto, 8);
	}
	bytes_put(rec, s->acked, 8);
	bytes_put(rec, s->cursor, 8);
	put_try(rec, &s->got);
	put_try(rec, &s->put);
	bytes_put(rec, (uint64_t)s->opened_wall_ms, 8);
	put_clocks(rec, s);
	bytes_put(rec, (uint64_t)s->connect_ms, 8);
	bytes_put(rec, (uint64_t)s->close_ms, 8);
	bytes_put(rec, (uint64_t)s->ended_ms, 8);
	bytes_put(
		rec, s->ended_ms ? (uint64_t)(clock_wall_ms() - (clock_ms() - s->ended_ms)) : 0, 8);
}

static void touch(struct session *s)
{
	struct sessions *ss = s->hub->sessions;

	if (s->is_dirty || !s->has_pid || s->state == SESSION_CLOSING)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&ss->dirty, s, dirty_entry);
}

void store_session(struct session *s)
{
	struct str rec = begin(s, REC_SESSION);

	put_session(&rec, s);
	put(s, &rec);
	touch(s);
}

static void put_number(struct session *s, enum kind kind, uint64_t v)
{
	struct str rec = begin(s, kind);

	bytes_put(&rec, v, 8);
	put(s, &rec);
}

void store_polled(struct session *s, bool is_again)
{
	struct str rec = begin(s, REC_POLLED);

	bytes_put(&rec, is_again, 1);
	put_try(&rec, &s->got);
	put(s, &rec);
}

void store_answered(struct session *s)
{
	put_number(s, REC_ANSWERED, s->cursor);
}

void store_applied(struct session *s)
{
	struct str rec = begin(s, REC_APPLIED);

	put_try(&rec, &s->put);
	put(s, &rec);
}

void store_clocks(struct session *s)
{
	struct str rec = begin(s, REC_CLOCKS);

	put_clocks(&rec, s);
	put(s, &rec);
}

void store_over(struct sessions *ss, const struct over *o)
{
	struct str rec = STR_INIT;

	bytes_put(&rec, REC_OVER, 1);
	bytes_put(&rec, 0, 4);
	sessions_over_put(ss, &rec, o);
	if (ss->journal)
		journal_add(ss->journal, rec.p, rec.len);
	str_fini(&rec);
}

void store_taken(struct session *s, uint32_t most)
{
	struct str rec = begin(s, REC_TAKEN);

	bytes_put(&rec, most, 4);
	put(s, &rec);
}

void store_forget(struct session *s)
{
	struct str rec = begin(s, REC_FORGET);
	struct saver_row row = {.is_gone = true};

	put(s, &rec);
	if (!s->is_saved)
		return;
	memcpy(row.id, s->key, sizeof(row.id));
	saver_put(s->hub->sessions->saver, &row, 1);
}

/* What lets one in for hours is not written down in clear: the token that a login to /admin brings.
 * Should this process die before the client has it, the client asks for the password again. A noop
 * stands for it, so that packets are counted alike in a replay. */
static bool is_secret(const char *packet, size_t len)
{
	static const char head[] = "42/admin,[\"session\",";

	return len >= sizeof(head) - 1 && memcmp(packet, head, sizeof(head) - 1) == 0;
}

void store_queued(struct session *s, const void *packets, size_t len)
{
	const char *p = packets, *end = p + len;
	struct str rec = begin(s, REC_QUEUED);

	while (p < end) {
		const char *stop = memchr(p, '\x1e', (size_t)(end - p));
		size_t packet_len = (size_t)((stop ? stop : end) - p);

		if (is_secret(p, packet_len))
			str_adds(&rec, "6");
		else
			str_add(&rec, p, packet_len);
		if (stop)
			str_addc(&rec, '\x1e');
		p = stop ? stop + 1 : end;
	}
	put(s, &rec);
}

/* A body is written once, before the first who is to get it. */
static void keep_body(struct session *s, struct shared *body)
{
	struct journal *j = s->hub->sessions->journal;
	struct str rec = STR_INIT;

	if (!j || body->is_kept)
		return;
	body->is_kept = true;
	bytes_put(&rec, REC_BODY, 1);
	bytes_put(&rec, 0, 4);
	str_add(&rec, body->bytes, body->len);
	put(s, &rec);
}

void store_piece(struct session *s, const struct piece *p)
{
	struct str rec = STR_INIT;

	if (!p->body) {
		store_queued(s, str_c(&p->text), p->text.len);
		return;
	}
	keep_body(s, p->body);
	rec = begin(s, REC_SHARED);
	bytes_put_blob(&rec, str_c(&p->text), p->text.len);
	str_add(&rec, p->body->key, SHARED_KEY_SIZE);
	bytes_put_blob(&rec, str_c(&p->after), p->after.len);
	put_text(&rec, p->topic);
	put(s, &rec);
}

void store_dropped_rows(struct session *s, struct slice topic)
{
	struct str rec = begin(s, REC_DROPPED);

	bytes_put_slice(&rec, topic);
	put(s, &rec);
}

void store_lost(struct session *s)
{
	struct str rec = begin(s, REC_LOST);

	put(s, &rec);
}

void store_pending(struct session *s)
{
	struct str rec = begin(s, REC_PENDING);

	str_add(&rec, str_c(&s->pending), s->pending.len);
	put(s, &rec);
}

/* ---- reading ---- */

static void read_list(struct bytes *b, struct strlist *l)
{
	size_t n = bytes_u16(b);

	for (size_t i = 0; i < n && !b->is_bad; i++) {
		struct slice t = bytes_text(b);

		strlist_add(l, t.p, t.len);
	}
}

static struct person *read_person(struct bytes *b)
{
	struct ops_caller c = ops_caller_get(b);

	return person_new(&c);
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
		k->person = read_person(b);
		k->joined_wall_ms = read_time(b);
		flags = bytes_u8(b);
		k->has_offsets = flags & SOCK_OFFSETS;
		k->is_warned = flags & SOCK_WARNED;
		k->next_ack = bytes_u64(b);
	}
}

static void read_group(struct bytes *b, struct session *s)
{
	struct slice key = bytes_blob(b);
	struct group *g = b->is_bad ? NULL : group_get(s->hub, key.p, key.len);

	if (g)
		session_set_group(s, g);
}

static void read_skips(struct bytes *b, struct session *s)
{
	size_t n = bytes_u16(b);

	for (size_t i = 0; i < n && !b->is_bad; i++) {
		struct skip skip = {.topic = slice_dup(bytes_text(b)), .upto = bytes_u64(b)};

		s->skips = xreallocarray(s->skips, s->skips_n + 1, sizeof(*s->skips));
		s->skips[s->skips_n++] = skip;
	}
}

static void read_try(struct bytes *b, struct try *t)
{
	t->process = bytes_u64(b);
	t->ticket = bytes_u64(b);
	t->tag = bytes_u64(b);
	t->is_cgi = bytes_u8(b);
}

/* false: they were of another boot, and are not known. */
static bool read_clocks(struct bytes *b, struct session *s)
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
	bool is_known = read_clocks(b, s);
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

static struct session *slot(struct sessions *ss, uint32_t num)
{
	return num < ss->slots_n ? ss->slots[num] : NULL;
}

/* A session as put_session() wrote it; the queues of the one with this number go over to it. NULL:
 * it is no such record. */
static struct session *read_session(struct sessions *ss, uint32_t num, struct bytes *b)
{
	bool is_ours = bytes_u8(b) == RECORD_VERSION;
	enum session_state state = (enum session_state)bytes_u8(b);
	uint8_t end = bytes_u8(b), flags = bytes_u8(b);
	struct slice key = bytes_take(b, SESSION_KEY_SIZE), pid = bytes_take(b, SESSION_KEY_SIZE);
	struct session *s = slot(ss, num), *other;
	struct packets queue = {.n = 0}, inflight = {.n = 0};
	struct str pending = STR_INIT;

	if (b->is_bad || !is_ours || state >= SESSION_STATES || end >= END_N ||
		(num >= NUMS_MAX && num != SESSION_ANY_NUM))
		return NULL;
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
	s->person = read_person(b);
	if (!(flags & HAS_PERSON)) {
		person_put(s->person);
		s->person = NULL;
	}
	read_socks(b, s);
	read_group(b, s);
	read_list(b, &s->joined);
	read_list(b, &s->requested);
	read_skips(b, s);
	s->acked = bytes_u64(b);
	s->cursor = bytes_u64(b);
	read_try(b, &s->got);
	read_try(b, &s->put);
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

static void read_shared(struct session *s, struct bytes *b)
{
	struct slice text = bytes_blob(b), key = bytes_take(b, SHARED_KEY_SIZE);
	struct slice after = bytes_blob(b), topic = bytes_text(b);
	struct shared *body = b->is_bad ? NULL : shared_find(&s->hub->pool, key);

	if (body)
		packets_add_shared(&s->queue, body, text, after, topic);
	else
		s->has_lost = true;
}

static void replay_one(struct sessions *ss, struct bytes b)
{
	enum kind kind = (enum kind)bytes_u8(&b);
	uint32_t num = bytes_u32(&b);
	struct session *s = slot(ss, num);

	if (b.is_bad)
		return;
	if (kind == REC_SESSION) {
		if (!read_session(ss, num, &b))
			log_warn("journal", "a session in the journal cannot be read");
		return;
	}
	if (kind == REC_OVER)
		sessions_over_get(ss, &b);
	if (!s || kind == REC_OVER)
		return;
	switch (kind) {
	case REC_POLLED:
		session_settle(s, bytes_u8(&b));
		read_try(&b, &s->got);
		break;
	case REC_ANSWERED:
		s->cursor = bytes_u64(&b);
		s->is_answered = true;
		break;
	case REC_TAKEN:
		packets_move(&s->inflight, &s->queue, bytes_u32(&b));
		break;
	case REC_QUEUED:
		packets_add(&s->queue, bytes_take(&b, (size_t)(b.end - b.p)));
		break;
	case REC_SHARED:
		read_shared(s, &b);
		break;
	case REC_DROPPED:
		packets_drop_rows(&s->queue, bytes_text(&b));
		break;
	case REC_LOST:
		packets_fini(&s->queue);
		packets_fini(&s->inflight);
		break;
	case REC_PENDING:
		str_clear(&s->pending);
		str_add(&s->pending, b.p, (size_t)(b.end - b.p));
		break;
	case REC_APPLIED:
		read_try(&b, &s->put);
		break;
	case REC_FORGET:
		session_free(s);
		return;
	case REC_CLOCKS:
		read_clocks(&b, s);
		break;
	case REC_SESSION:
	case REC_OVER:
	case REC_BODY:
		break;
	}
	session_weigh(s);
}

struct replay {
	struct sessions *ss;
	struct packets bodies; /* they stay until all who name them are read */
};

static void read_body(struct replay *r, struct slice bytes)
{
	static const struct slice none = {"", 0};
	struct shared *body = shared_get(&r->ss->hub->pool, bytes);

	if (!body->is_kept)
		packets_add_shared(&r->bodies, body, none, none, none);
	body->is_kept = true;
	shared_return(body);
}

static void replay(const void *rec, size_t len, void *arg)
{
	struct replay *r = arg;
	struct sessions *ss = r->ss;
	const char *p = rec;

	if (len > 5 && p[0] == REC_BODY)
		read_body(r, (struct slice){p + 5, len - 5});
	else
		replay_one(ss, bytes_of(rec, len));
	/* Nobody walks yet, and a long journal replaces each session many times. */
	grave_empty(&ss->hub->grave);
}

/* ---- the journal's life ---- */

static void dump_queues(struct session *s)
{
	for (size_t i = 0; i < s->inflight.n; i++)
		store_piece(s, &s->inflight.v[i]);
	if (s->inflight.n)
		store_taken(s, PACKETS_ALL);
	for (size_t i = 0; i < s->queue.n; i++)
		store_piece(s, &s->queue.v[i]);
	if (s->pending.len)
		store_pending(s);
}

static void dump(struct journal *j, void *arg)
{
	struct sessions *ss = arg;

	for (struct shared *b = ss->hub->pool.by_key; b; b = b->hh.next)
		b->is_kept = false;
	for (int i = 0; i < SESSION_STATES; i++) {
		struct session *s;

		TAILQ_FOREACH (s, &ss->lists[i], entry) {
			struct str rec = begin(s, REC_SESSION);

			put_session(&rec, s);
			put(s, &rec);
			dump_queues(s);
		}
	}
	for (struct over *o = sessions_over_next(ss, NULL); o; o = sessions_over_next(ss, o))
		store_over(ss, o);
}

void store_flush(struct sessions *ss)
{
	if (!ss->journal)
		return;
	journal_flush(ss->journal);
	if (journal_wants_rewrite(ss->journal))
		journal_rewrite(ss->journal, dump, ss);
}

void store_epoch(struct sessions *ss)
{
	for (size_t i = 0; i < ss->slots_n; i++)
		if (ss->slots[i])
			touch(ss->slots[i]);
	if (!ss->journal)
		return;
	journal_set_epoch(ss->journal, ss->hub->epoch);
	journal_rewrite(ss->journal, dump, ss);
}

static void open_journal(struct sessions *ss)
{
	struct str path = STR_INIT, note = STR_INIT;
	struct replay r = {.ss = ss};

	str_addf(&path, "%s.sessions", ss->hub->cfg->poller.socket);
	ss->journal = journal_open(str_c(&path), ss->hub->epoch, JOURNAL_BYTES, replay, &r, &note);
	packets_fini(&r.bodies);
	if (ss->journal && journal_was_bad(ss->journal))
		log_error("journal", "%s: %s; its sessions are gone", str_c(&path), str_c(&note));
	else if (ss->journal)
		log_info("journal", "%s: %s", str_c(&path), str_c(&note));
	else
		log_error("journal", "%s: %s; sessions will not outlive this process",
			str_c(&path), str_c(&note));
	str_fini(&path);
	str_fini(&note);
}

/* ---- the table ---- */

static struct saver_row row_of(const struct session *s, struct str *record, struct str *topics)
{
	const struct sock *k = session_sock((struct session *)s, (struct slice){"/", 1});
	int64_t now = clock_wall_ms();
	struct saver_row row = {.has_pid = true,
		.epoch = s->has_lost ? "" : s->hub->epoch,
		.address = s->address,
		.cursor_id = s->has_lost ? INT64_MAX : s->acked,
		.connected_at_ms = s->opened_wall_ms,
		.seen_at_ms = now};

	memcpy(row.id, s->key, sizeof(row.id));
	memcpy(row.pid, s->pid, sizeof(row.pid));
	if (s->state == SESSION_GONE)
		row.ended_at_ms = now - (clock_ms() - s->ended_ms);
	if (k) {
		row.socket_id = k->id;
		row.username = k->person->username;
		row.jti = k->person->jti;
		row.tenant_id = k->person->tenant_id;
		row.user_id = k->person->user_id;
		row.apikey_id = k->person->apikey_id;
		row.token_expires_at_ms = k->person->expires_s * 1000;
		row.connected_at_ms = k->joined_wall_ms;
	}
	for (size_t i = 0; i < s->requested.n; i++)
		str_addf(topics, i ? ",%s" : "%s", s->requested.v[i]);
	row.topics = str_c(topics);
	put_session(record, s);
	row.record = (struct slice){record->p, record->len};
	return row;
}

static void save(struct session *s)
{
	struct str record = STR_INIT, topics = STR_INIT;
	struct saver_row row = row_of(s, &record, &topics);

	saver_put(s->hub->sessions->saver, &row, 1);
	s->is_saved = true;
	s->saved_cursor = s->acked;
	str_fini(&record);
	str_fini(&topics);
}

/* A row whose cursor lies too far back would not do for a recovery, and one that is not seen for a
 * day is pruned. */
static void refresh(struct sessions *ss, int64_t now)
{
	uint64_t far = (uint64_t)ss->hub->cfg->socketio.max_replay / 10;
	bool is_time = now - ss->refreshed_ms > REFRESH_ALL_MS;
	struct session *s;

	TAILQ_FOREACH (s, &ss->lists[SESSION_JOINED], entry)
		if (is_time || s->acked - s->saved_cursor > far)
			touch(s);
	if (is_time)
		ss->refreshed_ms = now;
}

void store_tick(struct sessions *ss, int64_t now)
{
	struct session *s;

	if (now - ss->saved_ms < SAVE_MS)
		return;
	ss->saved_ms = now;
	refresh(ss, now);
	while ((s = TAILQ_FIRST(&ss->dirty))) {
		TAILQ_REMOVE(&ss->dirty, s, dirty_entry);
		s->is_dirty = false;
		if (s->has_pid)
			save(s);
	}
}

static void on_survived(evutil_socket_t fd, short what, void *arg)
{
	struct sessions *ss = arg;

	journal_settled(ss->journal);
}

void store_adopted(struct sessions *ss)
{
	static const struct timeval next_turn = {0};

	event_base_once(ss->hub->base, -1, EV_TIMEOUT, on_survived, ss, &next_turn);
}

static void on_loaded(struct mail *mail, void *owner)
{
	struct saver_mail *m = (struct saver_mail *)mail;
	struct hub *hub = owner;
	struct sessions *ss = hub->sessions;

	for (size_t i = 0; i < m->n; i++) {
		struct bytes b = bytes_of(m->rows[i]->record.p, m->rows[i]->record.len);
		struct session *s;

		if (m->rows[i]->is_over) {
			sessions_over_load(ss, m->rows[i]);
			continue;
		}
		/* A cursor of another log is none: its client is told that its sid is not known,
		 * and begins anew. */
		if (strcmp(m->rows[i]->epoch, hub->epoch) != 0)
			continue;
		s = read_session(ss, SESSION_ANY_NUM, &b);
		if (!s)
			continue;
		/* Rows are not written with each ping. */
		s->ping_ms = s->pong_ms = s->connect_ms = s->close_ms = s->begin_ms = 0;
		s->is_saved = true;
		store_session(s);
	}
	saver_mail_free(m);
	sessions_adopted(ss);
}

/* ---- all of it ---- */

void store_run(struct sessions *ss)
{
	struct hub *hub = ss->hub;

	ss->saver = saver_new(hub->cfg, &hub->mailbox, on_loaded);
	saver_run(ss->saver);
}

bool store_open(struct sessions *ss)
{
	open_journal(ss);
	if (ss->by_key || ss->n[SESSION_GONE] || ss->overs) {
		sessions_over_save(ss);
		/* Each that has a pid has a row, or is about to have one. */
		for (size_t i = 0; i < ss->slots_n; i++)
			if (ss->slots[i]) {
				ss->slots[i]->is_saved = ss->slots[i]->has_pid;
				touch(ss->slots[i]);
			}
		return true;
	}
	saver_load(ss->saver, ss->hub->cfg->socketio.recovery_ms);
	return false;
}

void store_close(struct sessions *ss)
{
	ss->saved_ms = 0;
	if (ss->is_adopted)
		store_tick(ss, clock_ms());
	saver_stop(ss->saver);
	journal_close(ss->journal);
	ss->journal = NULL;
}

void store_free(struct sessions *ss)
{
	saver_free(ss->saver);
}
