/*
 * The load: clients that wait for an event, or ask again and again. Prints one JSON object; exits 1
 * if any answer was not what it had to be.
 *
 *   load wake    all clients wait, one event wakes them; how long after it did each get it?
 *   load commit  the same with a few clients and many events, each client asking on from its cursor
 *   load rps     each client asks again as soon as it is answered; how many answers a second?
 *
 * One thread drives all clients. What the times in wake and commit are, volley.h tells.
 */
#define _GNU_SOURCE /* memmem() */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "samples.h"
#include "str.h"
#include "target.h"
#include "volley.h"

#define IN_FLIGHT_MAX 256   /* clients on their way to being parked: less than any listen backlog */
#define PARK_LIMIT_MS 60000 /* for all clients to be parked, and for what is parked to go */
#define ANSWER_LIMIT_MS 10000
#define WARM_UP_MS 500

struct options {
	const char *url, *header;
	struct target_where target;
	long connections, rounds, seconds, interval_ms, step;
};

struct load {
	struct options opt;
	struct sockaddr_in at;
	const char *path;
	struct target *target;
	struct client *client;

	struct volley *volley;
	unsigned events_n;
	size_t answers_n, wrong_n;
	bool is_ending; /* nothing more is sent */

	/* rps */
	size_t body_len;
	int64_t *sent_us;
	bool is_counting;
	struct samples times;
};

static void send_get(struct load *l, size_t i, const char *path)
{
	struct str request = STR_INIT;
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &l->at.sin_addr, host, sizeof(host));
	str_addf(&request, "GET %s HTTP/1.1\r\nHost: %s:%u\r\n", path, host,
		(unsigned)ntohs(l->at.sin_port));
	if (l->opt.header)
		str_addf(&request, "%s\r\n", l->opt.header);
	str_adds(&request, "\r\n");
	client_send(l->client, i, request.p, request.len);
	str_fini(&request);
}

/* ---- parking ---- */

static void await_waiters(struct load *l, long n)
{
	int64_t limit_ms = clock_ms() + PARK_LIMIT_MS;

	while (target_waiters(l->target) != n) {
		if (clock_ms() > limit_ms)
			log_fatal(1, "%ld requests are parked, not %ld", target_waiters(l->target),
				n);
		client_turn(l->client, 5);
	}
}

/* All clients ask, no faster than the target parks them. */
static void park_all(struct load *l)
{
	long n = l->opt.connections, sent = 0, parked = 0;
	int64_t limit_ms = clock_ms() + PARK_LIMIT_MS;

	await_waiters(l, 0);
	while (parked < n) {
		while (sent < n && sent - parked < IN_FLIGHT_MAX)
			send_get(l, (size_t)sent++, l->path);
		client_turn(l->client, 2);
		parked = target_waiters(l->target);
		if (clock_ms() > limit_ms || l->wrong_n > 0)
			log_fatal(1, "only %ld of %ld requests are parked", parked, n);
	}
}

