/*
 * The floor: what libfcgi behind a web server costs when there is nothing to do. cmdb is measured
 * against it in the same run, with the same web server configuration and as many processes and
 * threads.
 *
 *     floor --dir DIR [--processes 2] [--threads 4]
 *
 * Each process listens on a socket of its own, DIR/fcgi-1.sock and so on, as cmdb-fcgi's do.
 *   GET /events           is held until it is woken
 *   GET anything?size=N   answers a fixed JSON text of N bytes (default 600)
 *
 * DIR/control.sock takes one line a connection: `wake TEXT` answers all that are held with TEXT;
 * the reply to it and to any other line is how many are. It ends on SIGTERM, its children with it.
 *
 * Parking is the best way known with libfcgi alone: read stdin to its end, keep the FCGX_Request;
 * later write, FCGX_Detach(), FCGX_Finish_r(). Without the first, closing resets the connection;
 * without FCGX_Detach(), FCGX_Finish_r() waits for the web server to close its end, one by one.
 */
#include <errno.h>
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "options.h"
#include "str.h"

#define PROCESSES_MAX 64
#define BACKLOG 4096     /* a web server takes a full queue for a broken backend */
#define TRIVIAL_SIZE 600 /* about one website */
#define TRIVIAL_SIZE_MAX 65536
#define TEXT_MAX 4096

struct parked {
	FCGX_Request request;
	struct parked *next;
};

/* Shared by all processes. text is written before the wake-up that makes it be read. */
struct board {
	_Atomic long parked_n;
	char text[TEXT_MAX];
};

static struct board *board;
static int listen_fd;
static int wake_fd[PROCESSES_MAX];
static long processes_n;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct parked *list; /* of this process, under list_lock */

static const char trivial_head[] = "{\"success\":true,\"data\":\"";
static const char trivial_tail[] = "\"}";
#define TRIVIAL_FRAME (sizeof(trivial_head) + sizeof(trivial_tail) - 2)
static char filler[TRIVIAL_SIZE_MAX];

