#define _GNU_SOURCE /* memfd_create(), environ */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "clock.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "peer.h"
#include "request.h"
#include "route.h"

#define READ_AHEAD (64u * 1024)
#define CGI_WRITE_MS 30000 /* a web server that takes nothing for so long is gone */
#define CGI_FORGET_MS 2000

struct conn {
	FCGX_Request fcgi;
	struct request *request; /* NULL for CGI */
	int memory;              /* what libfcgi reads; -1: none yet */
	int64_t deadline_ms;     /* CGI */
};

bool conn_library_init(void)
{
	return FCGX_Init() == 0;
}

struct conn *conn_new(void)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->memory = -1;
	/* No socket: libfcgi gives up when what it was handed is no good. */
	FCGX_InitRequest(&c->fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR);
	return c;
}

/* Frees libfcgi's buffers and the parameters. */
static void forget(struct conn *c)
{
	FCGX_Free(&c->fcgi, 0);
	c->fcgi.ipcFd = -1;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	if (c->request)
		forget(c);
	request_free(c->request);
	if (c->memory >= 0)
		close(c->memory);
	free(c);
}

static bool fill_memory(struct conn *c, const struct str *records)
{
	if (c->memory < 0)
		c->memory = memfd_create("cmdb-request", MFD_CLOEXEC);
	return c->memory >= 0 && ftruncate(c->memory, 0) == 0 &&
	       pwrite(c->memory, records->p, records->len, 0) == (ssize_t)records->len &&
	       lseek(c->memory, 0, SEEK_SET) == 0;
}

bool conn_begin(struct conn *c, struct request *r)
{
	struct str records = STR_INIT;
	bool is_good;

	request_put_head(r, &records);
	is_good = fill_memory(c, &records);
	if (!is_good)
		log_error("memory", "cannot keep a request: %s", strerror(errno));
	str_fini(&records);
	if (is_good) {
		c->fcgi.ipcFd = c->memory;
		c->fcgi.keepConnection = 1; /* lest it closes what it reads */
		is_good = FCGX_Accept_r(&c->fcgi) == 0;
		/* It has closed what was no good, without FCGX_Accept_r() saying so. */
		if (!is_good)
			c->memory = -1;
	}
	if (!is_good) {
		request_free(r);
		return false;
	}
	c->request = r;
	return true;
}

void conn_begin_cgi(struct conn *c, int64_t deadline_ms)
{
	c->deadline_ms = deadline_ms;
}

char *const *conn_env(const struct conn *c)
{
	return c->request ? c->fcgi.envp : environ;
}

bool conn_is_cut(const struct conn *c)
{
	return c->request && c->request->is_cut;
}

/* ---- the body ---- */

/* -1: it broke, or with errno ETIMEDOUT it is late. */
static ssize_t read_cgi(struct conn *c, void *p, size_t size)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	ssize_t n;

	do {
		int64_t left = c->deadline_ms - clock_ms();

		if (left <= 0 || poll(&in, 1, (int)left) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = read(STDIN_FILENO, p, size);
	} while (n < 0 && errno == EINTR);
	return n;
}

static enum conn_body read_body_cgi(struct conn *c, size_t length, struct str *out)
{
	while (out->len < length) {
		size_t want = length - out->len < READ_AHEAD ? length - out->len : READ_AHEAD;
		ssize_t n;

		str_reserve(out, want);
		n = read_cgi(c, out->p + out->len, want);
		if (n < 0 && errno == ETIMEDOUT)
			return CONN_BODY_LATE;
		if (n <= 0)
			return CONN_BODY_SHORT;
		out->len += (size_t)n;
		out->p[out->len] = '\0';
	}
	return CONN_BODY_WHOLE;
}

enum conn_body conn_read_body(struct conn *c, const char *content_length,
	const char *transfer_encoding, size_t max, struct str *out)
{
	bool has_length = content_length[0] && strcmp(content_length, "-1") != 0;
	uint64_t length = 0;
	struct str *body;

	str_clear(out);
	if (has_length && !parse_u64(content_length, 0, UINT64_MAX, &length))
		return CONN_BODY_BAD_LENGTH;
	if (length > max)
		return CONN_BODY_TOO_LARGE;
	if (!c->request) {
		/* RFC 3875 section 4.1.2: without a length there is no body, and standard input may
		 * have no end. */
		if (!has_length && (content_length[0] || transfer_encoding[0]))
			return CONN_BODY_NO_LENGTH;
		return read_body_cgi(c, length, out);
	}
	body = &c->request->body;
	if (body->len > max)
		return CONN_BODY_TOO_LARGE;
	if (has_length && body->len < length)
		return CONN_BODY_SHORT;
	if (has_length && body->len > length)
		body->len = length;
	str_add(out, str_c(body), body->len);
	return CONN_BODY_WHOLE;
}

/* ---- the answer ---- */

/* A socket that ends with input unread takes along what was just written (Apache's mod_cgid). */
static void conn_forget_input(int fd)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};
	int64_t until_ms = clock_ms() + CGI_FORGET_MS, left;
	char trash[4096];

	shutdown(fd, SHUT_WR);
	while ((left = until_ms - clock_ms()) > 0 && poll(&in, 1, (int)left) > 0)
		if (read(fd, trash, sizeof(trash)) <= 0)
			return;
}

/* A CGI program has nothing else to do. */
static void write_out(struct sink *s, enum sink_state state)
{
	struct pollfd out = {.fd = s->fd, .events = POLLOUT};

	while (state == SINK_FULL && poll(&out, 1, CGI_WRITE_MS) > 0)
		state = sink_flush(s);
	if (state == SINK_GONE)
		log_debug("reply", "the web server is gone");
	if (s->out)
		evbuffer_free(s->out);
	s->out = NULL;
	if (s->is_socket)
		conn_forget_input(s->fd);
}

void conn_answer(
	struct conn *c, struct loop *l, const struct str *head, const void *body, size_t body_len)
{
	bool is_cut = conn_is_cut(c);
	struct sink sink;
	enum sink_state state;

	conn_take(c, &sink);
	state = sink_put(&sink, head, body, body_len);
	if (sink.is_cgi)
		write_out(&sink, state);
	else if (state == SINK_GONE || (state == SINK_CLEAR && !sink.keeps && !is_cut))
		sink_close(&sink);
	else
		loop_return(l, peer_new_answered(&sink, is_cut));
}

void conn_take(struct conn *c, struct sink *s)
{
	struct request *r = c->request;

	if (!r) {
		fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
		sink_init(s, STDOUT_FILENO, 0, true);
		return;
	}
	sink_init(s, r->fd, r->id, false);
	s->keeps = r->keeps && !r->is_cut;
	r->fd = -1;
	forget(c);
	request_free(r);
	c->request = NULL;
}

struct request *conn_pass(struct conn *c)
{
	struct request *r = c->request;

	forget(c);
	c->request = NULL;
	return r;
}