/* Lets whoever started this look at the parked requests before they are woken. */
static void step(void)
{
	int c;

	puts("parked");
	fflush(stdout);
	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

/* ---- wake ---- */

static void on_woken(struct client *c, size_t i, const struct answer *a, void *arg)
{
	struct load *l = arg;
	unsigned seq;

	l->answers_n++;
	if (!a || a->status != 200 || volley_note(l->volley, a->body, a->body_len, &seq) != 1)
		l->wrong_n++;
}

static void wake_round(struct load *l, unsigned round)
{
	int64_t limit_ms;

	park_all(l);
	if (l->opt.step)
		step();
	l->answers_n = 0;
	volley_begin(l->volley, round, 1, 0);
	limit_ms = clock_ms() + ANSWER_LIMIT_MS;
	while (l->answers_n < (size_t)l->opt.connections && clock_ms() < limit_ms)
		client_turn(l->client, 100);
	volley_join(l->volley);
	l->wrong_n += (size_t)l->opt.connections - l->answers_n;
}

static void run_wake(struct load *l, struct str *out)
{
	str_adds(out, "\"rounds\":[");
	for (unsigned round = 0; round < (unsigned)l->opt.rounds; round++) {
		wake_round(l, round);
		str_adds(out, round > 0 ? ",{" : "{");
		volley_print(l->volley, out, round, 1);
		str_addc(out, '}');
		if (l->wrong_n > 0)
			break;
	}
	str_addc(out, ']');
}

/* ---- commit ---- */

/* Asks on from the answer's lastEventId; a target without cursors is just asked again. */
static void send_next(struct load *l, size_t i, const struct answer *a)
{
	static const char label[] = "\"lastEventId\":";
	const char *found = memmem(a->body, a->body_len, label, sizeof(label) - 1);
	struct str path = STR_INIT;

	str_adds(&path, l->path);
	if (found) {
		str_adds(&path, strchr(l->path, '?') != NULL ? "&since=" : "?since=");
		str_addu(&path, strtoull(found + sizeof(label) - 1, NULL, 10));
	}
	send_get(l, i, path.p);
	str_fini(&path);
}

static void on_event(struct client *c, size_t i, const struct answer *a, void *arg)
{
	struct load *l = arg;
	unsigned seq;

	if (!a || a->status != 200) {
		l->wrong_n++;
		return;
	}
	l->answers_n++;
	volley_note(l->volley, a->body, a->body_len, &seq);
	if (!l->is_ending)
		send_next(l, i, a);
}

static void run_commit(struct load *l, struct str *out)
{
	size_t wanted = (size_t)l->opt.connections * l->events_n;

	park_all(l);
	volley_begin(l->volley, 0, l->events_n, l->opt.interval_ms);
	while (l->wrong_n == 0 && volley_arrivals_n(l->volley) < wanted &&
		!volley_is_late(l->volley))
		client_turn(l->client, 100);
	l->is_ending = true;
	volley_join(l->volley);
	str_addf(out, "\"events\":%u,\"missed\":%zu,", l->events_n,
		wanted - volley_arrivals_n(l->volley));
	volley_print(l->volley, out, 0, l->events_n);
}

/* ---- rps ---- */

static void on_answered(struct client *c, size_t i, const struct answer *a, void *arg)
{
	struct load *l = arg;
	int64_t now_us = clock_us();

	if (!a || a->status != 200 || (l->body_len != 0 && a->body_len != l->body_len)) {
		l->wrong_n++;
		return;
	}
	l->body_len = a->body_len;
	if (l->is_counting)
		samples_add(&l->times, now_us - l->sent_us[i]);
	if (!l->is_ending) {
		l->sent_us[i] = now_us;
		send_get(l, i, l->path);
	}
}

static void turn_until(struct load *l, int64_t end_us)
{
	int64_t left_us;

	while ((left_us = end_us - clock_us()) > 0 && l->wrong_n == 0)
		client_turn(l->client, (int)(left_us / 1000) + 1);
}

static void run_rps(struct load *l, struct str *out)
{
	int64_t begin_us, limit_ms;
	double rps;

	l->sent_us = xcalloc((size_t)l->opt.connections, sizeof(*l->sent_us));
	for (long i = 0; i < l->opt.connections; i++)
		send_get(l, (size_t)i, l->path);
	turn_until(l, clock_us() + WARM_UP_MS * 1000);
	l->is_counting = true;
	begin_us = clock_us();
	turn_until(l, begin_us + l->opt.seconds * 1000000);
	rps = (double)l->times.n * 1e6 / (double)(clock_us() - begin_us);
	l->is_counting = false;
	l->is_ending = true;
	limit_ms = clock_ms() + ANSWER_LIMIT_MS;
	while (client_out_n(l->client) > 0 && clock_ms() < limit_ms)
		client_turn(l->client, 100);
	str_addf(out, "\"rps\":%.1f,\"body_len\":%zu,\"times\":", rps, l->body_len);
	samples_print(&l->times, out);
}

/* ---- start and end ---- */

static const struct mode {
	const char *name;
	void (*run)(struct load *l, struct str *out);
	client_on_answer on;
	bool has_events;
} modes[] = {
	{"wake", run_wake, on_woken, true},
	{"commit", run_commit, on_event, true},
	{"rps", run_rps, on_answered, false},
};

static const char usage[] =
	"usage: load wake|commit|rps --url http://ADDRESS:PORT/PATH [--header 'NAME: VALUE']\n"
	"  [--connections N] [--rounds N] [--seconds N] [--interval-ms N] [--step]\n"
	"  wake and commit want one of\n" TARGET_USAGE;

static const struct option_row option_rows[] = {
	{"url", offsetof(struct options, url), OPTION_TEXT, 0, 0},
	{"header", offsetof(struct options, header), OPTION_TEXT, 0, 0},
	TARGET_OPTIONS(struct options, target),
	{"connections", offsetof(struct options, connections), OPTION_NUMBER, 1, 100000},
	{"rounds", offsetof(struct options, rounds), OPTION_NUMBER, 1, 1000},
	{"seconds", offsetof(struct options, seconds), OPTION_NUMBER, 1, 3600},
	{"interval-ms", offsetof(struct options, interval_ms), OPTION_NUMBER, 1, 10000},
	{"step", offsetof(struct options, step), OPTION_FLAG, 0, 0},
	{0},
};

static void parse_options(struct load *l, int argc, char **argv)
{
	struct options *o = &l->opt;

	*o = (struct options){
		.target.topic = "websites", .connections = 64, .rounds = 1, .seconds = 5};
	o->interval_ms = 50;
	options_parse(option_rows, o, argc, argv, usage);
	l->path = o->url ? client_parse_url(o->url, &l->at) : NULL;
	if (!l->path)
		log_fatal(2, "%s", usage);
}

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	log_fatal(2, "%s", usage);
}

int main(int argc, char **argv)
{
	struct load l = {0};
	struct str out = STR_INIT;
	const struct mode *mode;

	log_init("load", LOG_INFO, LOG_TEXT);
	mode = find_mode(argc > 1 ? argv[1] : "");
	parse_options(&l, argc - 1, argv + 1);
	if (mode->has_events) {
		l.target = target_open(&l.opt.target);
		if (!l.target)
			log_fatal(2, "%s", usage);
		l.events_n = (unsigned)(mode->run == run_wake
						? l.opt.rounds
						: l.opt.seconds * 1000 / l.opt.interval_ms);
		l.volley = volley_new(l.target, l.events_n);
	}
	l.client = client_new(&l.at, (size_t)l.opt.connections, mode->on, &l);
	str_addf(&out, "{\"mode\":\"%s\",\"connections\":%ld,", mode->name, l.opt.connections);
	mode->run(&l, &out);
	str_addf(&out, ",\"wrong\":%zu}", l.wrong_n);
	puts(out.p);
	client_free(l.client);
	target_free(l.target);
	samples_fini(&l.times);
	str_fini(&out);
	volley_free(l.volley);
	free(l.sent_us);
	return l.wrong_n > 0;
}
