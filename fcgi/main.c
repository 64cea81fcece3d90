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

#define KICK_PAUSE_MS 5

struct options {
	const char *config, *listen;
	const char **sets;
	size_t sets_n;
	bool is_check;
};

static void usage(FILE *out)
{
	fputs("usage: cmdb-fcgi [--config FILE] [--set SECTION.KEY=VALUE]... "
	      "[--listen PATH|HOST:PORT] [--check]\n"
	      "\n"
	      "Answers HTTP for cmdb, behind a web server: as FastCGI on a socket that it inherits "
	      "as\n"
	      "descriptor 0 or from systemd, or makes itself (--listen), or as a CGI program.\n"
	      "\n"
	      "  --config FILE   read this configuration (CMDB_CONFIG, /etc/cmdb/cmdb.conf)\n"
	      "  --set S.K=V     a setting that goes over the file\n"
	      "  --listen WHERE  a UNIX socket's path, or host:port\n"
	      "  --check         only check the configuration\n"
	      "  --version\n"
	      "  --help\n",
		out);
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {{"config", required_argument, NULL, 'c'},
		{"set", required_argument, NULL, 's'}, {"listen", required_argument, NULL, 'l'},
		{"check", no_argument, NULL, 'k'}, {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;

	o->sets = xcalloc((size_t)argc, sizeof(*o->sets));
	while ((c = getopt_long(argc, argv, "c:s:l:h", names, NULL)) != -1) {
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
	if (optind < argc) {
		usage(stderr);
		exit(64);
	}
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

static void on_kick(int sig)
{
}

static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

static void handled_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaddset(set, handled[i]);
}

/* main() takes the signals, one by one; no other thread sees them, but for the kick in accept().
 * Called after FCGX_Init(), which sets handlers of its own. */
static void set_signals(void)
{
	struct sigaction kick = {.sa_handler = on_kick}, ignore = {.sa_handler = SIG_IGN},
			 normal = {.sa_handler = SIG_DFL};
	sigset_t set;

	handled_set(&set);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		sigaction(handled[i], &normal, NULL);
	sigaction(GATEWAY_KICK, &kick, NULL);
	sigaddset(&set, GATEWAY_KICK);
	sigaction(SIGPIPE, &ignore, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *worker_thread(void *arg)
{
	worker_run(arg);
	return NULL;
}

static void *loop_thread(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void start_thread(pthread_t *t, void *(*body)(void *), void *arg)
{
	int rc = pthread_create(t, NULL, body, arg);

	if (rc != 0)
		log_fatal(1, "cannot start a thread: %s", strerror(rc));
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

static size_t still_running(struct worker *ws, size_t n)
{
	size_t running = 0;

	for (size_t i = 0; i < n; i++)
		running += !atomic_load(&ws[i].is_done);
	return running;
}

/* Makes workers leave accept(), and waits for those that are at work. false: some still are at the
 * deadline. */
static bool stop_workers(struct gateway *g, struct worker *ws, size_t n, int64_t deadline_ms)
{
	atomic_store(&g->is_stopping, true);
	while (still_running(ws, n) > 0) {
		if (clock_ms() > deadline_ms)
			return false;
		for (size_t i = 0; i < n; i++)
			if (!atomic_load(&ws[i].is_done))
				pthread_kill(ws[i].thread, GATEWAY_KICK);
		nanosleep(&(struct timespec){.tv_nsec = KICK_PAUSE_MS * 1000000}, NULL);
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(ws[i].thread, NULL);
	return true;
}

static void run_fastcgi(struct app *app, struct gateway *g)
{
	size_t n = (size_t)app->settings->cfg.fcgi.workers;
	struct worker *ws = xcalloc(n, sizeof(*ws));
	int64_t deadline_ms;
	pthread_t loop;

	set_signals();
	start_thread(&loop, loop_thread, app->loop);
	jobs_start(app->jobs, (size_t)app->settings->cfg.fcgi.event_workers);
	probe_start(app->probe);
	for (size_t i = 0; i < n; i++) {
		worker_init(&ws[i], app, g);
		start_thread(&ws[i].thread, worker_thread, &ws[i]);
	}
	log_info("start", "ready: %zu workers on %s", n, g->path ? g->path : "the socket given");
	wait_for_signals(app);

	deadline_ms = clock_ms() + app->settings->cfg.fcgi.stop_timeout_ms;
	if (!stop_workers(g, ws, n, deadline_ms)) {
		log_warn("stop", "%zu requests still run after fcgi.stop_timeout_ms: leaving them",
			still_running(ws, n));
		gateway_close(g);
		_exit(0); /* what these threads use cannot be taken from them */
	}
	gateway_close(g);
	loop_stop(app->loop, deadline_ms);
	pthread_join(loop, NULL);
	if (!jobs_stop(app->jobs, deadline_ms)) {
		log_warn("stop", "Socket.IO events still run after fcgi.stop_timeout_ms: "
				 "leaving them");
		_exit(0);
	}
	if (!probe_stop(app->probe, deadline_ms)) {
		log_warn("stop", "the database does not answer a probe: leaving it");
		_exit(0);
	}
	for (size_t i = 0; i < n; i++)
		worker_fini(&ws[i]);
	free(ws);
}

static void run_cgi(struct app *app, struct gateway *g)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct worker w;

	sigaction(SIGPIPE, &ignore, NULL);
	worker_init(&w, app, g);
	worker_run(&w);
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
		if (gateway.is_cgi)
			run_cgi(&app, &gateway);
		else
			run_fastcgi(&app, &gateway);
	}
	app_fini(&app);
	db_library_fini();
	free(o.sets);
	return 0;
}
