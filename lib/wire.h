/*
 * The protocol between cmdb-fcgi (and cmdbctl) and cmdb-poller: this header is its specification.
 *
 * A UNIX stream socket (it must be able to run over an authenticated TCP connection as well, so
 * nothing here rides on the socket's kind). Both sides send frames:
 *
 *     u32 length of what follows | u8 type | fields of that type
 *
 * Integers are little-endian. `text` is u16 length and bytes, `blob` u32 length and bytes. A frame
 * is read to its last byte or refused: a short, long or unknown frame ends the connection with
 * ERROR, never the process. The client's first frame is HELLO, the poller's answer WELCOME or
 * ERROR. Every WAIT is answered by exactly one DELIVER, unless it is cancelled or the connection
 * ends, or refused: with events, with a reset, or with none when timeout_ms is over. All that the
 * ticket wants between its `since` and the answer's `cursor` is in the body. A stream (SSE) asks
 * again with WAIT when what it got has been written, so a slow reader holds nothing in the poller.
 *
 * client -> poller
 *   HELLO     u16 version, u8 role (enum wire_role), u32 pid, u64 process
 *             process: a random number that names the process as long as it lives. What follows
 *             another version than one's own is not looked at.
 *   WAIT      u64 ticket, u64 since, u32 timeout_ms (0: answer at once),
 *             text epoch ("": none given), blob interest, text who, text address, u8 again
 *             who ("user:7", "apikey:3") and address are held to limits, of which one that comes
 *             again (1: the next of a stream, or after a loss of the connection) is free; past
 *             one, and only where it would have to wait, the answer is DONE (LIMIT).
 *             The ticket is the client's name for a parked request, unique on its connection.
 *             interest (equal bytes = equal wishes, so the sender sorts the lists):
 *               u32 tenant, u8 format (enum wire_format), u16 limit, u8 flags,
 *               u16 n, n * text topic, u16 n, n * text room,
 *               u16 n, n * (text topic, u8 view, text filter)
 *             flags 1: any topic but "_..." (then there is no topic in the list)
 *                   2: any room
 *                   4: events without a room are not wanted
 *                   8: an event of one of the rooms is wanted whatever its topic; the topics then
 *                      choose among events without a room
 *             The last are views that are asked for (stream.h): view is their number in the
 *             topic's row. One of which there is no such view for the format shows nothing.
 *   CANCEL    u64 ticket                       an unknown one is ignored (it may be answered)
 *   DOORBELL  (nothing)                        this host has committed an event
 *   REFRESH   (nothing)                        read epoch and floors again; answered by REFRESHED
 *   RECHECK   u64 since                        tell again what was revoked by events after since;
 *                                              answered by REVOKEDs, before answers to later WAITs
 *
 * Engine.IO sessions (poller/session.h). Each of these has a ticket and is answered once, by what
 * is named. `sid` is the session's id as the client knows it; `user` the id of the user whose good
 * token came with the request, 0 if none did: that of another user is refused (FORBIDDEN). `tag` is
 * the request's mark as its client gave it, by which one that comes again, because the process that
 * had it died, may be known; 0 is no mark. `flags` 1: the web server says that it comes again.
 *
 *   OPEN      u64 ticket, text sid, text address, u16 packets, blob caller (empty: not known
 *             yet), blob about
 *             A handshake. packets: the most that its client takes in one answer, 0: any number.
 *             about: what the Admin UI may show of it, JSON.                       -> DONE
 *   POLL      u64 ticket, text sid, u64 tag, u64 user, u8 flags
 *             A GET that is held.                -> DELIVER (format SOCKET), or DONE if refused
 *   RELEASE   u64 ticket
 *             Answer this POLL now, if only with a noop. Its one answer may be on its way already.
 *   LOOKUP    u64 ticket, text sid, u64 tag, u64 user, u8 flags, u16 events, text pid
 *             A POST that has so many events in it: who is it of, and how many of them does the
 *             session's rate allow. pid: tell of the session that had this private id, too ("":
 *             none).               -> SESSION; or DONE if refused, or (OK) if it was done already
 *   APPLY     u64 ticket, text sid, u64 tag, u64 user, u8 flags, blob ops (lib/ops.h)
 *             Does all of ops or, refused, nothing; again what was done already, nothing more.
 *                                                -> DONE
 *   BODY      blob bytes
 *             What an operation of the next APPLY on this connection names by its key. APPLY comes
 *             without it first; only who is answered LACKS sends it, and APPLY again.
 *
 * Whatever else one may want to know or to have told:
 *
 *   ASK       u64 ticket, text question, u32 tenant, blob arguments
 *             A question by its name (question.h says who may ask it). tenant: of whose things it
 *             is to tell, whatever the arguments are; 0, of all, is for cmdbctl. arguments: a JSON
 *             object, or empty.                  -> ANSWER
 *   CAST      u64 ticket, u32 tenant, text room, text except, blob args
 *             An event that is kept nowhere: sent once to each socket in "/" of the tenant (0, all,
 *             is for cmdbctl) that is in the room ("": to all), but for the one with that id. args
 *             as in OP_EMIT (ops.h). Ticket 0: it is not answered.
 *                                                -> ANSWER {"sockets","skipped"}
 *
 * poller -> client
 *   WELCOME   u16 version, u16 node_id, u64 tail, text epoch
 *   DELIVER   u8 format, u64 cursor, u32 n, n * u64 ticket, blob body
 *             body is what the HTTP client gets (JSON: the whole body; SSE: a run of messages,
 *             empty at a timeout). The tickets are answered and gone.
 *   REVOKED   u8 what (enum wire_revoke), u64 user_id, text jti
 *             requests parked for that user, token or API key (in user_id) are to be ended now.
 *             ALL: more was revoked than can be told; who is parked has to show anew who it is.
 *             MORE_*: they may do more than before; who is parked for them is to ask again.
 *   SESSION   u64 ticket, blob state (struct ops_state)
 *   DONE      u64 ticket, u8 what (enum wire_done), text why
 *   REFRESHED u64 tail, RETENTION_N * u64 floor (of each class, in the order of enum retention)
 *   ANSWER    u64 ticket, u8 what (enum wire_answer), blob json
 *             BAD: an array of {"field","problem"}; of any other but OK, nothing.
 *   ERROR     text                             then the connection is closed
 *
 * Encoding appends to an evbuffer; decoding reads one whole frame from it. Any thread that owns
 * the buffer.
 */
