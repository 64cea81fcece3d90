/*
 * Engine.IO sessions, which live here whichever process serves their requests: who they are of,
 * which namespaces they have joined, how far into the event log they are, and what is to be told
 * to them besides. All of it belongs to the loop thread.
 *
 * A session is in exactly one state, which is the list it hangs in, and session_move() alone
 * changes that:
 *
 *   OPEN     handshake done, no namespace yet; the oldest of too many goes
 *   JOINED   in a namespace, or it was
 *   CLOSING  closed by us while no GET was held: the next one is told
 *   GONE     only its pid is known: a client that lost its connection may go on from there
 *
 * A session costs a cursor, not a queue: events come out of the ring when a GET asks. A held GET is
 * a waiter (hub.h) in the group of the session's interest, so an event is rendered once for all.
 * Only what is for it alone (replies, acknowledgements, pings) is queued, bounded, and of each
 * topic the rows it asked for last, which are kept once for all who are to get them (shared.h). All
 * sessions together keep no more than socketio.memory_bytes: session_queue.c.
 *
 *   acked <= cursor     up to acked the client has got it; up to cursor it was sent. The queue's
 *                       packets that were sent with it are in `inflight` until then.
 *
 * A client has one GET at a time, so a GET says that the answer to the one before has arrived. Not
 * so when it is the same request again, because the process that had it died: then what was sent
 * since acked is sent again. session_again.c tells these apart.
 *
 * There are clients that take no more than so many packets in an answer; their handshake says how
 * many. What is queued goes to them in portions, each in flight by itself, and events fill what is
 * left of an answer.
 *
 * What must outlive the process goes to the journal before an answer leaves (session_store.c), and
 * what other hosts need to the table ws_sessions (session_row.c).
 *
 * Packets: Engine.IO protocol 4, Socket.IO protocol 5 (the protocol documents of these names).
 */
#ifndef CMDB_SESSION_H
#define CMDB_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>
#include <uthash.h>

#include "clock.h"
#include "hub.h"
#include "ops.h"
#include "packets.h"
#include "rights.h"
#include "secret.h"
#include "str.h"
#include "subs.h"

#define SESSION_KEY_SIZE SECRET_SHORT_SIZE
#define NSP_MAIN "/"

#define SESSION_CLOSE_WAIT_MS 30000 /* a closed session waits so long for the GET that is told */
#define SESSION_LATE_GET_MS 1000    /* a GET may come so much later than its client's close */
#define SESSION_PING_SPREAD_MS 1000 /* sessions to be pinged at once are, within that */
#define SESSION_GRACE_MS 5000       /* to be heard once we are here again */

enum session_state { SESSION_OPEN, SESSION_JOINED, SESSION_CLOSING, SESSION_GONE, SESSION_STATES };

/* Why a session or socket ends: what the Admin UI and the log say, as the reference server calls
 * it, and whether its client may go on from there. */
enum session_end {
	END_PING_TIMEOUT,
	END_TRANSPORT_CLOSE, /* the client closed the connection */
	END_TRANSPORT_ERROR, /* two GETs at once, a hang-up */
	END_PARSE_ERROR,
	END_FORCED_CLOSE, /* from here */
	END_SERVER_DISCONNECT,
	END_CLIENT_DISCONNECT,
	END_CONNECT_TIMEOUT,
	END_TAKEN_OVER, /* its client came back while this seemed to be alive */
	END_N
};

/* Whom it is of. Shared by a session's sockets; immutable; counted. */
struct person {
	unsigned refs;
	uint32_t tenant_id;
	uint64_t user_id, apikey_id;
	int64_t expires_s;
	char *username, *jti;
};

struct sock {
	char *nsp, *id;
	struct person *person;
	int64_t joined_wall_ms;
	bool has_offsets, is_warned; /* warned: told that its token is about to expire */
	uint64_t next_ack;
};

/* Events of topic up to `upto` are in a snapshot that is on its way. */
struct skip {
	char *topic;
	uint64_t upto;
};

/* A request as it came to a process. */
struct asked {
	uint64_t process, ticket, tag;
	bool is_cgi; /* a process that ends with its request */
};

