#include "record.h"

#include <assert.h>
#include <string.h>

void record_header(unsigned char out[RECORD_HEADER_SIZE], enum record_type type,
	uint16_t request_id, size_t len)
{
	assert(len <= RECORD_CONTENT_MAX);
	out[0] = 1; /* FCGI_VERSION_1 */
	out[1] = (unsigned char)type;
	out[2] = (unsigned char)(request_id >> 8);
	out[3] = (unsigned char)request_id;
	out[4] = (unsigned char)(len >> 8);
	out[5] = (unsigned char)len;
	out[6] = 0; /* padding */
	out[7] = 0;
}

void record_end(unsigned char out[RECORD_END_SIZE], uint16_t request_id)
{
	record_header(out, RECORD_STDOUT, request_id, 0);
	record_header(out + RECORD_HEADER_SIZE, RECORD_END_REQUEST, request_id, 8);
	memset(out + 2 * RECORD_HEADER_SIZE, 0, 8); /* appStatus 0, FCGI_REQUEST_COMPLETE */
}

static void add_piece(struct record_answer *a, const void *p, size_t len)
{
	if (len > 0)
		a->piece[a->n++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = len};
}

/* The next STDOUT record: a header, the head if it is still there, and as much of the body as fits.
 */
static void add_record(struct record_answer *a)
{
	unsigned char *header = a->headers[a->n];
	size_t room = RECORD_CONTENT_MAX - a->head_len;
	size_t take = a->body_len < room ? a->body_len : room;

	record_header(header, RECORD_STDOUT, a->request_id, a->head_len + take);
	add_piece(a, header, RECORD_HEADER_SIZE);
	add_piece(a, a->head, a->head_len);
	add_piece(a, a->body, take);
	a->head_len = 0;
	a->body_len -= take;
	if (take > 0)
		a->body += take;
}

bool record_next(struct record_answer *a)
{
	a->n = 0;
	if (a->is_plain) {
		add_piece(a, a->head, a->head_len);
		add_piece(a, a->body, a->body_len);
		a->head_len = a->body_len = 0;
		return a->n > 0;
	}
	/* A record has three pieces at most, and the end is one. */
	while (a->head_len + a->body_len > 0 && a->n + 4 <= RECORD_PIECES_MAX)
		add_record(a);
	if (a->is_last && a->head_len + a->body_len == 0) {
		record_end(a->end, a->request_id);
		add_piece(a, a->end, sizeof(a->end));
		a->is_last = false;
	}
	return a->n > 0;
}