static void respond_head(FCGX_Request *r, size_t len)
{
	FCGX_FPrintF(
		r->out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", (int)len);
}

static void answer_trivial(FCGX_Request *r)
{
	const char *query = FCGX_GetParam("QUERY_STRING", r->envp);
	unsigned long size = TRIVIAL_SIZE;

	if (query && strncmp(query, "size=", 5) == 0)
		size = strtoul(query + 5, NULL, 10);
	if (size < TRIVIAL_FRAME || size > TRIVIAL_SIZE_MAX)
		size = TRIVIAL_SIZE;
	respond_head(r, size);
	FCGX_PutStr(trivial_head, sizeof(trivial_head) - 1, r->out);
	FCGX_PutStr(filler, (int)(size - TRIVIAL_FRAME), r->out);
	FCGX_PutStr(trivial_tail, sizeof(trivial_tail) - 1, r->out);
	FCGX_Finish_r(r);
}

static void park(struct parked *p)
{
	char sink[512];

	while (FCGX_GetStr(sink, sizeof(sink), p->request.in) > 0)
		;
	pthread_mutex_lock(&list_lock);
	p->next = list;
	list = p;
	pthread_mutex_unlock(&list_lock);
	atomic_fetch_add(&board->parked_n, 1);
}

static void *work(void *arg)
{
	for (;;) {
		struct parked *p = xcalloc(1, sizeof(*p));
		const char *path;

		FCGX_InitRequest(&p->request, listen_fd, 0);
		for (;;) {
			if (FCGX_Accept_r(&p->request) != 0)
				log_fatal(1, "cannot accept: %s", strerror(errno));
			path = FCGX_GetParam("REQUEST_URI", p->request.envp);
			if (path && strncmp(path, "/events", 7) == 0)
				break;
			answer_trivial(&p->request);
		}
		park(p);
	}
	return NULL;
}

static void wake(void)
{
	size_t len = strlen(board->text);
	struct parked *p, *next;

	pthread_mutex_lock(&list_lock);
	p = list;
	list = NULL;
	pthread_mutex_unlock(&list_lock);
	for (; p; p = next) {
		next = p->next;
		respond_head(&p->request, len);
		FCGX_PutStr(board->text, (int)len, p->request.out);
		FCGX_Detach(&p->request);
		FCGX_Finish_r(&p->request);
		free(p);
		atomic_fetch_sub(&board->parked_n, 1);
	}
}

static void child(const char *path, int fd, long threads_n)
{
	pthread_t thread;
	eventfd_t times;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (FCGX_Init() != 0)
		log_fatal(1, "cannot start libfcgi");
	signal(SIGPIPE, SIG_IGN); /* after FCGX_Init(), which sets handlers of its own */
	listen_fd = FCGX_OpenSocket(path, BACKLOG);
	if (listen_fd < 0)
		log_fatal(1, "%s: cannot listen", path);
	for (long i = 0; i < threads_n; i++) {
		if (pthread_create(&thread, NULL, work, NULL) != 0)
			log_fatal(1, "cannot start a thread");
	}
	while (eventfd_read(fd, &times) == 0)
		wake();
	_exit(1);
}

static void command(int fd)
{
	char line[TEXT_MAX], reply[32];
	size_t len = 0;
	ssize_t n;
	char *end = NULL;

	while (!end && len < sizeof(line) - 1) {
		n = read(fd, line + len, sizeof(line) - 1 - len);
		if (n <= 0)
			return;
		len += (size_t)n;
		line[len] = '\0';
		end = strchr(line, '\n');
	}
	if (!end)
		return;
	*end = '\0';
	if (strncmp(line, "wake ", 5) == 0) {
		memcpy(board->text, line + 5, (size_t)(end - line) - 4);
		for (long i = 0; i < processes_n; i++)
			eventfd_write(wake_fd[i], 1);
	}
	n = snprintf(reply, sizeof(reply), "%ld\n", atomic_load(&board->parked_n));
	send(fd, reply, (size_t)n, MSG_NOSIGNAL);
}

static void serve_control(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int c;

	if (strlen(path) >= sizeof(at.sun_path))
		log_fatal(1, "%s: too long for a socket", path);
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 16) != 0)
		log_fatal(1, "%s: %s", path, strerror(errno));
	for (;;) {
		c = accept(fd, NULL, NULL);
		if (c < 0)
			continue;
		command(c);
		close(c);
	}
}

struct options {
	const char *dir;
	long processes, threads;
};

static const struct option_row option_rows[] = {
	{"dir", offsetof(struct options, dir), OPTION_TEXT, 0, 0},
	{"processes", offsetof(struct options, processes), OPTION_NUMBER, 1, PROCESSES_MAX},
	{"threads", offsetof(struct options, threads), OPTION_NUMBER, 1, 64},
	{0},
};

int main(int argc, char **argv)
{
	static const char usage[] = "usage: floor --dir DIR [--processes N] [--threads N]";
	struct options opt = {.processes = 2, .threads = 4};
	struct str path = STR_INIT;
	pid_t pid;

	log_init("floor", LOG_INFO, LOG_TEXT);
	options_parse(option_rows, &opt, argc, argv, usage);
	if (!opt.dir)
		log_fatal(2, "%s", usage);
	memset(filler, 'x', sizeof(filler));
	board = mmap(
		NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		log_fatal(1, "mmap: %s", strerror(errno));
	processes_n = opt.processes;
	for (long i = 0; i < opt.processes; i++) {
		str_clear(&path);
		str_addf(&path, "%s/fcgi-%ld.sock", opt.dir, i + 1);
		wake_fd[i] = eventfd(0, EFD_CLOEXEC);
		pid = fork();
		if (wake_fd[i] < 0 || pid < 0)
			log_fatal(1, "cannot start a process: %s", strerror(errno));
		if (pid == 0)
			child(path.p, wake_fd[i], opt.threads);
	}
	str_clear(&path);
	str_addf(&path, "%s/control.sock", opt.dir);
	serve_control(path.p);
}
