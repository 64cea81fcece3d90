/*
 * One HTTP/1.1 response (RFC 9112) as a benchmark client needs it: status, body, where it ends. No
 * I/O, no state.
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

struct answer {
	int status;
	bool is_last;     /* the server closes the connection after it */
	const char *body; /* in the bytes that were parsed */
	size_t body_len;
	size_t size; /* bytes of the whole response */
};

enum answer_got { ANSWER_WHOLE, ANSWER_MORE, ANSWER_BAD };

/* Looks for a whole response at p; a chunked body is joined in place once it is complete. A body
 * without a length (it would end with the connection) is ANSWER_BAD. */
enum answer_got answer_parse(char *p, size_t len, struct answer *a);

#endif
