/*
 * FastCGI records as they are written to a connection: an answer that is whole goes out in one
 * writev(2) instead of libfcgi's many pieces of 8 KB.
 * FastCGI 1.0: records section 3.3, streams 5.3, FCGI_END_REQUEST 5.5. No I/O.
 */
#ifndef CMDB_RECORD_H
#define CMDB_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define RECORD_HEADER_SIZE 8
#define RECORD_CONTENT_MAX 65535u
#define RECORD_END_SIZE 24

enum record_type {
	RECORD_BEGIN_REQUEST = 1,
	RECORD_ABORT_REQUEST,
	RECORD_END_REQUEST,
	RECORD_PARAMS,
	RECORD_STDIN,
	RECORD_STDOUT,
	RECORD_GET_VALUES = 9,
	RECORD_GET_VALUES_RESULT,
	RECORD_UNKNOWN_TYPE
};

/* The header of a record with `len` bytes of content and no padding. */
void record_header(unsigned char out[RECORD_HEADER_SIZE], enum record_type type,
	uint16_t request_id, size_t len);
/* What ends an answer: an empty STDOUT record and END_REQUEST (status 0, complete). */
void record_end(unsigned char out[RECORD_END_SIZE], uint16_t request_id);

#define RECORD_PIECES_MAX 48

/* An answer or a part of one, as pieces to be written in order: head and body, borrowed, between
 * the headers of their records. A large body takes several rounds. */
struct record_answer {
	const char *head, *body;
	size_t head_len, body_len; /* what is left; the head is less than RECORD_CONTENT_MAX */
	uint16_t request_id;
	bool is_plain; /* CGI: no records */
	bool is_last;  /* add what ends the answer */
	struct iovec piece[RECORD_PIECES_MAX];
	int n;
	unsigned char headers[RECORD_PIECES_MAX][RECORD_HEADER_SIZE], end[RECORD_END_SIZE];
};
/* Makes piece[] and n the next round. false when there is nothing left. */
bool record_next(struct record_answer *a);

#endif