#ifndef CMDB_WIRE_H
#define CMDB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>

#include "bytes.h"
#include "perm.h"
#include "str.h"
#include "stream.h"

#define WIRE_VERSION 5u
#define WIRE_TO_POLLER_MAX (64u * 1024 * 1024)    /* frame length a poller takes */
#define WIRE_FROM_POLLER_MAX (128u * 1024 * 1024) /* frame length a client takes */
/* Of one BODY, and of all for one APPLY. Nobody puts a frame together that the other does not
 * take: what would make it is refused where it comes up. */
#define WIRE_BODY_MAX (16u * 1024 * 1024)
#define WIRE_BODIES_MAX (32u * 1024 * 1024)
#define WIRE_OPS_MAX (32u * 1024 * 1024) /* of the ops of one APPLY */
#define WIRE_ARGUMENTS_MAX (128u * 1024) /* of an ASK */
#define WIRE_CAST_MAX (64u * 1024)       /* of the args of a CAST */

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_WAIT,
	WIRE_CANCEL,
	WIRE_DOORBELL,
	WIRE_REFRESH,
	WIRE_ASK,
	WIRE_RECHECK,
	WIRE_OPEN,
	WIRE_POLL,
	WIRE_RELEASE,
	WIRE_LOOKUP,
	WIRE_APPLY,
	WIRE_BODY,
	WIRE_CAST,
	WIRE_WELCOME = 64,
	WIRE_DELIVER,
	WIRE_REVOKED,
	WIRE_REFRESHED,
	WIRE_ANSWER,
	WIRE_ERROR,
	WIRE_SESSION,
	WIRE_DONE,
};

