/*
 * The load: clients that wait for an event, or ask again and again. Prints one JSON object; exits 1
 * if any answer was not what it had to be.
 *
 *   load wake    all clients wait, one event wakes them; how long after it did each get it?
 *   load commit  the same with a few clients and many events, each client asking on from its cursor
 *   load rps     each client asks again as soon as it is answered; how many answers a second?
 *
 * One thread drives all clients. The event comes from a second one, as publishing blocks and the
 * clock of the others must not stand still meanwhile. Times run from just before publishing begins
 * (from_begin) and from when it was acknowledged (from_ack, below zero where a client was first).
 */
#define _GNU_SOURCE /* memmem() */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "samples.h"
#include "str.h"
#include "target.h"

#define IN_FLIGHT_MAX 256   /* clients on their way to being parked: less than any listen backlog */
#define PARK_LIMIT_MS 60000 /* for all clients to be parked, and for what is parked to go */
#define ANSWER_LIMIT_MS 10000
#define LATE_MS 2000 /* after the last event: what has not come then is missed */
#define WARM_UP_MS 500

struct options {
	const char *url, *header, *topic, *db_socket, *db_name, *poller, *control, *nchan;
	long connections, rounds, seconds, interval_ms, step;
};

/* When an event was given to the target and when the target said that it had it. */
struct shot {
	_Atomic int64_t begin_us, ack_us; /* 0: not yet */
};

struct arrival {
	unsigned seq;
	int64_t at_us;
};

struct load {
	struct options opt;
	struct sockaddr_in at;
	const char *path;
	struct target *target;
	struct client *client;

	struct shot *shots;
	unsigned shots_n; /* length of shots */
	struct arrival *arrivals;
	size_t arrivals_n, arrivals_cap;
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

/* ---- events ---- */

struct volley {
	struct load *load;
	unsigned first, n;
};

static void *fire(void *arg)
{
	struct volley *v = arg;
	struct load *l = v->load;

	for (unsigned seq = v->first; seq < v->first + v->n; seq++) {
		atomic_store(&l->shots[seq].begin_us, clock_us());
		target_fire(l->target, seq);
		atomic_store(&l->shots[seq].ack_us, clock_us());
		if (v->n > 1)
			usleep((useconds_t)l->opt.interval_ms * 1000);
	}
	return NULL;
}

static pthread_t fire_begin(struct volley *v)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fire, v) != 0)
		log_fatal(1, "cannot start a thread");
	return thread;
}

static void note_arrival(struct load *l, unsigned seq, int64_t at_us)
{
	if (l->arrivals_n == l->arrivals_cap) {
		l->arrivals_cap = l->arrivals_cap > 0 ? l->arrivals_cap * 2 : 8192;
		l->arrivals = xreallocarray(l->arrivals, l->arrivals_cap, sizeof(*l->arrivals));
	}
	l->arrivals[l->arrivals_n++] = (struct arrival){seq, at_us};
}

/* Notes the events in a body; returns how many. One that was never fired is none. */
static size_t note_events(struct load *l, const struct answer *a)
{
	static const char mark[] = TARGET_MARK;
	const char *p = a->body, *end = a->body + a->body_len;
	int64_t now_us = clock_us();
	size_t n = 0;

	while ((p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1)) != NULL) {
		unsigned long seq;

		p += sizeof(mark) - 1;
		seq = strtoul(p, NULL, 10); /* a body has more bytes behind a number */
		if (seq < l->shots_n && atomic_load(&l->shots[seq].begin_us) != 0) {
			note_arrival(l, (unsigned)seq, now_us);
			n++;
		}
	}
	return n;
}

/* Adds "from_begin":{..},"from_ack":{..} for the events first..first+n-1. */
static void print_arrivals(struct load *l, struct str *out, unsigned first, unsigned n)
{
	struct samples from_begin = {0}, from_ack = {0};

	for (size_t i = 0; i < l->arrivals_n; i++) {
		const struct arrival *a = &l->arrivals[i];

		if (a->seq < first || a->seq >= first + n)
			continue;
		samples_add(&from_begin, a->at_us - atomic_load(&l->shots[a->seq].begin_us));
		samples_add(&from_ack, a->at_us - atomic_load(&l->shots[a->seq].ack_us));
	}
	str_adds(out, "\"from_begin\":");
	samples_print(&from_begin, out);
	str_adds(out, ",\"from_ack\":");
	samples_print(&from_ack, out);
	samples_fini(&from_begin);
	samples_fini(&from_ack);
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

	l->answers_n++;
	if (!a || a->status != 200 || note_events(l, a) != 1)
		l->wrong_n++;
}

