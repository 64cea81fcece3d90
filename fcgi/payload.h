/*
 * The Engine.IO v4 payload of HTTP long-polling: packets in the body of a POST, or of the answer to
 * a GET. Engine.IO protocol, "Packet encoding", "HTTP long-polling":
 *
 *     <packet type>[<data>]<separator><packet type>[<data>]...
 *
 * The type is a digit (enum payload_type), the separator the byte 0x1e, which data cannot have in
 * it. A binary message is `b` and base64 (RFC 4648 section 4, padded), without a type digit.
 *
 * Pure functions on bytes in memory: any thread, nothing blocks. Which types a client may send, and
 * how long a body may be, is the caller's to say.
 */
#ifndef CMDB_PAYLOAD_H
#define CMDB_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "str.h"

#define PAYLOAD_SEPARATOR '\x1e'
/* Of one body. Stock clients fill a body up to maxPayload, whatever their number: one that emits
 * more than this before it gets to send is refused, as by a server with a limit on packets. */
#define PAYLOAD_PACKETS_MAX 20000

/* The numbers are the digits. Protocol, "Protocol": table of packet types. */
enum payload_type {
	PAYLOAD_OPEN,
	PAYLOAD_CLOSE,
	PAYLOAD_PING,
	PAYLOAD_PONG,
	PAYLOAD_MESSAGE,
	PAYLOAD_UPGRADE,
	PAYLOAD_NOOP,
	PAYLOAD_TYPES_N
};

struct payload_packet {
	enum payload_type type;
	bool is_binary; /* a MESSAGE that came as base64 */
	/* Text: borrowed from the body, UTF-8 without NUL. Binary: decoded, borrowed from the
	 * struct payload until its next packet is asked for. */
	struct slice data;
};

/* A walk over one body. Borrows the body; owns what was decoded last. */
struct payload {
	const char *p, *end; /* p is NULL when all is read */
	size_t packets_n;    /* read so far */
	struct str binary;
};

enum payload_got { PAYLOAD_PACKET, PAYLOAD_END, PAYLOAD_BAD };

struct payload payload_of(struct slice body);
void payload_fini(struct payload *it);
/* The next packet of it. BAD sets *why to a static sentence; asked again, it says the same. Bad are
 * an empty packet (so is an empty body, and a separator at either end), an unknown type, text that
 * is not UTF-8 or has a NUL, base64 that is not exactly what an encoder makes (padding left out,
 * bits behind the last byte), and a packet past PAYLOAD_PACKETS_MAX. The reference decoder ends at
 * the first two alone; of base64 it takes what it can read. */
enum payload_got payload_next(struct payload *it, struct payload_packet *packet, const char **why);

/* These append a packet to the body s, after a separator unless it is the first. The data of a text
 * packet is UTF-8 without NUL and separators; what comes out of packet.h is. */
void payload_put(struct str *s, enum payload_type type, const char *data, size_t len);
void payload_put_text(struct str *s, const char *data, size_t len); /* a MESSAGE */
void payload_put_binary(struct str *s, const void *data, size_t len);

#endif
