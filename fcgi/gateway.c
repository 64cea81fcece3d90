#define _GNU_SOURCE /* accept4(), environ */
#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "record.h"
#include "route.h"

#define BACKLOG 4096
#define READ_AHEAD (64u * 1024)
#define SYSTEMD_FIRST_FD 3
#define SOCK_FD 65535   /* above all others */
#define PARAMS_WAIT_S 2 /* a connection that says nothing is closed after this */
#define BODY_WAIT_S                                                                  \
	15 /* between two pieces of a body that the web server passes on as it comes \
	    */

struct conn {
	struct gateway *gateway;
	FCGX_Request fcgi;
	bool is_at_end; /* of the body */
	bool is_body_wait;
};

/* ---- how the process was started ---- */

static bool is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

/* sd_listen_fds(3) of systemd, without its library. */
static bool has_systemd_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	return pid && fds && strtol(pid, NULL, 10) == (long)getpid() && strtol(fds, NULL, 10) >= 1;
}

/* A socket file that nobody listens on is left over from a process that was killed. */
static bool remove_stale(const struct sockaddr_un *sa, struct str *why)
{
	struct stat st;
	int fd, rc;

	if (lstat(sa->sun_path, &st) != 0)
		return true;
	if (!S_ISSOCK(st.st_mode)) {
		str_addf(why, "%s is there and is no socket: remove it or listen elsewhere",
			sa->sun_path);
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	if (rc == 0 || (fd >= 0 && errno != ECONNREFUSED)) {
		str_addf(why,
			"%s: another process listens on it; stop that, or give each process its "
			"own --listen",
			sa->sun_path);
		close(fd);
		return false;
	}
	if (fd >= 0)
		close(fd);
	if (unlink(sa->sun_path) != 0) {
		str_addf(why, "%s: cannot remove the stale socket: %s", sa->sun_path,
			strerror(errno));
		return false;
	}
	return true;
}

static bool listen_unix(struct gateway *g, const char *path, struct str *why)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		str_addf(why, "%s: a socket path may have %zu bytes at most", path,
			sizeof(sa.sun_path) - 1);
		return false;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (!remove_stale(&sa, why))
		return false;
	g->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0117);
	rc = g->sock < 0 ? -1 : bind(g->sock, (struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (rc != 0 || listen(g->sock, BACKLOG) != 0 || stat(path, &st) != 0) {
		str_addf(why, "cannot listen on %s: %s", path, strerror(errno));
		return false;
	}
	g->path = xstrdup(path);
	g->dev = st.st_dev;
	g->ino = st.st_ino;
	return true;
}

static bool listen_tcp(struct gateway *g, const char *where, struct str *why)
{
	const char *colon = strrchr(where, ':');
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL, *a;
	char *host;
	int one = 1, rc;

	if (!colon || !colon[1]) {
		str_addf(why, "--listen %s: give a path that begins with / or host:port", where);
		return false;
	}
	host = xstrndup(where, (size_t)(colon - where));
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = '\0';
	}
	rc = getaddrinfo(
		host[0] && strcmp(host, "*") != 0 ? host : NULL, colon + 1, &hints, &found);
	free(host);
	if (rc != 0) {
		str_addf(why, "--listen %s: %s", where, gai_strerror(rc));
		return false;
	}
	for (a = found; a && g->sock < 0; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
			g->sock = fd;
		else
			close(fd);
	}
	if (g->sock < 0)
		str_addf(why, "cannot listen on %s: %s", where, strerror(errno));
	freeaddrinfo(found);
	return g->sock >= 0;
}

static bool find_start(struct gateway *g, const char *where, struct str *why)
{
	if (where)
		return where[0] == '/' ? listen_unix(g, where, why) : listen_tcp(g, where, why);
	if (has_systemd_socket() && is_listening(SYSTEMD_FIRST_FD)) {
		g->sock = SYSTEMD_FIRST_FD;
		return true;
	}
	if (is_listening(STDIN_FILENO)) {
		g->sock = STDIN_FILENO;
		return true;
	}
	if (getenv("GATEWAY_INTERFACE")) {
		g->is_cgi = true;
		return true;
	}
	str_adds(why,
		"standard input is no listening socket, and this is no CGI request: start it from "
		"the web server (FastCGI or CGI), from systemd with a .socket unit, or with "
		"--listen /path/to.sock");
	return false;
}

/* A killed process gives its descriptors back from the highest down. The listening socket has to go
 * before the connections: a web server that sees those break gives their requests to another
 * process, and must not find this one still listening. (Linux queues the release of each file that
 * exit closes as task work, which runs last in, first out.) */
