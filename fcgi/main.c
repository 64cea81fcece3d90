#include "autoconf.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "clock.h"
#include "db.h"
#include "gateway.h"
#include "jobs.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "probe.h"
#include "secret.h"
#include "worker.h"

#define NAP_MS 5
#define ARRIVAL_MS 1000 /* a request that has begun comes whole within, or is slow */

struct options {
	const char *config, *listen;
	const char **sets;
	size_t sets_n;
	bool is_check;
	char **program; /* --exec, or NULL */
};

static void usage(FILE *out)
{
	fputs("usage: cmdb-fcgi [--config FILE] [--set SECTION.KEY=VALUE]... "
	      "[--listen PATH|HOST:PORT] [--check]\n"
	      "       cmdb-fcgi --listen PATH|HOST:PORT --exec PROGRAM [ARGUMENT]...\n"
	      "\n"
	      "Answers HTTP for cmdb, behind a web server: as FastCGI on a socket that it inherits "
	      "as\n"
	      "descriptor 0 or from systemd, or makes itself (--listen), or as a CGI program.\n"
	      "\n"
	      "  --config FILE   read this configuration (CMDB_CONFIG, /etc/cmdb/cmdb.conf)\n"
	      "  --set S.K=V     a setting that goes over the file\n"
	      "  --listen WHERE  a UNIX socket's path, or host:port\n"
	      "  --exec PROGRAM  only make the socket, and become this program with it as its\n"
	      "                  descriptor 0: a supervisor, which keeps it while cmdb-fcgi\n"
	      "                  processes come and go\n"
	      "  --check         only check the configuration\n"
	      "  --version\n"
	      "  --help\n",
		out);
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {{"config", required_argument, NULL, 'c'},
		{"set", required_argument, NULL, 's'}, {"listen", required_argument, NULL, 'l'},
		{"exec", no_argument, NULL, 'x'}, {"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	bool is_exec = false;
	int c;

	o->sets = xcalloc((size_t)argc, sizeof(*o->sets));
	while ((c = getopt_long(argc, argv, "+c:s:l:h", names, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->sets[o->sets_n++] = optarg;
			break;
		case 'l':
			o->listen = optarg;
			break;
		case 'x':
			is_exec = true;
			break;
		case 'k':
			o->is_check = true;
			break;
		case 'v':
			puts("cmdb-fcgi " PACKAGE_VERSION);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(64);
		}
	}
	if (is_exec != (optind < argc) || (is_exec && !o->listen)) {
		usage(stderr);
		exit(64);
	}
	o->program = is_exec ? argv + optind : NULL;
}

/* The socket's keeper: whoever connects while no process of ours runs waits in its queue. */
static void become(const struct options *o)
{
	struct gateway gateway;
	struct str why = STR_INIT;

	if (!gateway_listen(&gateway, o->listen, &why))
		log_fatal(1, "%s", str_c(&why));
	if (dup2(gateway.sock, STDIN_FILENO) < 0)
		log_fatal(1, "cannot hand the socket on: %s", strerror(errno));
	execvp(o->program[0], o->program);
	log_fatal(1, "cannot run %s: %s", o->program[0], strerror(errno));
}

/* A web server may start us with some of 0, 1, 2 closed; nothing else may get these numbers. */
static void hold_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* A parked request holds a descriptor. */
static void raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

static void handled_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaddset(set, handled[i]);
}

/* main() takes the signals, one by one; no other thread sees them. Called after FCGX_Init(), which
 * sets handlers of its own. */
static void set_signals(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, normal = {.sa_handler = SIG_DFL};
	sigset_t set;

	handled_set(&set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaction(handled[i], &normal, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* the file of logs: write() fails then */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *loop_thread(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* Until it is time to stop. */
static void wait_for_signals(struct app *app)
{
	sigset_t set;
	int sig;

	handled_set(&set);
	for (;;) {
		if (sigwait(&set, &sig) != 0)
			continue;
		if (sig != SIGHUP)
			break;
		app_reload(app);
	}
	log_info("stop", "signal %d: finishing what runs, releasing what is parked", sig);
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000}, NULL);
}

/* No new requests; those that are arriving may come whole, and are answered. */
static void stop_requests(struct app *app, int64_t deadline_ms)
{
	int64_t patience_ms = clock_ms() + ARRIVAL_MS;

	loop_shut(app->loop);
	while (loop_is_busy(app->loop) && clock_ms() < patience_ms && clock_ms() < deadline_ms)
		nap();
}

/* What still runs at the deadline uses what cannot be taken from it. */
static void stop_jobs(struct jobs *j, int64_t deadline_ms, const char *what)
{
	if (jobs_stop(j, deadline_ms))
		return;
	log_warn("stop", "%s still run after fcgi.stop_timeout_ms: leaving them", what);
	_exit(0);
}

static void run_fastcgi(struct app *app, struct gateway *g)
{
	const struct config *cfg = &app->settings->cfg;
	int64_t deadline_ms;
	pthread_t loop;
	int rc;

	set_signals();
	jobs_start(app->requests, (size_t)cfg->fcgi.workers, 0);
	jobs_start(app->reads, (size_t)cfg->fcgi.workers, JOBS_SLOW);
	jobs_start(app->changes, (size_t)cfg->fcgi.workers, 0);
	jobs_start(app->events, (size_t)cfg->fcgi.event_workers, 0);
	jobs_start(app->lists, (size_t)cfg->fcgi.event_workers, JOBS_SLOW);
	jobs_start(app->searches, (size_t)cfg->fcgi.event_workers, JOBS_SLOW);
	jobs_start(app->passwords, (size_t)cfg->auth.argon2_parallel, JOBS_HASH);
	probe_start(app->probe);
	loop_open(app->loop, g);
	rc = pthread_create(&loop, NULL, loop_thread, app->loop);
	if (rc != 0)
		log_fatal(1, "cannot start a thread: %s", strerror(rc));
	log_info("start", "ready: %d workers on %s", (int)cfg->fcgi.workers,
		g->path ? g->path : "the socket given");
	wait_for_signals(app);

	deadline_ms = clock_ms() + app->settings->cfg.fcgi.stop_timeout_ms;
	stop_requests(app, deadline_ms);
	stop_jobs(app->requests, deadline_ms, "requests");
	stop_jobs(app->reads, deadline_ms, "requests");
	stop_jobs(app->changes, deadline_ms, "changes");
	gateway_close(g);
	loop_stop(app->loop, deadline_ms);
	pthread_join(loop, NULL);
	stop_jobs(app->events, deadline_ms, "Socket.IO events");
	stop_jobs(app->lists, deadline_ms, "Socket.IO events");
	stop_jobs(app->searches, deadline_ms, "searches");
	stop_jobs(app->passwords, deadline_ms, "logins");
	if (!probe_stop(app->probe, deadline_ms)) {
		log_warn("stop", "the database does not answer a probe: leaving it");
		_exit(0);
	}
}

static void run_cgi(struct app *app)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct worker w;

	sigaction(SIGPIPE, &ignore, NULL);
	worker_init(&w, app);
	worker_serve_cgi(&w);
	loop_run_once(app->loop, &w);
	worker_fini(&w);
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct settings_source source;
	struct app app = {0};
	struct gateway gateway;
	struct str why = STR_INIT;

	hold_standard_descriptors();
	signal(SIGHUP, SIG_IGN); /* one that comes before set_signals() has nothing to reload */
	log_init("cmdb-fcgi", LOG_INFO, LOG_TEXT);
	read_options(&o, argc, argv);
	if (o.program)
		become(&o);
	raise_limits();
	secret_init();
	db_library_init();
	source = (struct settings_source){.file = o.config, .sets = o.sets, .sets_n = o.sets_n};
	if (!app_init(&app, &source, &why))
		log_fatal(78, "%s", str_c(&why));
	if (o.is_check) {
		puts("the configuration is good");
	} else {
		if (!gateway_open(&gateway, o.listen, &why))
			log_fatal(1, "%s", str_c(&why));
		app.is_cgi = gateway.is_cgi;
		app.is_mod_fcgid = gateway.is_mod_fcgid;
		if (gateway.is_cgi)
			run_cgi(&app);
		else
			run_fastcgi(&app, &gateway);
	}
	app_fini(&app);
	db_library_fini();
	free(o.sets);
	return 0;
}