enum wire_flag { WIRE_IS_AGAIN = 1 };
enum wire_role { WIRE_ROLE_FCGI = 1, WIRE_ROLE_CGI, WIRE_ROLE_CLI };
/* SOCKET: packets of an Engine.IO payload, each event as a Socket.IO packet of namespace "/". */
enum wire_format { WIRE_JSON = 1, WIRE_SSE, WIRE_SOCKET };
enum wire_revoke {
	WIRE_REVOKE_JTI = 1,
	WIRE_REVOKE_USER,
	WIRE_REVOKE_APIKEY,
	WIRE_REVOKE_ALL,
	WIRE_MORE_USER,
	WIRE_MORE_APIKEY
};

enum wire_done {
	WIRE_DONE_OK,
	WIRE_DONE_UNKNOWN,   /* no session has this sid */
	WIRE_DONE_FORBIDDEN, /* it is somebody else's */
	WIRE_DONE_BAD,       /* not possible in the session's state; the session is closed */
	WIRE_DONE_LIMIT,     /* `why` says which limit is reached */
	WIRE_DONE_STALE,     /* what LOOKUP told has changed since: look again */
	WIRE_DONE_LACKS,     /* a body is not here: BODY, and the same again */
	WIRE_DONE_N
};

enum wire_answer {
	WIRE_ANSWER_OK,
	WIRE_ANSWER_UNKNOWN,   /* there is no such question */
	WIRE_ANSWER_FORBIDDEN, /* it is not for this role, or not of this tenant */
	WIRE_ANSWER_BAD,       /* the arguments */
	WIRE_ANSWER_BUSY,      /* too many wait to be answered: later */
	WIRE_ANSWER_NONE,      /* what it is about is not there */
	WIRE_ANSWER_N
};

/* One frame, decoded. Texts and blobs point into the frame's bytes (not NUL-terminated) and live
 * until wire_drop(). */
struct wire_frame {
	enum wire_type type;
	union {
		struct {
			uint16_t version;
			uint8_t role;
			uint32_t pid;
			uint64_t process;
		} hello;
		struct {
			uint64_t ticket, since;
			uint32_t timeout_ms;
			struct slice epoch, interest, who, address;
			uint8_t again;
		} wait;
		struct {
			uint64_t ticket;
		} cancel;
		struct {
			uint64_t since;
		} recheck;
		struct {
			uint64_t ticket;
			uint16_t packets;
			struct slice sid, address, caller, about;
		} open;
		struct {
			uint64_t ticket, tag, user;
			uint8_t flags;
			struct slice sid;
		} poll;
		struct {
			uint64_t ticket;
		} release;
		struct {
			uint64_t ticket, tag, user;
			uint8_t flags;
			uint16_t events;
			struct slice sid, pid;
		} lookup;
		struct {
			uint64_t ticket, tag, user;
			uint8_t flags;
			struct slice sid, ops;
		} apply;
		struct {
			uint64_t ticket;
			uint32_t tenant_id;
			struct slice question, arguments;
		} ask;
		struct {
			uint64_t ticket;
			uint32_t tenant_id;
			struct slice room, except, args;
		} cast;
		struct {
			uint16_t version, node_id;
			uint64_t tail;
			struct slice epoch;
		} welcome;
		struct {
			uint8_t format;
			uint64_t cursor;
			uint32_t tickets_n;
			const char *tickets; /* wire_ticket() reads one */
			struct slice body;
		} deliver;
		struct {
			uint8_t what;
			uint64_t user_id;
			struct slice jti;
		} revoked;
		struct {
			uint64_t tail, floor[RETENTION_N];
		} refreshed;
		struct {
			uint64_t ticket;
			struct slice state;
		} session;
		struct {
			uint64_t ticket;
			uint8_t what;
			struct slice why;
		} done;
		struct {
			uint64_t ticket;
			uint8_t what;
			struct slice json;
		} answer;
		struct slice body;
		struct slice error;
	};
	size_t size; /* bytes in the buffer, its length field included */
};

enum wire_got { WIRE_GOT_FRAME, WIRE_GOT_NONE, WIRE_GOT_BAD };

/* Looks at the front of `in`: a whole frame (decoded, still in the buffer until wire_drop), not
 * enough bytes yet, or something that is no frame of this protocol (*why says what). max is the
 * greatest length field taken. */