struct session {
	unsigned char key[SESSION_KEY_SIZE]; /* hash of the sid */
	unsigned char pid[SESSION_KEY_SIZE]; /* hash of the private id; has_pid */
	struct hub *hub;
	uint32_t num; /* in the journal */
	enum session_state state;
	TAILQ_ENTRY(session) entry, dirty_entry, holder_entry, member_entry;
	UT_hash_handle hh, hh_pid;
	bool is_holder; /* something is kept for its client */
	size_t held;    /* bytes of it that are its own, as counted in held_bytes */
	bool has_pid, is_dirty, is_saved; /* saved: has a row in ws_sessions */
	uint64_t saved_cursor;

	char *client_id; /* public name of the connection */
	char *address, *about;
	struct person *person; /* of the handshake; NULL: nobody yet */
	struct sock socks[OPS_SOCKETS_MAX];
	size_t socks_n;
	int64_t opened_wall_ms, ended_ms;

	uint16_t answer_packets;  /* the most its client takes in an answer; 0: any number */
	struct group *group;      /* what its socket in "/" wants; its limit is no higher */
	struct rights *rights;    /* of its socket in "/"; NULL: none are known */
	struct subs subs;         /* what it is to get beyond what it gets by right */
	struct strlist requested; /* topics it asked for */
	struct skip *skips;
	size_t skips_n;

	struct waiter *poll;   /* the held GET; NULL: none */
	struct asked got, put; /* the last GET; the last POST that was done */
	uint64_t posts_n;      /* that were done */
	bool has_dull_tags;    /* its client marks different requests with the same */
	uint64_t acked, cursor;
	bool is_answered; /* the last GET was; whether that arrived the next one tells */
	bool has_lost;    /* something queued for it was thrown away */
	struct packets queue, inflight;
	struct str pending;

	struct event timer;
	int64_t timer_ms;                     /* for when it is set */
	int64_t ping_ms, pong_ms, connect_ms; /* deadlines; 0: none */
	int64_t close_ms;
	int64_t begin_ms; /* its events begin then, behind its lists; 0: they have begun */
	enum session_end end;

	int64_t tokens, tokens_ms; /* thousandths of events it may send */
	uint64_t heard_n, sent_n;
};
TAILQ_HEAD(session_list, session);

/* How many sessions a user or an address has. */
struct tally {
	char *name;
	size_t n;
	UT_hash_handle hh;
};

struct session_stats {
	uint64_t opened, closed[END_N], recovered, adopted, refused, evicted;
	uint64_t heard, sent, acks, resent, limited, overflows, dup_polls, subscriptions;
};

struct journal;
struct saver;
struct admin;
struct doubt;
TAILQ_HEAD(doubt_list, doubt);

struct sessions {
	struct hub *hub;
	struct session *by_key, *by_pid;
	struct session_list lists[SESSION_STATES], dirty;
	struct session_list holders; /* who has fetched nothing for longest comes first */
	size_t held_bytes;           /* what they hold of their own; what they share: hub->pool */
	size_t n[SESSION_STATES];
	struct session **slots;        /* by num */
	size_t slots_n, slots_free;    /* slots_free: where to look for a free one */
	struct revoked_lately *lately; /* session_auth.c */
	struct over *overs;            /* session_over.c */
	struct doubt_list doubts;      /* session_again.c */
	struct doubt *doubted;         /* that is being looked at */
	uint64_t boot;                 /* clock_boot() */
	struct tally *tallies;
	struct rights_set rights; /* of all of them */
	struct group *nothing;    /* the group of those that want no events */
	struct journal *journal;
	struct saver *saver;
	struct admin *admin;
	bool is_adopted; /* those of before the start are here */
	int64_t saved_ms, refreshed_ms;
	struct session_stats stats;
};

/* ---- session.c ---- */
struct sessions *sessions_new(struct hub *hub);
void sessions_free(struct sessions *ss);
/* hub->epoch, tail and floor are those of another log: no cursor of before means anything in it.
 * Sessions that follow it end, and none is recovered from before. */
