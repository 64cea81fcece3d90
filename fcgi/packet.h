/*
 * Packets of the Socket.IO protocol v5, as they are in the data of an Engine.IO message (what
 * follows its `4`). Socket.IO protocol, "Packet encoding", "Format":
 *
 *     <type>[<# of attachments>-][<namespace>,][<ack id>][<JSON payload without binary>]
 *
 * and then, of a packet with attachments, that many binary messages. In the payload each of them is
 * stood for by a placeholder {"_placeholder":true,"num":N}.
 *
 * Pure functions on bytes in memory: any thread, nothing blocks. A decoder refuses what the
 * reference's refuses (socket.io-parser 4), and nothing else, for that ends the session, as the
 * protocol asks ("Exchange protocol"): *why is set to a static sentence, and nothing is left to
 * free. What that one takes and is more than we can do with is told in `beyond`, and is a matter of
 * that event alone: JSON that json.h does not take (nesting past JSON_DEPTH_MAX, where the
 * payload's own array counts, \u0000, half a surrogate pair, integers in digits that do not fit
 * int64_t), ids that cannot be counted to, attachments past PACKET_PENDING_MAX.
 */
#ifndef CMDB_PACKET_H
#define CMDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "json.h"
#include "str.h"

#define PACKET_NSP_MAX 256               /* bytes of the name of one that there is */
#define PACKET_ATTACHMENTS_MAX 10        /* as in the reference decoder */
#define PACKET_ID_MAX ((1ULL << 53) - 1) /* what a client can count to */
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
	struct slice nsp; /* any bytes behind a `/`, which it is when none is given; without what
			     follows a `?` */
	bool has_id;
	uint64_t id;              /* EVENT: wants to be acknowledged by it */
	const char *beyond;       /* why nothing can be done with it; NULL: something can */
	struct slice payload;     /* the JSON text as it came; empty if there is none */
	struct json_object *json; /* CONNECT, EVENT: the payload, owned; NULL if there is none, or
				     it is beyond us */
	const char *name;         /* EVENT: borrowed from json; NULL: none, a number, or no json */
	struct slice inside;      /* EVENT, ACK: what is between [ and ]: the name, arguments */
	struct slice args;        /* of these the arguments, byte for byte; empty if none */
	unsigned attachments_n;   /* 0: all of it is text */
	struct slice attachments[PACKET_ATTACHMENTS_MAX]; /* set by packet_feed_binary() alone */
	struct str own; /* text and attachments of a packet that came in pieces */
};

void packet_fini(struct packet *p);

/* Decodes the text of a client's packet (UTF-8, may have NULs) into p, which is to be released by
 * packet_fini() if true is returned. Borrows text for as long as p lives. Refused are
 * - CONNECT with a payload that is no object, DISCONNECT with any.
 * - EVENT with a payload that is no array, or does not begin with a number, or a string that is
 * none of the reserved names. One without any payload is an event without a name.
 * - ACK with a payload that is no array. Without an id it acknowledges nothing.
 * - CONNECT_ERROR, which is the server's alone to send: the reference's decoder takes it, and its
 *   client.js ends the session then.
 * - Attachments: none or more than PACKET_ATTACHMENTS_MAX, or a placeholder that stands for none of
 * them. In a packet without attachments a placeholder is an object like any other.
 * - Payloads that are no JSON, whatever is before the bracket. */
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
 * binary data while none are, and attachments to a namespace that there cannot be. After BAD,
 * pending is as it was. Of a packet that would pass PACKET_PENDING_MAX only the head is kept: it is
 * beyond us. */
enum packet_got packet_feed_text(
	struct packet_pending *pending, struct slice text, struct packet *p, const char **why);
enum packet_got packet_feed_binary(
	struct packet_pending *pending, struct slice data, struct packet *p, const char **why);

/* Appends what is pending to s: nothing if nothing is, else `blob text, n * blob attachment` (as in
 * bytes.h), at most PACKET_PENDING_MAX bytes. A text that begins with `!` is the head alone of one
 * that was too large, and its attachments are empty. */
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
