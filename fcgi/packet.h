/*
 * Packets of the Socket.IO protocol v5, as they are in the data of an Engine.IO message (what
 * follows its `4`). Socket.IO protocol, "Packet encoding", "Format":
 *
 *     <type>[<# of attachments>-][<namespace>,][<ack id>][<JSON payload without binary>]
 *
 * and then, of a packet with attachments, that many binary messages. In the payload each of them is
 * stood for by a placeholder {"_placeholder":true,"num":N}.
 *
 * Pure functions on bytes in memory: any thread, nothing blocks. Decoders refuse what no stock
 * client sends; the session is then closed, as the protocol asks ("Exchange protocol"). They set
 * *why to a static sentence, and leave nothing to free.
 *
 * The JSON is that of json.h, so some of what JavaScript can write is refused: nesting past
 * JSON_DEPTH_MAX (the payload's own array counts), \u0000, half a surrogate pair, integers written
 * in digits that do not fit int64_t, the same key twice.
 */
#ifndef CMDB_PACKET_H
#define CMDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "json.h"
#include "str.h"

#define PACKET_NSP_MAX 256               /* bytes of a namespace's name */
#define PACKET_ATTACHMENTS_MAX 10        /* as in the reference decoder */
#define PACKET_ID_MAX ((1ULL << 53) - 1) /* what a client can count to */
#define PACKET_DIGITS_MAX 20             /* of an ack id or a count, leading zeros included */
#define PACKET_PENDING_MAX (1U << 20)    /* bytes kept of a packet whose attachments are missing */

/* Protocol, "Exchange protocol": table of packet types. BINARY_EVENT (5) and BINARY_ACK (6) are on
 * the wire alone: here they are an EVENT and an ACK with attachments, as in the reference. */
enum packet_type {
	PACKET_CONNECT,
	PACKET_DISCONNECT,
	PACKET_EVENT,
	PACKET_ACK,
	PACKET_CONNECT_ERROR
};

/* All slices and texts are borrowed: from the text that was decoded, or from own. */
struct packet {
	enum packet_type type;
	struct slice nsp; /* "/" when none is given; without what follows a `?` */
	bool has_id;
	uint64_t id;              /* EVENT: wants to be acknowledged by it. ACK: always there */
	struct slice payload;     /* the JSON text as it came; empty if there is none */
	struct json_object *json; /* the payload, owned; NULL if there is none */
	const char *name;         /* EVENT: borrowed from json */
	struct slice inside;      /* EVENT, ACK: what is between [ and ]: the name, arguments */
	struct slice args;        /* of these the arguments, byte for byte; empty if none */
	unsigned attachments_n;   /* 0: all of it is text */
	struct slice attachments[PACKET_ATTACHMENTS_MAX]; /* set by packet_feed_binary() alone */
	struct str own; /* text and attachments of a packet that came in pieces */
};

void packet_fini(struct packet *p);

/* May no event have this name, because Socket.IO itself emits it on either side? */
bool packet_is_reserved(const char *name);

/* Decodes the text of a client's packet into p, which is to be released by packet_fini() if true is
 * returned. Borrows text for as long as p lives. Checked are
 * - CONNECT: no payload, or an object. DISCONNECT: none. Neither has an id.
 * - EVENT: an array with the event's name first, a string and none of the reserved ones. The
 *   reference takes a number for a name, too.
 * - ACK: an array and an id.
 * - CONNECT_ERROR: is the server's alone to send.
 * - Attachments: 1 to PACKET_ATTACHMENTS_MAX, each with one placeholder, which has no other member.
 *   In a packet without attachments a placeholder is an object like any other.
 * - Namespace: begins with `/`, has no control characters, ends at the comma or with the text. A
 *   query after it is cut off.
 * - Numbers: decimal digits, zeros before them allowed, bounded by the limits above.
 * - Payload: nothing but the type, attachments, namespace and id before its bracket. */
bool packet_decode(struct packet *p, struct slice text, const char **why);

/* ---- packets with attachments ---- */

/* The packet of one session that is not whole yet. {0} is none; owns what it keeps. It has to
 * outlast the POST: a client whose payload would pass maxPayload sends the rest in the next. */
struct packet_pending {
	struct str kept;    /* what packet_pending_save() gives */
	unsigned missing_n; /* attachments */
};

enum packet_got {
	PACKET_WHOLE, /* in *p, to be released by packet_fini() */
	PACKET_MORE,  /* attachments are missing */
	PACKET_BAD
};

/* The session's next message. If none was pending, a PACKET_WHOLE borrows text, else it owns all it
 * has. Bad are text that packet_decode() refuses or that comes while attachments are missing,
 * binary data while none are, and more than PACKET_PENDING_MAX of both. After BAD, pending is as it
 * was. */
enum packet_got packet_feed_text(
	struct packet_pending *pending, struct slice text, struct packet *p, const char **why);
enum packet_got packet_feed_binary(
	struct packet_pending *pending, struct slice data, struct packet *p, const char **why);

/* Appends what is pending to s: nothing if nothing is, else `blob text, n * blob attachment` (as in
 * bytes.h), at most PACKET_PENDING_MAX bytes. */
void packet_pending_save(const struct packet_pending *pending, struct str *s);
/* Takes up what was saved; pending is {0} before, and also after false. */
bool packet_pending_load(struct packet_pending *pending, struct slice bytes, const char **why);
void packet_pending_fini(struct packet_pending *pending);

/* ---- encoders: append the text of a packet to s; payload.h makes messages of it ---- */

/* nsp is a namespace as packet_decode() gives it, empty or "/" for the main one. Payloads and args
 * are JSON text as it should appear; args is the inside of an array: `1,"2",{}`. */

/* Protocol, "Connection to a namespace". No payload if it is empty. */
void packet_put_connect(struct str *s, struct slice nsp, struct slice payload);
void packet_put_connect_error(struct str *s, struct slice nsp, struct slice payload);
/* Protocol, "Disconnection from a namespace". */
void packet_put_disconnect(struct str *s, struct slice nsp);
/* Protocol, "Sending and receiving data". id is NULL when no acknowledgement is asked for. With
 * attachments_n, a BINARY_EVENT: the placeholders are in args, and the attachments follow. */
void packet_put_event(struct str *s, struct slice nsp, const uint64_t *id, unsigned attachments_n,
	const char *name, struct slice args);
/* Protocol, "Acknowledgement". With attachments_n, a BINARY_ACK. */
void packet_put_ack(
	struct str *s, struct slice nsp, uint64_t id, unsigned attachments_n, struct slice args);

#endif
