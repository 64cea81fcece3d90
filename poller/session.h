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
 * a waiter (wait.h) in the group of the session's interest, so an event is rendered once for all.
 * Only what is for it alone (replies, acknowledgements, pings) is queued, bounded, and of each
 * topic the rows it asked for last, which are kept once for all who are to get them (shared.h). All
 * sessions together keep no more than socketio.memory_bytes: session_queue.h.
 *
 *   acked <= cursor     up to acked the client has got it; up to cursor it was sent. The queue's
 *                       packets that were sent with it are in `inflight` until then.
 *
 * Views with a pace have a pair of such cursors of their own (pace.h), which may lie behind these.
 *
 * A client has one GET at a time, so a GET says that the answer to the one before has arrived. Not
 * so when it is the same request again, because the process that had it died: then what was sent
 * since acked is sent again. session_again.h tells these apart.
 *
 * There are clients that take no more than so many packets in an answer; their handshake says how
 * many. What is queued goes to them in portions, each in flight by itself, and events fill what is
 * left of an answer.
 *
 * What must outlive the process goes to the journal before an answer leaves (session_store.h), and
 * what other hosts need to the table ws_sessions (session_row.h).
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

#include "clients.h"
#include "ops.h"
#include "pace.h"
#include "packets.h"
#include "secret.h"
#include "str.h"
#include "subs.h"
#include "wire.h"

struct group;
struct hub;
struct caller;
struct rights;
struct sessions;
struct waiter;

#define SESSION_KEY_SIZE SECRET_SHORT_SIZE
#define NSP_MAIN "/"

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

struct sock {
	char *nsp, *id;
	struct caller *caller; /* shared by a session's sockets */
	int64_t joined_wall_ms;
	bool has_offsets, is_warned; /* warned: told that its token is about to expire */
	uint64_t next_ack;
};

/* Events of topic up to `upto` are in a snapshot that is on its way, or have been shown by a view.
 */
struct skip {
	char *topic;
	bool by_view;
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
	struct caller *caller; /* of the handshake; NULL: nobody yet */
	struct sock socks[OPS_SOCKETS_MAX];
	size_t socks_n;
	int64_t opened_wall_ms, ended_ms;

	uint16_t answer_packets;      /* the most its client takes in an answer; 0: any number */
	struct group *group;          /* what its socket in "/" wants; its limit is no higher */
	struct rights *rights;        /* of its socket in "/"; NULL: none are known */
	struct subs subs;             /* what it is to get beyond what it gets by right */
	char costly[TALLY_NAME_SIZE]; /* who its costly views are counted for; "": there are none */
	struct strlist requested;     /* topics it asked for */
	struct skip *skips;
	size_t skips_n;

	struct waiter *poll;   /* the held GET; NULL: none */
	struct asked got, put; /* the last GET; the last POST that was done */
	uint64_t posts_n;      /* that were done */
	bool has_dull_tags;    /* its client marks different requests with the same */
	uint64_t acked, cursor;
	struct pace pace;
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
	uint64_t taken_heard_n, taken_sent_n; /* of these, what the census has taken up */
	uint64_t answers_n, resent_n; /* answers to its GETs; those that had to be given again */
};
TAILQ_HEAD(session_list, session);

void session_key(unsigned char key[SESSION_KEY_SIZE], struct slice id);
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
/* The log is another one: what it has of it means nothing any more. */
void session_begin_anew(struct session *s);
/* Its sid is unknown from now on; frees s unless its client may come back. */
void session_become_gone(struct session *s);
void session_set_pid(struct session *s, const unsigned char pid[SESSION_KEY_SIZE]);
/* May a request with the token of this user (0: without) use it? */
bool session_is_of(const struct session *s, uint64_t user);
bool sock_is_main(const struct sock *k);    /* of namespace "/" */
uint32_t sock_tenant(const struct sock *k); /* 0: it is nobody's */
struct sock *session_sock(struct session *s, struct slice nsp);
void session_leave(struct session *s, struct sock *k, enum session_end how);
const char *session_end_text(enum session_end how); /* as the reference server calls it */
const char *session_end_name(enum session_end how); /* snake_case */

#endif
