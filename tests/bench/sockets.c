/*
 * The load of Socket.IO clients over polling. Prints one JSON object; exits 1 if anything was not
 * as it had to be.
 *
 *   sockets wake    all clients are connected, one event is for all; how long until each has it?
 *                   --rounds events, one by one. Each client polls again at once, as clients do;
 *                   with --pause it does when all have the event.
 *   sockets commit  the same with a few clients and many events
 *   sockets cycles  each client does nothing but handshake, CONNECT, GETs until that is answered,
 *                   and close; how many of these a second?
 *   sockets idle    all clients are connected and answer heartbeats, until a line comes on stdin
 *
 * One thread drives all clients. What the times in wake and commit are, volley.h tells.
 */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "polling.h"
#include "samples.h"
#include "str.h"
#include "target.h"
#include "volley.h"

#define IN_FLIGHT_MAX 256 /* clients that connect at a time: less than any listen backlog */
#define UP_LIMIT_MS 120000
#define DOWN_LIMIT_MS 60000
#define ANSWER_LIMIT_MS 10000
#define WARM_UP_MS 500
#define TURN_MS 5
#define WRONGS_SHOWN 5

struct options {
	const char *url, *token, *say;
	struct target_where target;
	long devices, connections, rounds, seconds, interval_ms, pause;
};

struct load {
	struct options opt;
	struct polling_where where;
	struct target *target;
	struct polling *polling;
	struct volley *volley;
	unsigned events_n;
	size_t wrong_n, repeated_n;
	unsigned *next_seq; /* the next bench_seq of each client */
	size_t answered_n;  /* clients whose --say has been answered */

	/* cycles */
	bool is_cycling, is_counting;
	int64_t *begin_us;
	struct samples times;
};

static bool is_going_well(const struct load *l, int64_t limit_ms)
{
	return l->wrong_n == 0 && clock_ms() < limit_ms;
}

/* ---- what clients tell ---- */

/* What is to be said, with the number of its device. */
static void say(struct load *l, size_t i)
{
	const char *text = l->opt.say, *hole = strchr(text, '%');
	struct str packet = STR_INIT;

	if (hole)
		str_addf(&packet, "%.*s%zu%s", (int)(hole - text), text, i % (size_t)l->opt.devices,
			hole + 1);
	else
		str_adds(&packet, text);
	polling_say(l->polling, i, packet.p, packet.len);
	str_fini(&packet);
}

static void on_up(void *arg, size_t i)
{
	struct load *l = arg;

	if (l->opt.say)
		say(l, i);
	if (l->begin_us)
		polling_close(l->polling, i);
}

/* In order, and each once. */
static void on_event(void *arg, size_t i, const char *packet, size_t len)
{
	struct load *l = arg;
	static const char subscribed[] = "[\"log:subscribed\",";
	unsigned seq;
	size_t n;

	if (len > sizeof(subscribed) && !memcmp(packet, subscribed, sizeof(subscribed) - 1))
		l->answered_n++;
	n = l->volley ? volley_note(l->volley, packet, len, &seq) : 0;
	if (n == 0)
		return; /* `connected` and the like */
	if (seq == l->next_seq[i])
		l->next_seq[i] += (unsigned)n;
	else if (seq < l->next_seq[i])
		l->repeated_n++;
	else
		l->wrong_n++;
}

static void begin_cycle(struct load *l, size_t i)
{
	l->begin_us[i] = clock_us();
	polling_open(l->polling, i);
}

static void on_down(void *arg, size_t i, const char *why)
{
	struct load *l = arg;

	if (why) {
		if (l->wrong_n++ < WRONGS_SHOWN)
			log_error("client", "%s", why);
		return;
	}
	if (l->is_counting)
		samples_add(&l->times, clock_us() - l->begin_us[i]);
	if (l->is_cycling)
		begin_cycle(l, i);
}

static const struct polling_on on = {on_up, on_event, on_down};

/* ---- all up, all down ---- */

/* Until the target holds a GET of each. */
static void await_held(struct load *l)
{
	int64_t limit_ms = clock_ms() + UP_LIMIT_MS;

	while (target_waiters(l->target) != l->opt.connections ||
		(l->opt.say && l->answered_n < (size_t)l->opt.connections)) {
		if (!is_going_well(l, limit_ms))
			log_fatal(1, "%ld GETs are held, not %ld", target_waiters(l->target),
				l->opt.connections);
		polling_turn(l->polling, TURN_MS);
	}
}

