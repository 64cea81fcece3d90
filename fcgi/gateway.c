#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conn.h"
#include "mem.h"

#define BACKLOG 4096
#define SYSTEMD_FIRST_FD 3
#define SOCK_FD 65535 /* above all others */

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

static bool listen_at(struct gateway *g, const char *where, struct str *why)
{
	return where[0] == '/' ? listen_unix(g, where, why) : listen_tcp(g, where, why);
}

bool gateway_listen(struct gateway *g, const char *where, struct str *why)
{
	*g = (struct gateway){.sock = -1};
	return listen_at(g, where, why);
}

static bool find_start(struct gateway *g, const char *where, struct str *why)
{
	if (where)
		return listen_at(g, where, why);
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

/* Apache's mod_fcgid gives each process a socket of its own, <pid>.<number> in its socket directory
 * (mod_fcgid 2.3.9, fcgid_proc_unix.c), and one request at a time. */
static bool is_mod_fcgid(const struct sockaddr_un *sa, socklen_t len)
{
	size_t path_len =
		len > offsetof(struct sockaddr_un, sun_path)
			? strnlen(sa->sun_path, len - offsetof(struct sockaddr_un, sun_path))
			: 0;
	char path[sizeof(sa->sun_path) + 1];
	const char *name;
	size_t digits;

	memcpy(path, sa->sun_path, path_len);
	path[path_len] = '\0';
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	digits = strspn(name, "0123456789");
	if (digits == 0 || name[digits] != '.')
		return false;
	name += digits + 1;
	return name[0] && name[strspn(name, "0123456789")] == '\0';
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
	if (!conn_library_init()) {
		str_adds(why, "libfcgi cannot start: out of memory");
		gateway_close(g);
		return false;
	}
	if (getsockname(g->sock, (struct sockaddr *)&sa, &len) == 0 && sa.ss_family == AF_UNIX) {
		g->is_unix = true;
		g->is_mod_fcgid = !where && is_mod_fcgid((struct sockaddr_un *)&sa, len);
	}
	/* Several processes may share it: whoever comes too late must not sleep in accept(). */
	fcntl(g->sock, F_SETFL, fcntl(g->sock, F_GETFL) | O_NONBLOCK);
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
