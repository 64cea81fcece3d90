#include "sink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mem.h"
#include "record.h"

/* ---- bodies ---- */

/* The loop thread's, as all bodies are. */
static size_t bytes_n;

size_t body_bytes(void)
{
	return bytes_n;
}

struct body *body_take(struct evbuffer *from, size_t len)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->refs = 1;
	b->bytes = evbuffer_new();
	evbuffer_remove_buffer(from, b->bytes, len);
	b->len = evbuffer_get_length(b->bytes);
	bytes_n += b->len;
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
	bytes_n += len;
	b->p = len > 0 ? (const char *)evbuffer_pullup(b->bytes, -1) : "";
	return b;
}

void body_put(struct body *b)
{
	if (!b || --b->refs > 0)
		return;
	bytes_n -= b->len;
	evbuffer_free(b->bytes);
	free(b);
}

static void on_reference_done(const void *data, size_t len, void *arg)
{
	body_put(arg);
}

/* ---- writing ---- */

/* Keeps what writev() left of the pieces; bytes of the body by reference. */
static void keep_rest(
	struct sink *s, const struct record_answer *a, size_t written, struct body *body)
{
	if (!s->out)
		s->out = evbuffer_new();
	for (int i = 0; i < a->n; i++) {
		const char *p = a->piece[i].iov_base;
		size_t len = a->piece[i].iov_len, skip = written < len ? written : len;

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

static enum sink_state write_pieces(
	struct sink *s, const struct record_answer *a, struct body *body)
{
	size_t all = 0, written = 0;

	for (int i = 0; i < a->n; i++)
		all += a->piece[i].iov_len;
	/* Order: nothing may overtake what is kept. */
	if (!s->out && all > 0) {
		ssize_t n = writev(s->fd, a->piece, a->n);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return SINK_GONE;
		written = n > 0 ? (size_t)n : 0;
	}
	if (written < all)
		keep_rest(s, a, written, body);
	return s->out ? SINK_FULL : SINK_CLEAR;
}

/* ---- sinks ---- */

void sink_init(struct sink *s, int fd, uint16_t request_id, bool is_cgi)
{
	struct stat st;

	*s = (struct sink){.fd = fd, .request_id = request_id, .is_cgi = is_cgi};
	s->is_socket = is_cgi && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static enum sink_state send_all(struct sink *s, struct record_answer *a, struct body *body)
{
	enum sink_state state = s->out ? SINK_FULL : SINK_CLEAR;

	s->is_ended = s->is_ended || a->is_last;
	while (state != SINK_GONE && record_next(a))
		state = write_pieces(s, a, body);
	return state;
}

enum sink_state sink_send(struct sink *s, const struct str *head, struct body *body, bool is_last)
{
	struct record_answer a = {.is_last = is_last,
		.is_plain = s->is_cgi,
		.request_id = s->request_id,
		.head = head ? head->p : NULL,
		.head_len = head ? head->len : 0,
		.body = body ? body->p : NULL,
		.body_len = body ? body->len : 0};

	return send_all(s, &a, body);
}

enum sink_state sink_put(struct sink *s, const struct str *head, const void *body, size_t body_len)
{
	struct record_answer a = {.is_last = true,
		.is_plain = s->is_cgi,
		.request_id = s->request_id,
		.head = head->p,
		.head_len = head->len,
		.body = body,
		.body_len = body_len};

	return send_all(s, &a, NULL);
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

	/* The web server has ended what it sends, so that such a socket is readable for ever. */
	if (s->is_socket) {
		struct pollfd p = {.fd = s->fd};

		return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
	}
	if (s->is_cgi) /* a pipe's writing end turns readable when there is no reader any more */
		return true;
	n = recv(s->fd, in, sizeof(in), MSG_DONTWAIT);
	if (n < 0)
		return errno != EAGAIN && errno != EINTR;
	/* The request came whole, so a record begins here. FastCGI section 5.4; what else may come
	 * (nothing, with the web servers there are) does not concern this request, and what it was
	 * the beginning of nobody can tell any more. */
	if (n >= 2 && in[1] == RECORD_ABORT_REQUEST)
		return true;
	s->keeps = false;
	return n == 0;
}

bool sink_is_looked_at(const struct sink *s)
{
	return s->is_socket;
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