void sessions_epoch_changed(struct sessions *ss);
void sessions_stop(struct sessions *ss);
void sessions_tick(struct sessions *ss, int64_t now);
size_t sessions_live_n(const struct sessions *ss);
/* Ends the session that has been without a namespace for longest; false: there is none. */
bool sessions_evict(struct sessions *ss);

void session_key(unsigned char key[SESSION_KEY_SIZE], struct slice id);
struct session *session_find(struct sessions *ss, struct slice sid);
struct session *session_find_pid(struct sessions *ss, const unsigned char pid[SESSION_KEY_SIZE]);
struct session *sessions_at(const struct sessions *ss, uint32_t num); /* NULL: none */
/* A walk through all that have a sid, by number, so that any may end or be made in the middle of
 * it: begin with *num = 0; NULL at the end. */
struct session *sessions_next(const struct sessions *ss, uint32_t *num);
/* An empty session in state OPEN; it is the list's. */
#define SESSION_ANY_NUM UINT32_MAX
struct session *session_new(
	struct sessions *ss, const unsigned char key[SESSION_KEY_SIZE], uint32_t num);
/* It is g's, and no other group's. */
void session_enter(struct session *s, struct group *g);
void session_free(struct session *s); /* its memory, at the safe point (grave.h) */
void session_move(struct session *s, enum session_state state);
/* WIRE_OPEN: what to answer. */
enum wire_done session_open(struct sessions *ss, const struct wire_frame *f, const char **why);
/* Ends it: its held GET is told so (or, if silent, that there is nothing), or the next one is. */
void session_close(struct session *s, enum session_end how);
/* The client closed it, or is beyond reach: its held GET is answered, and that is all. Both may
 * free s. */
void session_drop(struct session *s, enum session_end how);
/* The client closes it. The GET it has, which may still come by another process, gets a noop. */
void session_leave_off(struct session *s);
/* Its sid is unknown from now on; frees s unless its client may come back. */
void session_become_gone(struct session *s);
void session_set_pid(struct session *s, const unsigned char pid[SESSION_KEY_SIZE]);
/* May a request with the token of this user (0: without) use it? */
bool session_is_of(const struct session *s, uint64_t user);
struct sock *session_sock(struct session *s, struct slice nsp);
void session_leave(struct session *s, struct sock *k, enum session_end how);
const char *session_end_text(enum session_end how); /* as the reference server calls it */
const char *session_end_name(enum session_end how); /* snake_case */

/* ---- session_clock.c ---- */
void session_wind(struct session *s); /* sets its timer to its next deadline */
void session_pong(struct session *s); /* its client has answered the ping */
/* Has its client not answered the ping in time? Not if it was we who could not hear it. */
bool session_is_overdue(struct session *s, int64_t now);
void session_on_timer(evutil_socket_t fd, short what, void *session);

/* ---- session_adopt.c ---- */
/* Once the epoch is known: takes up the sessions of before the start. */
void sessions_adopt(struct sessions *ss);
void sessions_adopted(struct sessions *ss); /* they are here: requests may come */

/* ---- session_over.c: private ids of sockets that were disconnected on purpose: nobody goes on
 * from there, whatever a late row of the table says ---- */
struct saver_row;
void session_over(struct session *s); /* its pid, if it has one, is over; it has none any more */
bool sessions_is_over(const struct sessions *ss, const unsigned char pid[SESSION_KEY_SIZE]);
void sessions_over_put(const struct sessions *ss, struct str *rec, const struct over *o);
void sessions_over_get(struct sessions *ss, struct bytes *b);
void sessions_over_load(struct sessions *ss, const struct saver_row *row);
struct over *sessions_over_next(const struct sessions *ss, const struct over *o); /* NULL: first */
void sessions_over_tick(struct sessions *ss, int64_t now);
void sessions_over_save(struct sessions *ss); /* to the table, what the journal had */
void sessions_over_free(struct sessions *ss);

