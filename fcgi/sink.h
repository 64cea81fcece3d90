/*
 * Where the answer to a parked request goes: the connection of its web server, written without
 * blocking. What does not fit the socket now is kept and written when it can be. A body shared by
 * thousands of sinks is kept once. Loop thread only; but a worker makes one (conn_take()), and
 * writes into it what needs no waiting before the loop gets it.
 */
#ifndef CMDB_SINK_H
#define CMDB_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>

#include "str.h"

/* Bytes that several answers share, counted. */
struct body {
	unsigned refs;
	struct evbuffer *bytes;
	const char *p; /* all of bytes, in one piece */
	size_t len;
};
/* Takes the first len bytes of `from` (moved where whole chains fit). One reference, the caller's.
 */
struct body *body_take(struct evbuffer *from, size_t len);
struct body *body_new(const void *p, size_t len); /* copies */
void body_put(struct body *b);                    /* takes NULL */
size_t body_bytes(void);                          /* in all that there are */

struct sink {
	int fd; /* -1 when closed */
	uint16_t request_id;
	bool is_cgi;          /* plain bytes; no records */
	bool is_socket;       /* CGI: fd is both standard input and output (Apache's mod_cgid) */
	bool keeps;           /* FCGI_KEEP_CONN: the connection is to live on after the answer */
	bool is_ended;        /* what ends the answer was sent, or is in out */
	struct evbuffer *out; /* what is still to be written; NULL: nothing */
};

enum sink_state {
	SINK_CLEAR, /* all written */
	SINK_FULL,  /* wait until fd is writable, then sink_flush() */
	SINK_GONE   /* the other end is gone */
};

void sink_init(struct sink *s, int fd, uint16_t request_id, bool is_cgi);
/* Sends head and body (either may be empty or NULL), and if is_last what ends the answer. */
enum sink_state sink_send(struct sink *s, const struct str *head, struct body *body, bool is_last);
/* A whole answer; what cannot be written now is copied. */
enum sink_state sink_put(struct sink *s, const struct str *head, const void *body, size_t body_len);
enum sink_state sink_flush(struct sink *s);
/* Reads what the web server says meanwhile: true if it gave the request up. To be asked when the
 * descriptor is readable, or where that says nothing, every SINK_LOOK_MS. */
bool sink_is_abandoned(struct sink *s);
#define SINK_LOOK_MS 500
bool sink_is_looked_at(const struct sink *s);
void sink_close(struct sink *s);

#endif