static void wake_round(struct load *l, unsigned round)
{
	struct volley volley = {l, round, 1};
	int64_t limit_ms;
	pthread_t thread;

	park_all(l);
	if (l->opt.step)
		step();
	l->answers_n = 0;
	thread = fire_begin(&volley);
	limit_ms = clock_ms() + ANSWER_LIMIT_MS;
	while (l->answers_n < (size_t)l->opt.connections && clock_ms() < limit_ms)
		client_turn(l->client, 100);
	pthread_join(thread, NULL);
	l->wrong_n += (size_t)l->opt.connections - l->answers_n;
}

static void run_wake(struct load *l, struct str *out)
{
	str_adds(out, "\"rounds\":[");
	for (unsigned round = 0; round < (unsigned)l->opt.rounds; round++) {
		wake_round(l, round);
		str_adds(out, round > 0 ? ",{" : "{");
		print_arrivals(l, out, round, 1);
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

	if (!a || a->status != 200) {
		l->wrong_n++;
		return;
	}
	l->answers_n++;
	note_events(l, a);
	if (!l->is_ending)
		send_next(l, i, a);
}

static bool is_over(struct load *l)
{
	int64_t last_us = atomic_load(&l->shots[l->shots_n - 1].ack_us);

	return l->wrong_n > 0 || l->arrivals_n == (size_t)l->opt.connections * l->shots_n ||
	       (last_us != 0 && clock_us() - last_us > LATE_MS * 1000);
}

static void run_commit(struct load *l, struct str *out)
{
	struct volley volley = {l, 0, l->shots_n};
	size_t wanted = (size_t)l->opt.connections * l->shots_n;
	pthread_t thread;

	park_all(l);
	thread = fire_begin(&volley);
	while (!is_over(l))
		client_turn(l->client, 100);
	l->is_ending = true;
	pthread_join(thread, NULL);
	str_addf(out, "\"events\":%u,\"missed\":%zu,", l->shots_n, wanted - l->arrivals_n);
	print_arrivals(l, out, 0, l->shots_n);
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
	"  wake and commit want one of\n"
	"  --db-socket PATH --db NAME --poller SOCKET [--topic websites]    cmdb\n"
	"  --control SOCKET                                                 floor\n"
	"  --nchan http://ADDRESS:PORT                                      nchan";

static const struct option_row option_rows[] = {
	{"url", offsetof(struct options, url), OPTION_TEXT, 0, 0},
	{"header", offsetof(struct options, header), OPTION_TEXT, 0, 0},
	{"topic", offsetof(struct options, topic), OPTION_TEXT, 0, 0},
	{"db-socket", offsetof(struct options, db_socket), OPTION_TEXT, 0, 0},
	{"db", offsetof(struct options, db_name), OPTION_TEXT, 0, 0},
	{"poller", offsetof(struct options, poller), OPTION_TEXT, 0, 0},
	{"control", offsetof(struct options, control), OPTION_TEXT, 0, 0},
	{"nchan", offsetof(struct options, nchan), OPTION_TEXT, 0, 0},
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

	*o = (struct options){.topic = "websites", .connections = 64, .rounds = 1, .seconds = 5};
	o->interval_ms = 50;
	options_parse(option_rows, o, argc, argv, usage);
	l->path = o->url ? client_parse_url(o->url, &l->at) : NULL;
	if (!l->path)
		log_fatal(2, "%s", usage);
}

static struct target *open_target(const struct options *o)
{
	if (o->db_socket && o->db_name && o->poller)
		return target_cmdb(o->db_socket, o->db_name, o->poller, o->topic);
	if (o->control)
		return target_floor(o->control);
	if (o->nchan)
		return target_nchan(o->nchan);
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
		l.target = open_target(&l.opt);
		l.shots_n = (unsigned)(mode->run == run_wake
					       ? l.opt.rounds
					       : l.opt.seconds * 1000 / l.opt.interval_ms);
		l.shots = xcalloc(l.shots_n, sizeof(*l.shots));
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
	free(l.shots);
	free(l.arrivals);
	free(l.sent_us);
	return l.wrong_n > 0;
}