/* ---- session_who.c ---- */
struct person *person_new(const struct ops_caller *c);
struct person *person_ref(struct person *p);
void person_put(struct person *p);                                  /* takes NULL */
struct ops_caller person_caller(const struct person *p);            /* borrows; NULL: nobody */
bool person_is(const struct person *p, const struct ops_caller *c); /* the same one; NULL: no */
bool sock_is_main(const struct sock *k);                            /* of namespace "/" */
uint32_t sock_tenant(const struct sock *k);                         /* 0: it is nobody's */
/* One more of a user ('u') or an address ('a'), unless it has max of them (0: no limit). */
bool tally_add(struct sessions *ss, char kind, const char *name, int64_t max);
void tally_drop(struct sessions *ss, char kind, const char *name);

/* ---- session_poll.c ---- */
/* false: the connection has a waiter with this ticket. */
bool session_poll(struct conn *c, const struct wire_frame *f, bool is_decided);
void session_release(struct waiter *w);
/* A GET has come: what was sent before has arrived, or is to be sent again. */
void session_settle(struct session *s, bool is_again);
/* The answer b was given to s's held GET, which is gone. */
void session_answered(struct session *s, struct conn *c, const struct body *b);
/* Answers the held GET with text. */
void session_reply(struct session *s, const char *text);
/* Up to where all has been sent, or looked through. */
uint64_t session_cursor(const struct session *s);
/* After a CONNECT that resumes nothing: a topic's events are to follow its list, so they wait for
 * the client to ask. It can once it has got the answer; when it has asked for all, or for something
 * and not for more, or for nothing in time, events begin. */
#define SESSION_BEGIN_LATER (CLOCK_S_MAX * 1000) /* it has not got the answer yet */
void session_begin_later(struct session *s);
void session_begin(struct session *s);
void session_listed(struct session *s); /* it has been given a list */
/* Answers the held GET if there is something for it. */
void session_flush(struct session *s);
bool session_skips(const struct session *s, const struct record *r);
/* Its cursor is below the floor: it cannot be told all it missed, and has to start anew. */
void session_expired(struct session *s);

/* ---- session_queue.c ---- */
/* Adds packets, joined by 0x1e, to what the client gets next. false: its queue is full, and it was
 * closed. */
bool session_queue(struct session *s, const void *packets, size_t len);
/* The same with all that is in `from`, which is empty afterwards. */
bool session_queue_all(struct session *s, struct packets *from);
/* An event packet to a socket: args as in OP_EMIT; its offset is `offset`. */
bool session_emit(struct session *s, struct sock *k, struct slice args, uint64_t offset, bool ack);
/* The same with args that others get, too. */
bool session_emit_shared(struct session *s, struct sock *k, struct shared *args, uint64_t offset);
/* The same with a topic's rows, to the socket in "/": what was queued of them before is taken out,
 * and they do not count against the queue's bound. */
bool session_emit_rows(struct session *s, struct sock *k, struct shared *args, uint64_t offset,
	struct slice topic);
/* What is queued goes with the answer that is made now: what is to be in it, as packets; NULL:
 * nothing. More than may go at once stays queued. */
struct body *session_take(struct session *s);
void session_arrived(struct session *s);    /* what was in flight */
void session_fetched(struct session *s);    /* a GET has come */
void session_throw_away(struct session *s); /* all that is kept for it, which is thereby lost */
void session_weigh(struct session *s);      /* after any change of what is kept for it */
/* Is there room for so much more, without anybody having to go? */
bool session_has_room(const struct session *s, size_t len);

/* ---- session_apply.c ---- */
void session_lookup(struct conn *c, const struct wire_frame *f, bool is_decided);
void session_apply(struct conn *c, const struct wire_frame *f, bool is_decided);

/* ---- session_connect.c ---- */
/* OP_CONNECT, which may be done. false: s was closed, and may be freed. */
bool session_connect(struct session *s, const struct op *op);

/* ---- session_again.c: is a request the one before, come again? ---- */
enum again { AGAIN_NO, AGAIN_YES, AGAIN_PERHAPS };
struct asked asked_of(const struct conn *c, uint64_t ticket, uint64_t tag);
enum again session_again(
	struct session *s, const struct asked *last, const struct asked *now, bool is_told);