static void move_up(struct gateway *g)
{
	struct rlimit limit;
	int last = SOCK_FD, fd;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= SOCK_FD)
		last = (int)limit.rlim_cur - 1;
	fd = fcntl(g->sock, F_DUPFD_CLOEXEC, last);
	if (fd < 0)
		return;
	close(g->sock);
	g->sock = fd;
}

bool gateway_open(struct gateway *g, const char *where, struct str *why)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	*g = (struct gateway){.sock = -1};
	if (!find_start(g, where, why)) {
		gateway_close(g);
		return false;
	}
	if (g->is_cgi)
		return true;
	if (where)
		move_up(g);
	if (FCGX_Init() != 0) {
		str_adds(why, "libfcgi cannot start: out of memory");
		gateway_close(g);
		return false;
	}
	g->is_unix =
		getsockname(g->sock, (struct sockaddr *)&sa, &len) == 0 && sa.ss_family == AF_UNIX;
	/* An inherited socket may be non-blocking, as its maker pleased; workers sleep in accept().
	 */
	fcntl(g->sock, F_SETFL, fcntl(g->sock, F_GETFL) & ~O_NONBLOCK);
	return true;
}

void gateway_close(struct gateway *g)
{
	struct stat st;

	if (g->path && lstat(g->path, &st) == 0 && st.st_dev == g->dev && st.st_ino == g->ino)
		unlink(g->path);
	free(g->path);
	g->path = NULL;
	if (g->sock >= 0)
		close(g->sock);
	g->sock = -1;
}

/* ---- one request after another ---- */

struct conn *conn_new(struct gateway *g)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->gateway = g;
	/* No socket: libfcgi gives up when the connection it was handed is no good. */
	FCGX_InitRequest(&c->fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR);
	return c;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	if (!c->gateway->is_cgi)
		FCGX_Free(&c->fcgi, 1);
	free(c);
}