enum wire_got wire_peek(struct evbuffer *in, size_t max, struct wire_frame *f, const char **why);
void wire_drop(struct evbuffer *in, const struct wire_frame *f);
uint64_t wire_ticket(const struct wire_frame *f, uint32_t i);

void wire_put_hello(struct evbuffer *out, enum wire_role role, uint32_t pid, uint64_t process);
struct wire_holder {
	const char *who, *address;
	bool again;
};
void wire_put_wait(struct evbuffer *out, uint64_t ticket, uint64_t since, uint32_t timeout_ms,
	const char *epoch, const void *interest, size_t interest_len,
	const struct wire_holder *holder);
void wire_put_cancel(struct evbuffer *out, uint64_t ticket);
void wire_put_recheck(struct evbuffer *out, uint64_t since);
void wire_put_open(struct evbuffer *out, uint64_t ticket, const char *sid, const char *address,
	uint16_t packets, const struct str *caller, const struct str *about);
void wire_put_poll(struct evbuffer *out, uint64_t ticket, const char *sid, uint64_t tag,
	uint64_t user, uint8_t flags);
void wire_put_release(struct evbuffer *out, uint64_t ticket);
void wire_put_lookup(struct evbuffer *out, uint64_t ticket, const char *sid, uint64_t tag,
	uint64_t user, uint8_t flags, uint16_t events, const char *pid);
void wire_put_apply(struct evbuffer *out, uint64_t ticket, const char *sid, uint64_t tag,
	uint64_t user, uint8_t flags, const struct str *ops);
/* The bytes are added by reference: done(p, len, arg) when they are written or dropped. */
void wire_put_body(struct evbuffer *out, const char *p, size_t len,
	void (*done)(const void *p, size_t len, void *arg), void *arg);
void wire_put_bare(struct evbuffer *out, enum wire_type type); /* DOORBELL, REFRESH */
void wire_put_ask(struct evbuffer *out, uint64_t ticket, const char *question, uint32_t tenant_id,
	const struct str *arguments);
void wire_put_cast(struct evbuffer *out, uint64_t ticket, uint32_t tenant_id, const char *room,
	const char *except, const struct str *args);
void wire_put_welcome(struct evbuffer *out, uint16_t node_id, uint64_t tail, const char *epoch);
/* body is added by reference (evbuffer_add_buffer_reference): one copy for all connections; body
 * must not change afterwards. */
void wire_put_deliver(struct evbuffer *out, enum wire_format format, uint64_t cursor,
	const uint64_t *tickets, uint32_t n, struct evbuffer *body);
void wire_put_revoked(
	struct evbuffer *out, enum wire_revoke what, uint64_t user_id, const char *jti);
void wire_put_session(struct evbuffer *out, uint64_t ticket, const struct str *state);
void wire_put_done(struct evbuffer *out, uint64_t ticket, enum wire_done what, const char *why);
void wire_put_refreshed(struct evbuffer *out, uint64_t tail, const uint64_t floor[RETENTION_N]);
void wire_put_answer(
	struct evbuffer *out, uint64_t ticket, enum wire_answer what, const struct str *json);
void wire_put_error(struct evbuffer *out, const char *text);

#define WIRE_VIEWS_MAX 64 /* of an interest */

struct wire_view {
	char *topic;
	uint8_t view;
	struct slice filter; /* as stream_filter has it; empty: none */
};

/* The interest blob. The lists are sorted and freed of doubles by wire_interest_put(). */
struct wire_interest {
	uint32_t tenant_id;
	uint8_t format;
	uint16_t limit;
	bool all_topics, all_rooms, only_rooms, rooms_any_topic;
	struct strlist topics, rooms;
	struct wire_view *views;
	size_t views_n;
};
/* Adds a copy. One past WIRE_VIEWS_MAX is left out. */
void wire_interest_add_view(
	struct wire_interest *i, struct slice topic, uint8_t view, struct slice filter);
void wire_interest_put(struct str *out, struct wire_interest *i);
/* false if the bytes are no interest; then nothing is left to free. */
bool wire_interest_get(const void *p, size_t len, struct wire_interest *i);
void wire_interest_fini(struct wire_interest *i);

#endif