static void connect_all(struct load *l)
{
	size_t n = (size_t)l->opt.connections, opened = 0;
	int64_t limit_ms = clock_ms() + UP_LIMIT_MS;

	while (polling_up_n(l->polling) < n) {
		while (opened < n && opened - polling_up_n(l->polling) < IN_FLIGHT_MAX)
			polling_open(l->polling, opened++);
		polling_turn(l->polling, TURN_MS);
		if (!is_going_well(l, limit_ms))
			log_fatal(1, "only %zu of %zu clients are connected",
				polling_up_n(l->polling), n);
	}
	await_held(l);
}

/* What fails now is not wrong any more: the clients have done what they are for. */
static void close_all(struct load *l)
{
	size_t n = (size_t)l->opt.connections, closed = 0;
	int64_t limit_ms = clock_ms() + DOWN_LIMIT_MS;

	while (polling_down_n(l->polling) < n && is_going_well(l, limit_ms)) {
		while (closed < n && closed - polling_down_n(l->polling) < IN_FLIGHT_MAX)
			polling_close(l->polling, closed++);
		polling_turn(l->polling, TURN_MS);
	}
	l->wrong_n += n - polling_down_n(l->polling);
}

/* ---- modes ---- */

static void run_wake(struct load *l, struct str *out)
{
	size_t n = (size_t)l->opt.connections;

	connect_all(l);
	str_adds(out, "\"rounds\":[");
	for (unsigned round = 0; round < l->events_n && l->wrong_n == 0; round++) {
		int64_t limit_ms = clock_ms() + ANSWER_LIMIT_MS;

		polling_pause(l->polling, l->opt.pause);
		volley_begin(l->volley, round, 1, 0);
		while (volley_arrivals_n(l->volley) < n * (round + 1) && is_going_well(l, limit_ms))
			polling_turn(l->polling, TURN_MS);
		volley_join(l->volley);
		polling_pause(l->polling, false);
		l->wrong_n += n * (round + 1) - volley_arrivals_n(l->volley);
		str_adds(out, round > 0 ? ",{" : "{");
		volley_print(l->volley, out, round, 1);
		str_addc(out, '}');
		if (l->wrong_n == 0)
			await_held(l);
	}
	str_addc(out, ']');
	close_all(l);
}

static void run_commit(struct load *l, struct str *out)
{
	size_t wanted = (size_t)l->opt.connections * l->events_n, got = 0;

	connect_all(l);
	volley_begin(l->volley, 0, l->events_n, l->opt.interval_ms);
	while (l->wrong_n == 0 && volley_arrivals_n(l->volley) < wanted &&
		!volley_is_late(l->volley))
		polling_turn(l->polling, TURN_MS);
	volley_join(l->volley);
	for (long i = 0; i < l->opt.connections; i++)
		got += l->next_seq[i];
	str_addf(out, "\"events\":%u,\"missed\":%zu,\"repeated\":%zu,", l->events_n, wanted - got,
		l->repeated_n);
	volley_print(l->volley, out, 0, l->events_n);
	close_all(l);
}

static void turn_for(struct load *l, int64_t us)
{
	int64_t end_us = clock_us() + us;

	while (clock_us() < end_us && l->wrong_n == 0)
		polling_turn(l->polling, TURN_MS);
}

static void run_cycles(struct load *l, struct str *out)
{
	size_t n = (size_t)l->opt.connections;
	int64_t begin_us, limit_ms;
	double rate;

	l->begin_us = xcalloc(n, sizeof(*l->begin_us));
	l->is_cycling = true;
	for (size_t i = 0; i < n; i++)
		begin_cycle(l, i);
	turn_for(l, WARM_UP_MS * 1000);
	l->is_counting = true;
	begin_us = clock_us();
	turn_for(l, l->opt.seconds * 1000000);
	rate = (double)l->times.n * 1e6 / (double)(clock_us() - begin_us);
	l->is_counting = l->is_cycling = false;
	limit_ms = clock_ms() + ANSWER_LIMIT_MS;
	while (polling_down_n(l->polling) < n && is_going_well(l, limit_ms))
		polling_turn(l->polling, TURN_MS);
	l->wrong_n += n - polling_down_n(l->polling);
	str_addf(out, "\"cycles_s\":%.1f,\"times\":", rate);
	samples_print(&l->times, out);
}

