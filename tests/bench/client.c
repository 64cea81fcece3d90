#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "str.h"

#define EVENTS_N 512
#define READ_SIZE 65536

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_OUT, CONN_IDLE };

struct conn {
	enum conn_state state;
	int fd;
	bool is_reused; /* has answered before: a close may just mean that keep-alive ended */
	struct str request, in;
};

struct client {
	struct sockaddr_in at;
	int epoll_fd;
	size_t conns_n, out_n;
	struct conn *conns;
	client_on_answer on;
	void *arg;
	char scratch[READ_SIZE];
};

const char *client_parse_url(const char *url, struct sockaddr_in *at)
{
	static const char scheme[] = "http://";
	char host[INET_ADDRSTRLEN];
	const char *p = url + strlen(scheme);
	size_t host_len;
	unsigned long port = 80;
	char *end;

	if (strncmp(url, scheme, strlen(scheme)) != 0)
		return NULL;
	host_len = strcspn(p, ":/");
	if (host_len >= sizeof(host))
		return NULL;
	memcpy(host, p, host_len);
	host[host_len] = '\0';
	p += host_len;
	if (*p == ':') {
		port = strtoul(p + 1, &end, 10);
		p = end;
	}
	*at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	if (port == 0 || port > UINT16_MAX || inet_pton(AF_INET, host, &at->sin_addr) != 1)
		return NULL;
	if (*p == '\0')
		return "/";
	return *p == '/' ? p : NULL;
}

struct client *client_new(const struct sockaddr_in *at, size_t n, client_on_answer on, void *arg)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->at = *at;
	c->conns_n = n;
	c->conns = xcalloc(n, sizeof(*c->conns));
	c->on = on;
	c->arg = arg;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll_fd < 0)
		log_fatal(1, "epoll_create1: %s", strerror(errno));
	return c;
}

/* The one place that changes a connection's state; out_n is the number of those in CONN_OUT. */
static void set_state(struct client *c, struct conn *conn, enum conn_state state)
{
	c->out_n -= conn->state == CONN_OUT;
	c->out_n += state == CONN_OUT;
	conn->state = state;
}

static void hang_up(struct client *c, struct conn *conn)
{
	/* A reset leaves no TIME_WAIT behind: thousands of them a round would use up the ports. */
	static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (conn->state == CONN_CLOSED)
		return;
	setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(conn->fd);
	set_state(c, conn, CONN_CLOSED);
}

void client_free(struct client *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->conns_n; i++) {
		hang_up(c, &c->conns[i]);
		str_fini(&c->conns[i].request);
		str_fini(&c->conns[i].in);
	}
	close(c->epoll_fd);
	free(c->conns);
	free(c);
}

static void watch(struct client *c, struct conn *conn, int op, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = conn};

	if (epoll_ctl(c->epoll_fd, op, conn->fd, &e) != 0)
		log_fatal(1, "epoll_ctl: %s", strerror(errno));
}

static void dial(struct client *c, struct conn *conn)
{
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		log_fatal(1, "socket: %s (raise the limit of open files)", strerror(errno));
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (connect(conn->fd, (const struct sockaddr *)&c->at, sizeof(c->at)) != 0 &&
		errno != EINPROGRESS)
		log_fatal(1, "connect: %s", strerror(errno));
	conn->is_reused = false;
	set_state(c, conn, CONN_CONNECTING);
	watch(c, conn, EPOLL_CTL_ADD, EPOLLOUT);
}

static void fail(struct client *c, struct conn *conn)
{
	hang_up(c, conn);
	str_clear(&conn->in);
	c->on(c, (size_t)(conn - c->conns), NULL, c->arg);
}

/* A socket with nothing in its buffer takes a whole request. A failure shows as a hang-up. */
static void write_request(struct client *c, struct conn *conn)
{
	ssize_t n = send(conn->fd, conn->request.p, conn->request.len, MSG_NOSIGNAL);

	if (n >= 0 && (size_t)n != conn->request.len)
		log_fatal(1, "the kernel took %zd of %zu bytes", n, conn->request.len);
	set_state(c, conn, CONN_OUT);
}

void client_send(struct client *c, size_t i, const char *request, size_t len)
{
	struct conn *conn = &c->conns[i];

	str_clear(&conn->request);
	str_add(&conn->request, request, len);
	if (conn->state == CONN_IDLE)
		write_request(c, conn);
	else
		dial(c, conn);
}

void client_close(struct client *c, size_t i)
{
	hang_up(c, &c->conns[i]);
}

static void on_close(struct client *c, struct conn *conn)
{
	bool is_stale = conn->is_reused && conn->in.len == 0;

	if (conn->state == CONN_IDLE) {
		hang_up(c, conn);
	} else if (is_stale) {
		hang_up(c, conn);
		dial(c, conn);
	} else {
		fail(c, conn);
	}
}

static void on_readable(struct client *c, struct conn *conn)
{
	ssize_t n = recv(conn->fd, c->scratch, sizeof(c->scratch), 0);
	struct answer a;
	enum answer_got got;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		on_close(c, conn);
		return;
	}
	str_add(&conn->in, c->scratch, (size_t)n);
	got = answer_parse(conn->in.p, conn->in.len, &a);
	if (got == ANSWER_MORE)
		return;
	if (got == ANSWER_BAD || conn->state != CONN_OUT || a.size != conn->in.len) {
		fail(c, conn);
		return;
	}
	conn->is_reused = true;
	set_state(c, conn, CONN_IDLE);
	if (a.is_last)
		hang_up(c, conn);
	c->on(c, (size_t)(conn - c->conns), &a, c->arg);
	str_clear(&conn->in);
}

static void on_connected(struct client *c, struct conn *conn)
{
	int problem = 0;
	socklen_t len = sizeof(problem);

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &problem, &len);
	if (problem != 0) {
		log_error("connect", "%s", strerror(problem));
		fail(c, conn);
		return;
	}
	watch(c, conn, EPOLL_CTL_MOD, EPOLLIN);
	write_request(c, conn);
}

void client_turn(struct client *c, int timeout_ms)
{
	struct epoll_event events[EVENTS_N];
	int n = epoll_wait(c->epoll_fd, events, EVENTS_N, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct conn *conn = events[i].data.ptr;

		if (conn->state == CONN_CONNECTING)
			on_connected(c, conn);
		else
			on_readable(c, conn);
	}
}

size_t client_out_n(const struct client *c)
{
	return c->out_n;
}
