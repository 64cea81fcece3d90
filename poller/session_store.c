/* Records: u8 kind, u32 num (the session's), and what the kind's reader below takes. */
#include "session_store.h"

#include <stdlib.h>
#include <string.h>

#include "abroad.h"
#include "clock.h"
#include "grave.h"
#include "hub.h"
#include "journal.h"
#include "log.h"
#include "mem.h"
#include "packets.h"
#include "saver.h"
#include "session.h"
#include "session_over.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_record.h"
#include "session_row.h"
#include "sessions.h"
#include "shared.h"

#define JOURNAL_BYTES (16u * 1024 * 1024) /* begin anew past that */

enum kind {
	REC_SESSION = 1, /* all but the queues, which stay as they are */
	REC_POLLED, /* u8 is_again, struct asked: a GET came, and said what of the answer before */
	REC_ANSWERED, /* u64 cursor, u64 shown of paced views */
	REC_TAKEN,    /* u32 most: so many packets of the queue became inflight */
	REC_QUEUED,   /* the rest: packets */
	REC_APPLIED,  /* struct asked of the POST, u64 posts_n */
	REC_FORGET,
	REC_CLOCKS,  /* boot, i64 ping_ms, pong_ms, begin_ms */
	REC_OVER,    /* of no session: session_over.h */
	REC_BODY,    /* of no session; the rest: what those that are queued as shared name */
	REC_SHARED,  /* blob text, key of the body, blob after, text topic: queued */
	REC_DROPPED, /* text topic: its rows were taken out of the queue */
	REC_LOST,    /* queue and inflight were thrown away */
	REC_PENDING  /* the rest: of a packet whose attachments are still to come */
};

/* ---- writing ---- */

static struct str session_store_begin(const struct session *s, enum kind kind)
{
	struct str rec = STR_INIT;

	bytes_put(&rec, kind, 1);
	bytes_put(&rec, s->num, 4);
	return rec;
}

static void session_store_put(struct session *s, struct str *rec)
{
	struct journal *j = s->hub->sessions->journal;

	if (j)
		journal_add(j, rec->p, rec->len);
	str_fini(rec);
}

void store_session(struct session *s)
{
	struct str rec = session_store_begin(s, REC_SESSION);

	session_record_put(&rec, s);
	session_store_put(s, &rec);
	session_row_touch(s);
}

void store_polled(struct session *s, bool is_again)
{
	struct str rec = session_store_begin(s, REC_POLLED);

	bytes_put(&rec, is_again, 1);
	session_record_put_asked(&rec, &s->got);
	session_store_put(s, &rec);
}

void store_answered(struct session *s)
{
	struct str rec = session_store_begin(s, REC_ANSWERED);

	bytes_put(&rec, s->cursor, 8);
	bytes_put(&rec, s->pace.shown, 8);
	session_store_put(s, &rec);
}

void store_applied(struct session *s)
{
	struct str rec = session_store_begin(s, REC_APPLIED);

	session_record_put_asked(&rec, &s->put);
	bytes_put(&rec, s->posts_n, 8);
	session_store_put(s, &rec);
}

void store_clocks(struct session *s)
{
	struct str rec = session_store_begin(s, REC_CLOCKS);

	session_record_put_clocks(&rec, s);
	session_store_put(s, &rec);
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
	struct str rec = session_store_begin(s, REC_TAKEN);

	bytes_put(&rec, most, 4);
	session_store_put(s, &rec);
}

void store_forget(struct session *s)
{
	struct str rec = session_store_begin(s, REC_FORGET);

	session_store_put(s, &rec);
	session_row_forget(s);
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
	struct str rec = session_store_begin(s, REC_QUEUED);

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
	session_store_put(s, &rec);
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
	session_store_put(s, &rec);
}

void store_piece(struct session *s, const struct piece *p)
{
	struct str rec = STR_INIT;

	if (!p->body) {
		store_queued(s, str_c(&p->text), p->text.len);
		return;
	}
	keep_body(s, p->body);
	rec = session_store_begin(s, REC_SHARED);
	bytes_put_blob(&rec, str_c(&p->text), p->text.len);
	str_add(&rec, p->body->key, SHARED_KEY_SIZE);
	bytes_put_blob(&rec, str_c(&p->after), p->after.len);
	bytes_put_text(&rec, p->topic ? p->topic : "");
	session_store_put(s, &rec);
}

void store_dropped_rows(struct session *s, struct slice topic)
{
	struct str rec = session_store_begin(s, REC_DROPPED);

	bytes_put_slice(&rec, topic);
	session_store_put(s, &rec);
}

void store_lost(struct session *s)
{
	struct str rec = session_store_begin(s, REC_LOST);

	session_store_put(s, &rec);
}

void store_pending(struct session *s)
{
	struct str rec = session_store_begin(s, REC_PENDING);

	str_add(&rec, str_c(&s->pending), s->pending.len);
	session_store_put(s, &rec);
}

/* ---- reading ---- */

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
	struct session *s = sessions_at(ss, num);

	if (b.is_bad)
		return;
	if (kind == REC_SESSION) {
		if (!session_record_get(ss, num, &b))
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
		session_record_get_asked(&b, &s->got);
		break;
	case REC_ANSWERED:
		s->cursor = bytes_u64(&b);
		s->pace.shown = bytes_u64(&b);
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
		session_record_get_asked(&b, &s->put);
		s->posts_n = bytes_u64(&b);
		break;
	case REC_FORGET:
		session_free(s);
		return;
	case REC_CLOCKS:
		session_record_get_clocks(&b, s);
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
			struct str rec = session_store_begin(s, REC_SESSION);

			session_record_put(&rec, s);
			session_store_put(s, &rec);
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

void store_check(struct sessions *ss)
{
	if (ss->journal)
		journal_check(ss->journal);
}

void store_epoch(struct sessions *ss)
{
	for (size_t i = 0; i < ss->slots_n; i++)
		if (ss->slots[i])
			session_row_touch(ss->slots[i]);
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
		log_error("journal", "%s: %s; sessions will not outlive this process", str_c(&path),
			str_c(&note));
	str_fini(&path);
	str_fini(&note);
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

/* ---- all of it ---- */

void store_init(struct sessions *ss)
{
	static const struct db_set *const sets[] = {&saver_row_sql, &abroad_sql, NULL};

	ss->saver = saver_new(ss->hub->cfg, &ss->hub->mailbox, session_rows_loaded, sets);
}

void store_run(struct sessions *ss)
{
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
				session_row_touch(ss->slots[i]);
			}
		return true;
	}
	saver_load(ss->saver, ss->hub->cfg->socketio.recovery_ms);
	return false;
}

void store_close(struct sessions *ss)
{
	ss->saved_ms = 0;
	if (ss->hub->has_sessions)
		session_rows_tick(ss, clock_ms());
	saver_stop(ss->saver);
	journal_close(ss->journal);
	ss->journal = NULL;
}

void store_free(struct sessions *ss)
{
	journal_close(ss->journal);
	saver_free(ss->saver);
}
