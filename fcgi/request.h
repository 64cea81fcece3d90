/*
 * A request of a web server, from its first byte on: what FastCGI records bring is put together
 * here, within bounds, until it is whole. Reading records is a pure function of the bytes so far
 * (no I/O, no clock, no globals); the loop feeds it (peer.h), so that however slow a sender is,
 * it takes no thread. A whole request is a job for a worker, which lets libfcgi take the parameters
 * apart (conn.h).
 *
 * FastCGI 1.0, sections 3.3 (records), 4 (management records), 5.1 to 5.4 (the streams of a
 * request). One request at a time on a connection; another that is begun meanwhile is answered
 * FCGI_CANT_MPX_CONN.
 */
#ifndef CMDB_REQUEST_H
#define CMDB_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs.h"
#include "record.h"
#include "str.h"

#define REQUEST_PARAMS_MAX (128u * 1024)

struct request {
	struct job job;
	int fd;                    /* the web server's connection, not blocking; -1: none */
	atomic_size_t *charged_to; /* bytes that all requests hold, of which `charged` are here */
	size_t charged;

	struct str params, body; /* contents of the streams */
	size_t body_max;
	uint16_t id;
	bool is_begun;   /* id and keeps are known */
	bool keeps;      /* FCGI_KEEP_CONN: the connection is to live on */
	bool has_params; /* they are whole */
	bool is_cut;     /* the body is longer than body_max: the rest was not read */

	/* The record at hand. */
	unsigned char header[RECORD_HEADER_SIZE];
	size_t header_n, content_left, padding_left;
	unsigned char small[64]; /* content of a record that is no stream's */
	size_t small_n;
};

struct request *request_new(size_t body_max);
void request_free(struct request *r); /* closes fd; takes NULL */

enum request_got {
	REQUEST_MORE,    /* all was taken, and more has to come */
	REQUEST_WHOLE,   /* up to its end, or it is_cut */
	REQUEST_ABORTED, /* the web server gave it up, or wants a role that is not played here */
	REQUEST_BIG,     /* more than REQUEST_PARAMS_MAX of parameters */
	REQUEST_BAD      /* this is no FastCGI */
};
/* Takes bytes from the front of p, at most up to the request's end; *used says how many. What is to
 * be sent at once is added to reply: answers to management records, refusals. */
enum request_got request_take(
	struct request *r, const unsigned char *p, size_t len, size_t *used, struct str *reply);
/* Has anything of it come? */
bool request_is_empty(const struct request *r);
/* The records that libfcgi is given: BEGIN, PARAMS, and an empty STDIN. */
void request_put_head(const struct request *r, struct str *out);

#endif
