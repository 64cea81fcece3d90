/*
 * What a worker has of the request at hand: its variables, its body, the way for its answer. One
 * conn a thread, one request at a time. The only module that sees fcgiapp.h: a whole request
 * (request.h) is given to libfcgi out of memory, so that neither it nor the worker ever waits for a
 * web server. A CGI program's request is its environment and standard input.
 *
 * libfcgi 2.4.2 reads from the public field ipcFd; its own accept loop (OS_Accept) can neither be
 * stopped nor left safely, and its reads block, so it is never given a connection.
 */
#ifndef CMDB_CONN_H
#define CMDB_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sink.h"
#include "str.h"

struct loop;
struct request;

bool conn_library_init(void); /* before any other; sets signal handlers of its own */

struct conn;
struct conn *conn_new(void);
void conn_free(struct conn *c); /* takes NULL */
/* The request is taken over; false: its parameters are no good, it is closed and gone. */
bool conn_begin(struct conn *c, struct request *r);
/* CGI: what came with the process, whose body may take until deadline_ms. */
void conn_begin_cgi(struct conn *c, int64_t deadline_ms);

/* "NAME=value" texts, ends with NULL; borrowed until finish, take or pass. */
char *const *conn_env(const struct conn *c);
/* The whole body into out, which is cleared first. content_length is the variable of that name;
 * "" and "-1" (Caddy, for a chunked one) mean that it is not known. */
enum conn_body {
	CONN_BODY_WHOLE,
	CONN_BODY_TOO_LARGE, /* more than max bytes */
	CONN_BODY_SHORT,     /* it ended before its length */
	CONN_BODY_LATE,      /* CGI: its time is over */
	CONN_BODY_BAD_LENGTH,
	CONN_BODY_NO_LENGTH /* CGI: a chunked one, whose end nobody can tell */
};
enum conn_body conn_read_body(struct conn *c, const char *content_length,
	const char *transfer_encoding, size_t max, struct str *out);
/* Is the body longer than any request's may be, and its rest was not read? */
bool conn_is_cut(const struct conn *c);

/* One of these ends the request. */
/* Writes the whole answer, without waiting: what does not fit goes out by the loop. */
void conn_answer(
	struct conn *c, struct loop *l, const struct str *head, const void *body, size_t body_len);
/* Its connection, for an answer to come, is the sink's. */
void conn_take(struct conn *c, struct sink *s);
/* The request itself, as it was before conn_begin(). */
struct request *conn_pass(struct conn *c);

#endif