/* Notes a request that is none of before: that its tag is one of before shows what tags are worth.
 */
void session_note_tag(struct session *s, uint64_t tag);
/* The frame at the head of c's input is looked at again when a process is found to be gone, or a
 * moment later (is_decided). */
void doubts_add(struct sessions *ss, struct conn *c, const struct wire_frame *f, uint64_t ticket);
void doubts_drop(struct sessions *ss, struct conn *c, uint64_t ticket);
void doubts_conn_gone(struct sessions *ss, struct conn *c);
void doubts_free(struct sessions *ss);

/* ---- session_auth.c: the live token rules ---- */
struct reader_mail;
void session_principal_came(struct hub *hub, struct reader_mail *m);
/* Was what k's person holds revoked a moment ago, when this was on its way? Asks the database. */
void session_recheck(struct session *s, const struct sock *k);
/* Asks the database what k's person may by now. */
void session_ask_rights(struct session *s, const struct sock *k);
void sessions_revoke(struct sessions *ss, const struct record *r); /* an "_auth" event */
/* When to look at its tokens next, monotonic; INT64_MAX: never. */
int64_t session_token_ms(const struct session *s, int64_t now);
/* Warns of a token's end, or ends what it was for. false: s was closed, and may be freed. */
bool session_check_tokens(struct session *s, int64_t now);
/* Tells the client why (event `error`), disconnects its socket k and closes s, which may be freed.
 */
void session_end(struct session *s, struct sock *k, const char *code, const char *message);

/* ---- session_store.c: the journal ---- */
void store_session(struct session *s); /* all of it but the queues */
void store_polled(struct session *s, bool is_again);
void store_answered(struct session *s);
void store_taken(struct session *s, uint32_t most); /* so many of the queue became inflight */
void store_queued(struct session *s, const void *packets, size_t len);
void store_piece(struct session *s, const struct piece *p); /* was queued */
void store_dropped_rows(struct session *s, struct slice topic);
void store_lost(struct session *s);    /* queue and inflight were thrown away */
void store_pending(struct session *s); /* the packet that waits for its attachments */
void store_applied(struct session *s);
void store_clocks(struct session *s); /* ping_ms, pong_ms, begin_ms */
void store_over(struct sessions *ss, const struct over *o);
void store_epoch(struct sessions *ss); /* the journal begins anew, of the hub's epoch */
void store_forget(struct session *s);
void store_flush(struct sessions *ss); /* before an answer can leave */
void store_check(struct sessions *ss); /* a journal that somebody removed begins anew */
void store_run(struct sessions *ss);   /* starts the thread that writes the table */
/* Reads the journal. false: there was nothing in it, and the table is asked; then
 * sessions_adopted(). */
bool store_open(struct sessions *ss);
/* The sessions are taken up: once their first timers have run, too, what was in the journal was no
 * harm. Not later: who is killed soon after a start, however often, has not died of it. */
void store_adopted(struct sessions *ss);
void store_free(struct sessions *ss);
void store_close(struct sessions *ss);

/* ---- admin.c: the Socket.IO Admin UI ---- */
struct admin *admin_new(struct sessions *ss);
void admin_free(struct admin *a);
bool admin_is_watched(const struct admin *a);
void admin_adopt(struct session *s); /* it may have been a watcher before the start */
void admin_tick(struct admin *a, int64_t now);
/* What happened, to be counted and shown. None of these answers or closes a session. */
void admin_joined(struct session *s, struct sock *k);
void admin_left(struct session *s, struct sock *k, enum session_end how); /* is leaving */
void admin_heard(struct session *s, struct sock *k, struct slice args);
void admin_sent(struct session *s, struct sock *k, struct slice args); /* to k alone */
void admin_answered(struct session *s, const struct body *b);          /* with b's events */
void admin_room(struct session *s, const char *room, bool is_joined);
void admin_regrouped(struct session *s, const struct group *was); /* its rights have changed */

/* ---- admin_command.c ---- */
void admin_command(struct sessions *ss, const struct op *op);

#endif
