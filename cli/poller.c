#include "poller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "rest.h"
#include "wire.h"

#define RING_TIMEOUT_MS 1000

struct poller {
	int fd;
	int64_t timeout_ms;
	struct evbuffer *in, *out;
	struct poller_welcome welcome;
	uint64_t last_ticket;
	enum wire_answer said; /* OK before any */
};

static bool wait_fd(struct poller *p, short events, int64_t deadline_ms, struct str *why)
{
	for (;;) {
		int64_t left = deadline_ms - clock_ms();
		struct pollfd pfd = {.fd = p->fd, .events = events};
		int n = poll(&pfd, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return true;
		if (n == 0) {
			str_addf(why, "no answer within %lld ms", (long long)p->timeout_ms);
			return false;
		}
		if (errno != EINTR) {
			str_addf(why, "poll: %s", strerror(errno));
			return false;
		}
	}
}

static bool flush(struct poller *p, int64_t deadline_ms, struct str *why)
{
	while (evbuffer_get_length(p->out) > 0) {
		if (evbuffer_write(p->out, p->fd) >= 0)
			continue;
		if (errno != EAGAIN && errno != EINTR) {
			str_addf(why, "write: %s", strerror(errno));
			return false;
		}
		if (!wait_fd(p, POLLOUT, deadline_ms, why))
			return false;
	}
	return true;
}

/* Reads frames until one of `want` is at the front of p->in, skipping what was not asked for (a
 * REVOKED goes to every client). The caller drops it. */
static bool await(struct poller *p, enum wire_type want, struct wire_frame *f, struct str *why)
{
	int64_t deadline_ms = clock_ms() + p->timeout_ms;
	const char *bad = NULL;

	if (!flush(p, deadline_ms, why))
		return false;
	for (;;) {
		enum wire_got got = wire_peek(p->in, WIRE_FROM_POLLER_MAX, f, &bad);
		int n;

		if (got == WIRE_GOT_BAD) {
			str_addf(why, "it does not speak the poller's protocol: %s", bad);
			return false;
		}
		if (got == WIRE_GOT_FRAME) {
			if (f->type == want)
				return true;
			if (f->type == WIRE_ERROR) {
				str_addf(why, "the poller refused: %.*s", (int)f->error.len,
					f->error.p);
				return false;
			}
			wire_drop(p->in, f);
			continue;
		}
		n = evbuffer_read(p->in, p->fd, -1);
		if (n == 0) {
			str_adds(why, "the connection was closed");
			return false;
		}
		if (n > 0)
			continue;
		if (errno != EAGAIN && errno != EINTR) {
			str_addf(why, "read: %s", strerror(errno));
			return false;
		}
		if (!wait_fd(p, POLLIN, deadline_ms, why))
			return false;
	}
}

/* The socket, or -1 with errno set. connect() of a UNIX socket never is in progress: it succeeds,
 * or fails, with EAGAIN when the backlog is full. */
static int connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, e;

	if (len >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

static bool welcomed(struct poller *p, struct str *why)
{
	struct wire_frame f;
	size_t len;

	wire_put_hello(p->out, WIRE_ROLE_CLI, (uint32_t)getpid(), 0);
	if (!await(p, WIRE_WELCOME, &f, why))
		return false;
	p->welcome.version = f.welcome.version;
	p->welcome.node_id = f.welcome.node_id;
	p->welcome.tail = f.welcome.tail;
	len = f.welcome.epoch.len < sizeof(p->welcome.epoch) ? f.welcome.epoch.len
							     : sizeof(p->welcome.epoch) - 1;
	memcpy(p->welcome.epoch, f.welcome.epoch.p, len);
	p->welcome.epoch[len] = '\0';
	wire_drop(p->in, &f);
	if (p->welcome.version != WIRE_VERSION) {
		str_addf(why,
			"the poller speaks protocol version %u, cmdbctl %u: "
			"restart the poller of the version that is installed",
			p->welcome.version, WIRE_VERSION);
		return false;
	}
	return true;
}

enum poller_found poller_open(
	const char *socket_path, unsigned timeout_ms, struct poller **out, struct str *why)
{
	int fd = connect_to(socket_path);
	struct poller *p;

	*out = NULL;
	if (fd < 0) {
		bool is_absent = errno == ENOENT || errno == ECONNREFUSED;

		str_addf(why, "%s: %s", socket_path, strerror(errno));
		return is_absent ? POLLER_ABSENT : POLLER_BROKEN;
	}
	p = xcalloc(1, sizeof(*p));
	p->fd = fd;
	p->timeout_ms = timeout_ms;
	p->in = evbuffer_new();
	p->out = evbuffer_new();
	if (!welcomed(p, why)) {
		poller_close(p);
		return POLLER_BROKEN;
	}
	*out = p;
	return POLLER_OPEN;
}

void poller_close(struct poller *p)
{
	if (!p)
		return;
	evbuffer_free(p->in);
	evbuffer_free(p->out);
	close(p->fd);
	free(p);
}

const struct poller_welcome *poller_welcome(const struct poller *p)
{
	return &p->welcome;
}

/* With what it says of it, if anything: details as the web server gives them. */
static void add_refusal(struct str *why, const char *refusal, struct slice json)
{
	const char *bad;
	size_t at;
	struct json_object *details = json.len ? json_parse_own(json.p, json.len, &bad, &at) : NULL;

	str_adds(why, refusal);
	rest_details(details, why);
	json_object_put(details);
}

/* To the last ticket. */
static bool answered(struct poller *p, struct str *json, struct str *why)
{
	static const char *const refusals[WIRE_ANSWER_N] = {
		[WIRE_ANSWER_UNKNOWN] = "the poller does not know this question",
		[WIRE_ANSWER_FORBIDDEN] = "the poller does not tell that to cmdbctl",
		[WIRE_ANSWER_BAD] = "the poller does not take what was asked",
		[WIRE_ANSWER_BUSY] = "the poller is busy: try again in a moment",
		[WIRE_ANSWER_NONE] = "there is none",
	};
	struct wire_frame f;
	bool is_ok;

	if (!await(p, WIRE_ANSWER, &f, why))
		return false;
	p->said = (enum wire_answer)f.answer.what;
	is_ok = f.answer.what == WIRE_ANSWER_OK && f.answer.ticket == p->last_ticket;
	if (is_ok)
		str_add(json, f.answer.json.p, f.answer.json.len);
	else if (f.answer.what && f.answer.what < WIRE_ANSWER_N)
		add_refusal(why, refusals[f.answer.what], f.answer.json);
	else
		str_adds(why, "an answer out of place");
	wire_drop(p->in, &f);
	return is_ok;
}

bool poller_ask(struct poller *p, const char *question, uint32_t tenant_id,
	const struct str *arguments, struct str *json, struct str *why)
{
	wire_put_ask(p->out, ++p->last_ticket, question, tenant_id, arguments);
	return answered(p, json, why);
}

enum wire_answer poller_said(const struct poller *p)
{
	return p->said;
}

bool poller_cast(struct poller *p, uint32_t tenant_id, const char *room, const struct str *args,
	struct str *json, struct str *why)
{
	wire_put_cast(p->out, ++p->last_ticket, tenant_id, room, "", args);
	return answered(p, json, why);
}

bool poller_refresh(struct poller *p, struct floors *floors, uint64_t *tail, struct str *why)
{
	struct wire_frame f;

	wire_put_bare(p->out, WIRE_REFRESH);
	if (!await(p, WIRE_REFRESHED, &f, why))
		return false;
	memcpy(floors->of, f.refreshed.floor, sizeof(floors->of));
	*tail = f.refreshed.tail;
	wire_drop(p->in, &f);
	return true;
}

void poller_ring(const char *socket_path)
{
	struct str why = STR_INIT;
	struct poller *p;

	if (poller_open(socket_path, RING_TIMEOUT_MS, &p, &why) == POLLER_OPEN) {
		wire_put_bare(p->out, WIRE_DOORBELL);
		(void)flush(p, clock_ms() + RING_TIMEOUT_MS, &why);
		poller_close(p);
	}
	str_fini(&why);
}