static void run_idle(struct load *l, struct str *out)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};

	connect_all(l);
	puts("connected");
	fflush(stdout);
	while (l->wrong_n == 0 && poll(&in, 1, 0) == 0)
		polling_turn(l->polling, TURN_MS * 10);
	str_addf(out, "\"pongs\":%zu", polling_pongs_n(l->polling));
	close_all(l);
}

/* ---- start and end ---- */

static const struct mode {
	const char *name;
	void (*run)(struct load *l, struct str *out);
	bool has_target;
} modes[] = {
	{"wake", run_wake, true},
	{"commit", run_commit, true},
	{"cycles", run_cycles, false},
	{"idle", run_idle, true},
};

static const char usage[] =
	"usage: sockets wake|commit|cycles|idle --url "
	"http://ADDRESS:PORT/socket.io/ --token TOKEN\n"
	"  [--connections N] [--rounds N] [--seconds N] [--interval-ms N] [--pause]\n"
	"  [--say PACKET [--devices N]]    each emits log:subscribe; % is a number below N\n"
	"  all but cycles want one of\n" TARGET_USAGE;

static const struct option_row option_rows[] = {
	{"url", offsetof(struct options, url), OPTION_TEXT, 0, 0},
	{"token", offsetof(struct options, token), OPTION_TEXT, 0, 0},
	{"say", offsetof(struct options, say), OPTION_TEXT, 0, 0},
	{"devices", offsetof(struct options, devices), OPTION_NUMBER, 1, 1000000},
	TARGET_OPTIONS(struct options, target),
	{"connections", offsetof(struct options, connections), OPTION_NUMBER, 1, 100000},
	{"rounds", offsetof(struct options, rounds), OPTION_NUMBER, 1, 1000},
	{"seconds", offsetof(struct options, seconds), OPTION_NUMBER, 1, 3600},
	{"interval-ms", offsetof(struct options, interval_ms), OPTION_NUMBER, 1, 10000},
	{"pause", offsetof(struct options, pause), OPTION_FLAG, 0, 0},
	{0},
};

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	log_fatal(2, "%s", usage);
}

static void start(struct load *l, const struct mode *mode, int argc, char **argv)
{
	struct options *o = &l->opt;

	*o = (struct options){
		.connections = 64, .rounds = 1, .seconds = 5, .interval_ms = 50, .devices = 1};
	o->target.topic = "websites";
	o->target.entries = 1;
	options_parse(option_rows, o, argc, argv, usage);
	o->target.is_socket = true;
	l->where.path = o->url ? client_parse_url(o->url, &l->where.at) : NULL;
	l->where.token = o->token;
	l->where.keep_posts = mode->run == run_cycles;
	if (!l->where.path || !o->token)
		log_fatal(2, "%s", usage);
	if (mode->has_target && !(l->target = target_open(&o->target)))
		log_fatal(2, "%s", usage);
	if (mode->run == run_wake)
		l->events_n = (unsigned)o->rounds;
	if (mode->run == run_commit)
		l->events_n = (unsigned)(o->seconds * 1000 / o->interval_ms);
	if (l->events_n > 0)
		l->volley = volley_new(l->target, l->events_n);
	l->next_seq = xcalloc((size_t)o->connections, sizeof(*l->next_seq));
	l->polling = polling_new(&l->where, (size_t)o->connections, &on, l);
}

int main(int argc, char **argv)
{
	struct load l = {0};
	struct str out = STR_INIT;
	const struct mode *mode;

	log_init("sockets", LOG_INFO, LOG_TEXT);
	mode = find_mode(argc > 1 ? argv[1] : "");
	start(&l, mode, argc - 1, argv + 1);
	str_addf(&out, "{\"mode\":\"%s\",\"connections\":%ld,", mode->name, l.opt.connections);
	mode->run(&l, &out);
	str_addf(&out, ",\"wrong\":%zu}", l.wrong_n);
	puts(out.p);
	polling_free(l.polling);
	volley_free(l.volley);
	target_free(l.target);
	samples_fini(&l.times);
	str_fini(&out);
	free(l.next_seq);
	free(l.begin_us);
	return l.wrong_n > 0;
}
