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
#include "hub.h"
#include "log.h"
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
	      "SIGTERM and SIGINT end it; see cmdb-poller(8).\n",
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

static void on_stop(evutil_socket_t signo, short what, void *arg)
{
	log_info("stop", "signal %d", (int)signo);
	event_base_loopbreak(arg);
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct config cfg;
	struct event_base *base;
	struct event *term, *intr;
	struct hub *hub;

	log_init(PROGRAM, LOG_INFO, LOG_TEXT);
	parse_options(&options, argc, argv);
	load_config(&cfg, &options);
	signal(SIGPIPE, SIG_IGN);
	raise_nofile();
	secret_init();
	db_library_init();
	evthread_use_pthreads();
	base = event_base_new();
	if (!base)
		log_fatal(EX_OSERR, "cannot make an event loop: %s", strerror(errno));
	term = evsignal_new(base, SIGTERM, on_stop, base);
	intr = evsignal_new(base, SIGINT, on_stop, base);
	event_add(term, NULL);
	event_add(intr, NULL);

	hub = hub_new(&cfg, base);
	hub_listen(hub);
	event_base_dispatch(base);

	hub_stop(hub);
	hub_free(hub);
	event_free(term);
	event_free(intr);
	event_base_free(base);
	db_library_fini();
	libevent_global_shutdown();
	config_fini(&cfg);
	return 0;
}