static void set_read_wait(int fd, int seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

/* Out of descriptors or memory is no reason to end: parked requests give theirs back. */
static void wait_for_descriptors(int error)
{
	static atomic_int_fast64_t said_ms;
	int64_t now = clock_ms();

	if (now - atomic_exchange(&said_ms, now) > 1000)
		log_error("accept", "cannot accept: %s; raise LimitNOFILE or lower fcgi.max_parked",
			strerror(error));
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* A kick that comes before accept() sleeps is lost: whoever kicks does it again. */
static int accept_kickable(struct gateway *g)
{
	sigset_t kick;
	int fd = -1, error = EINTR;

	sigemptyset(&kick);
	sigaddset(&kick, GATEWAY_KICK);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	if (!atomic_load(&g->is_stopping)) {
		fd = accept4(g->sock, NULL, NULL, SOCK_CLOEXEC);
		error = errno;
	}
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	errno = error;
	return fd;
}

static int accept_one(struct gateway *g)
{
	int fd, one = 1;

	while (!atomic_load(&g->is_stopping)) {
		fd = accept_kickable(g);
		if (fd >= 0) {
			if (!g->is_unix)
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			set_read_wait(fd, PARAMS_WAIT_S);
			return fd;
		}
		switch (errno) {
		case EBADF:
		case EINVAL:
		case ENOTSOCK:
		case EOPNOTSUPP:
			log_error("accept", "the listening socket is broken: %s", strerror(errno));
			return -1;
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			wait_for_descriptors(errno);
			break;
		default: /* EINTR, or a network error of the connection that was to be accepted */
			break;
		}
	}
	return -1;
}

bool conn_accept(struct conn *c)
{
	c->is_at_end = false;
	c->is_body_wait = false;
	if (c->gateway->is_cgi)
		return !atomic_exchange(&c->gateway->is_stopping, true);
	for (;;) {
		int fd = accept_one(c->gateway);

		if (fd < 0)
			return false;
		/* FCGX_Accept_r() reads from the connection that is there, and closes one it cannot
		 * use; detached, it does so without waiting for the other end. */
		c->fcgi.ipcFd = fd;
		c->fcgi.keepConnection = 1;
		FCGX_Detach(&c->fcgi);
		if (FCGX_Accept_r(&c->fcgi) == 0) {
			/* A kept connection would keep this worker too. */
			c->fcgi.keepConnection = 0;
			return true;
		}
	}
}

char *const *conn_env(const struct conn *c)
{
	return c->gateway->is_cgi ? environ : c->fcgi.envp;
}

ssize_t conn_read(struct conn *c, void *p, size_t size)
{
	ssize_t n;

	if (c->is_at_end)
		return 0;
	if (c->gateway->is_cgi) {
		do
			n = read(STDIN_FILENO, p, size);
		while (n < 0 && errno == EINTR);
	} else {
		if (!c->is_body_wait && size > 1) {
			set_read_wait(c->fcgi.ipcFd, BODY_WAIT_S);
			c->is_body_wait = true;
		}
		n = FCGX_GetStr(p, (int)(size < INT32_MAX ? size : INT32_MAX), c->fcgi.in);
		if (n == 0 && FCGX_GetError(c->fcgi.in) != 0)
			n = -1;
	}
	c->is_at_end = n == 0;
	return n;
}

enum conn_body conn_read_body(
	struct conn *c, const char *content_length, size_t max, struct str *out)
{
	bool has_length = content_length[0] != '\0';
	uint64_t length = 0;

	str_clear(out);
	if (has_length && !parse_u64(content_length, 0, UINT64_MAX, &length))
		return CONN_BODY_BAD_LENGTH;
	if (length > max)
		return CONN_BODY_TOO_LARGE;
	/* RFC 3875 section 4.1.2: without a length there is no body, which may be more than its
	 * stream says in CGI; a FastCGI stream has an end of its own. */
	if (!has_length && c->gateway->is_cgi)
		return CONN_BODY_WHOLE;
	for (;;) {
		size_t want = has_length ? length - out->len : READ_AHEAD;
		ssize_t n;

		if (want == 0)
			return CONN_BODY_WHOLE;
		want = want < READ_AHEAD ? want : READ_AHEAD;
		str_reserve(out, want);
		n = conn_read(c, out->p + out->len, want);
		if (n < 0 || (n == 0 && has_length))
			return CONN_BODY_SHORT;
		if (n == 0)
			return CONN_BODY_WHOLE;
		out->len += (size_t)n;
		out->p[out->len] = '\0';
		if (out->len > max)
			return CONN_BODY_TOO_LARGE;
	}
}

bool conn_drain(struct conn *c, size_t most)
{
	char trash[4096];

	if (c->gateway->is_cgi) /* nobody waits for it, and standard input may stay open */
		return true;
	/* The first read asks for one byte only: mostly the end came with the request. */
	for (size_t size = 1;; size = sizeof(trash)) {
		ssize_t n = conn_read(c, trash, size);

		if (n <= 0)
			return n == 0;
		if ((size_t)n > most)
			return false;
		most -= (size_t)n;
	}
}

/* The descriptor blocks, so a short count is rare: a signal, or a socket that fills. */
static bool write_all(int fd, struct iovec *v, int n)
{
	while (n > 0) {
		ssize_t written = writev(fd, v, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		for (; n > 0 && (size_t)written >= v->iov_len; v++, n--)
			written -= (ssize_t)v->iov_len;
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + written;
			v->iov_len -= (size_t)written;
		}
	}
	return true;
}

bool conn_write(
	struct conn *c, const void *head, size_t head_len, const void *body, size_t body_len)
{
	bool is_cgi = c->gateway->is_cgi;
	int fd = is_cgi ? STDOUT_FILENO : c->fcgi.ipcFd;
	struct record_answer a = {.is_last = true,
		.is_plain = is_cgi,
		.request_id = (uint16_t)c->fcgi.requestId,
		.head = head,
		.head_len = head_len,
		.body = body,
		.body_len = body_len};
	bool is_sent = true;

	while (is_sent && record_next(&a))
		is_sent = write_all(fd, a.piece, a.n);
	return is_sent;
}

void conn_finish(struct conn *c)
{
	if (c->gateway->is_cgi)
		return;
	/* With its input read, the connection can be closed at once. Else closing it would throw
	 * away what was just written (unread input makes it a reset), so libfcgi closes in two
	 * steps. FCGX_Finish_r() would write an end of its own. */
	if (!c->is_at_end)
		FCGX_Attach(&c->fcgi);
	FCGX_Free(&c->fcgi, 1);
}

void conn_take(struct conn *c, struct sink *s)
{
	int fd = c->gateway->is_cgi ? STDOUT_FILENO : c->fcgi.ipcFd;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	sink_init(s, fd, (uint16_t)c->fcgi.requestId, c->gateway->is_cgi);
	if (c->gateway->is_cgi)
		return;
	/* Frees two 8 KB buffers and the parameters, and leaves the connection open. */
	FCGX_Free(&c->fcgi, 0);
	c->fcgi.ipcFd = -1;
	c->fcgi.detached = 0;
}
