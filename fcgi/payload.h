/*
 * The Engine.IO v4 payload of HTTP long-polling: packets in the body of a POST, or of the answer to
 * a GET. Engine.IO protocol, "Packet encoding", "HTTP long-polling":
 *
 *     <packet type>[<data>]<separator><packet type>[<data>]...
 *
 * The type is a digit (enum payload_type), the separator the byte 0x1e, which data cannot have in
 * it. A binary message is `b` and base64, without a type digit.
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
	/* Text: UTF-8, may have NULs. Borrowed from the body, or (binary data, and text that had to
	 * be made UTF-8) from the struct payload until its next packet is asked for. */
	struct slice data;
};

/* A walk over one body. Borrows the body; owns what was converted last. */
struct payload {
	const char *p, *end; /* p is NULL when all is read */
	struct str converted;
};

enum payload_got { PAYLOAD_PACKET, PAYLOAD_END, PAYLOAD_BAD };

struct payload payload_of(struct slice body);
void payload_fini(struct payload *it);
/* The next packet of it. BAD sets *why to a static sentence; asked again, it says the same. Bad are
 * what the reference's decoder ends a session for (engine.io-parser 5, decodePacket()): an empty
 * packet (so is an empty body, and a separator at either end) and an unknown type. What is no UTF-8
 * becomes U+FFFD, as it does there. Base64 is never bad: read is what Node's Buffer.from() reads,
 * in both alphabets, with or without padding, past line breaks (Android's encoder makes some) and
 * whatever else is not base64, up to the first `=`. */
enum payload_got payload_next(struct payload *it, struct payload_packet *packet, const char **why);

/* These append a packet to the body s, after a separator unless it is the first. The data of a text
 * packet is UTF-8 without NUL and separators; what comes out of packet.h is. */
void payload_put(struct str *s, enum payload_type type, const char *data, size_t len);
void payload_put_text(struct str *s, const char *data, size_t len); /* a MESSAGE */
void payload_put_binary(struct str *s, const void *data, size_t len);

#endif
