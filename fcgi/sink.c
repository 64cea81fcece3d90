#include "sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mem.h"
#include "record.h"

#define PIECES_MAX 48 /* handed to one writev(2); a larger answer goes through the buffer */

/* ---- bodies ---- */

struct body *body_take(struct evbuffer *from, size_t len)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->refs = 1;
	b->bytes = evbuffer_new();
	evbuffer_remove_buffer(from, b->bytes, len);
	b->len = evbuffer_get_length(b->bytes);
	b->p = b->len > 0 ? (const char *)evbuffer_pullup(b->bytes, -1) : "";
	return b;
}

struct body *body_new(const void *p, size_t len)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->refs = 1;
	b->bytes = evbuffer_new();
	evbuffer_add(b->bytes, p, len);
	b->len = len;
	b->p = len > 0 ? (const char *)evbuffer_pullup(b->bytes, -1) : "";
	return b;
}

void body_put(struct body *b)
{
	if (!b || --b->refs > 0)
		return;
	evbuffer_free(b->bytes);
	free(b);
}

static void on_reference_done(const void *data, size_t len, void *arg)
{
	body_put(arg);
}

/* ---- an answer in pieces: borrowed bytes in the order they go out ---- */

struct pieces {
	struct iovec v[PIECES_MAX];
	int n;
	unsigned char headers[PIECES_MAX][RECORD_HEADER_SIZE];
	unsigned char end[RECORD_END_SIZE];
};

static void add_piece(struct pieces *ps, const void *p, size_t len)
{
	if (len > 0)
		ps->v[ps->n++] = (struct iovec){.iov_base = (void *)(uintptr_t)p, .iov_len = len};
}

/* Cuts head and body, in this order, into STDOUT records. */
static void add_records(struct pieces *ps, const struct sink *s, const struct str *head,
	const char *body, size_t body_len)
{
	size_t head_len = head ? head->len : 0;

	while (head_len + body_len > 0) {
		size_t take = RECORD_CONTENT_MAX - head_len;
		unsigned char *h = ps->headers[ps->n];

		take = body_len < take ? body_len : take;
		record_header(h, RECORD_STDOUT, s->request_id, head_len + take);
		add_piece(ps, h, RECORD_HEADER_SIZE);
		if (head_len > 0)
			add_piece(ps, head->p, head_len);
		add_piece(ps, body, take);
		head_len = 0;
		body += take;
		body_len -= take;
	}
}

static void add_end(struct pieces *ps, const struct sink *s)
{
	if (s->is_cgi)
		return;
	record_end(ps->end, s->request_id);
	add_piece(ps, ps->end, sizeof(ps->end));
}

/* Keeps what writev() left of the pieces; bytes of the body by reference. */
static void keep_rest(struct sink *s, const struct pieces *ps, size_t written, struct body *body)
{
	if (!s->out)
		s->out = evbuffer_new();
	for (int i = 0; i < ps->n; i++) {
		const char *p = ps->v[i].iov_base;
		size_t len = ps->v[i].iov_len, skip = written < len ? written : len;

		written -= skip;
		p += skip;
		len -= skip;
		if (len == 0)
			continue;
		if (body && p >= body->p && p < body->p + body->len) {
			body->refs++;
			evbuffer_add_reference(s->out, p, len, on_reference_done, body);
		} else {
			evbuffer_add(s->out, p, len);
		}
	}
}

static enum sink_state write_pieces(struct sink *s, const struct pieces *ps, struct body *body)
{
	size_t all = 0, written = 0;

	for (int i = 0; i < ps->n; i++)
		all += ps->v[i].iov_len;
	/* Order: nothing may overtake what is kept. */
	if (!s->out && all > 0) {
		ssize_t n = writev(s->fd, ps->v, ps->n);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return SINK_GONE;
		written = n > 0 ? (size_t)n : 0;
	}
	if (written < all)
		keep_rest(s, ps, written, body);
	return s->out ? SINK_FULL : SINK_CLEAR;
}

/* ---- sinks ---- */

void sink_init(struct sink *s, int fd, uint16_t request_id, bool is_cgi)
{
	*s = (struct sink){.fd = fd, .request_id = request_id, .is_cgi = is_cgi};
}

enum sink_state sink_send(struct sink *s, const struct str *head, struct body *body, bool is_last)
{
	/* So many bytes of body make pieces enough for one round: a record has two of them. */
	const size_t round = (size_t)(PIECES_MAX / 2 - 3) * RECORD_CONTENT_MAX;
	size_t at = 0, len = body ? body->len : 0;
	enum sink_state state;

	do {
		size_t take = len - at < round ? len - at : round;
		struct pieces ps;

		ps.n = 0;
		if (s->is_cgi) {
			if (head)
				add_piece(&ps, head->p, head->len);
			add_piece(&ps, body ? body->p + at : NULL, take);
		} else {
			add_records(&ps, s, head, body ? body->p + at : NULL, take);
		}
		at += take;
		head = NULL;
		if (at == len && is_last)
			add_end(&ps, s);
		state = write_pieces(s, &ps, body);
	} while (at < len && state != SINK_GONE);
	return state;
}

enum sink_state sink_flush(struct sink *s)
{
	if (!s->out)
		return SINK_CLEAR;
	if (evbuffer_write(s->out, s->fd) < 0 && errno != EAGAIN && errno != EINTR)
		return SINK_GONE;
	if (evbuffer_get_length(s->out) > 0)
		return SINK_FULL;
	evbuffer_free(s->out);
	s->out = NULL;
	return SINK_CLEAR;
}

bool sink_is_abandoned(struct sink *s)
{
	unsigned char in[512];
	ssize_t n;

	if (s->is_cgi) /* a pipe's writing end turns readable when there is no reader any more */
		return true;
	n = recv(s->fd, in, sizeof(in), MSG_DONTWAIT);
	if (n < 0)
		return errno != EAGAIN && errno != EINTR;
	/* The body was read to its end, so a record begins here. FastCGI section 5.4; what else may
	 * come (nothing, with the web servers there are) does not concern a request that is
	 * complete. */
	return n == 0 || (n >= 2 && in[1] == RECORD_ABORT_REQUEST);
}

void sink_close(struct sink *s)
{
	if (s->out)
		evbuffer_free(s->out);
	s->out = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
