/*
 * cmdb-poller: follows the event log and wakes who waits for it. See hub.h for what it remembers,
 * tail.h for how it learns of commits, lib/wire.h for how cmdb-fcgi talks to it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include <event2/event.h>
#include <event2/thread.h>

#include "autoconf.h"
#include "config.h"
#include "db.h"
#include "log.h"
#include "mem.h"
#include "poller.h"
#include "secret.h"

#define PROGRAM "cmdb-poller"
#define SETS_MAX 64

struct options {
	const char *config;
	const char *sets[SETS_MAX];
	size_t sets_n;
};

static void usage(FILE *to)
{
	fputs("usage: " PROGRAM " [--config FILE] [--set SECTION.KEY=VALUE]...\n"
	      "       " PROGRAM " --version | --help\n"
	      "Follows the event log of cmdb and serves cmdb-fcgi on poller.socket.\n"
	      "SIGHUP makes it read its configuration again, SIGTERM and SIGINT end it; see "
	      "cmdb-poller(8).\n",
		to);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"set", required_argument, NULL, 's'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:s:Vh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			if (o->sets_n == SETS_MAX)
				log_fatal(EX_USAGE, "more than %d --set", SETS_MAX);
			o->sets[o->sets_n++] = optarg;
			break;
		case 'V':
			puts(PROGRAM " " PACKAGE_VERSION);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(EX_USAGE);
		}
	}
	if (optind < argc) {
		usage(stderr);
		exit(EX_USAGE);
	}
}

static void load_config(struct config *cfg, const struct options *o)
{
	struct str errors = STR_INIT;

	if (!config_load(cfg, o->config, o->sets, o->sets_n, &errors))
		log_fatal(EX_CONFIG, "the configuration is not usable:\n%s", str_c(&errors));
	str_fini(&errors);
	config_log_init(cfg, PROGRAM);
}

static void raise_nofile(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* What a running poller consists of, for its signals. */
struct life {
	struct options options;
	struct config at_start; /* of the threads */
	struct config *read;    /* since then, on SIGHUP; NULL: it was not */
	struct event_base *base;
	struct hub *hub;
	struct event *signals[3];
};

static void on_stop(evutil_socket_t signo, short what, void *arg)
{
	struct life *l = arg;

	log_info("stop", "signal %d", (int)signo);
	event_base_loopbreak(l->base);
}

static void free_config(struct config *cfg)
{
	if (cfg)
		config_fini(cfg);
	free(cfg);
}

static void on_reload(evutil_socket_t signo, short what, void *arg)
{
	struct life *l = arg;
	struct config *now = xcalloc(1, sizeof(*now)), *before = l->read;
	struct config_changes changes = {0};
	struct str errors = STR_INIT;

	if (!config_load(now, l->options.config, l->options.sets, l->options.sets_n, &errors)) {
		log_error("reload", "configuration kept as it was: %s", str_c(&errors));
		str_fini(&errors);
		free(now);
		return;
	}
	config_carry_over(now, before ? before : &l->at_start, CONFIG_POLLER, &changes);
	poller_reload(l->hub, now);
	l->read = now;
	free_config(before);
	config_log_init(now, PROGRAM);
	config_log_changes(&changes);
	str_fini(&errors);
}

static void catch_signals(struct life *l)
{
	l->signals[0] = evsignal_new(l->base, SIGTERM, on_stop, l);
	l->signals[1] = evsignal_new(l->base, SIGINT, on_stop, l);
	l->signals[2] = evsignal_new(l->base, SIGHUP, on_reload, l);
	for (size_t i = 0; i < 3; i++)
		event_add(l->signals[i], NULL);
}

int main(int argc, char **argv)
{
	struct life life = {0};

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* one that comes before catch_signals() has nothing to reload */
	log_init(PROGRAM, LOG_INFO, LOG_TEXT);
	parse_options(&life.options, argc, argv);
	load_config(&life.at_start, &life.options);
	raise_nofile();
	secret_init();
	db_library_init();
	evthread_use_pthreads();
	life.base = event_base_new();
	if (!life.base)
		log_fatal(EX_OSERR, "cannot make an event loop: %s", strerror(errno));
	life.hub = poller_new(&life.at_start, life.base);
	poller_run(life.hub);
	catch_signals(&life);
	poller_listen(life.hub);
	event_base_dispatch(life.base);

	poller_stop(life.hub);
	poller_free(life.hub);
	for (size_t i = 0; i < 3; i++)
		event_free(life.signals[i]);
	event_base_free(life.base);
	db_library_fini();
	libevent_global_shutdown();
	free_config(life.read);
	config_fini(&life.at_start);
	return 0;
}
