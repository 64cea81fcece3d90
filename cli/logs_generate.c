/*
 * `cmdbctl logs generate`: a fleet (fleet.h) that logs at some rate for some time, for trying and
 * for load. Each connection is a thread with devices of its own, so that the lines of a device come
 * in order; the rate swells and ebbs by a half around what was asked for.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "api.h"
#include "clock.h"
#include "fleet.h"
#include "logs.h"
#include "logs_post.h"
#include "mem.h"
#include "out.h"
#include "rows.h"
#include "stop.h"

#define DEVICES 100
#define RATE 100
#define SECONDS 10
#define TURN_MS 20       /* how often a connection looks what is due */
#define RATE_A_CONN 5000 /* entries a second that one connection is given */
#define CONNS_MAX 32
#define SWELL_S 10.0
#define PRINT_START_MS 1767225600000 /* 2026-01-01: what is printed is the same each time */

struct plan {
	unsigned devices, conns;
	uint64_t seed, rate, all; /* all: entries */
	int64_t seconds;
};

struct sender {
	const struct plan *plan;
	pthread_t thread;
	struct fleet *fleet;
	struct log_poster poster;
	struct log_batch batch;
	uint64_t share, made; /* of the entries */
	int64_t began_ms;
	enum ctl_exit status;
};

/* How many of n entries are to be there t seconds of s after the start: all at the end. */
static uint64_t due(uint64_t n, double t, double s)
{
	double swells = s > SWELL_S ? floor(s / SWELL_S) : 1, period = s / swells;

	if (t >= s)
		return n;
	return (uint64_t)((double)n * (t - 0.5 * period / (2 * M_PI) * sin(2 * M_PI * t / period)) /
			  s);
}

/* Makes what is due now, as much as one request takes. */
static void sender_make(struct sender *s, uint64_t upto)
{
	struct str entry = STR_INIT;

	while (s->made < upto && !log_batch_is_full(&s->batch, entry.len)) {
		str_clear(&entry);
		fleet_next(s->fleet, clock_wall_ms(), &entry);
		log_batch_add(&s->batch, str_c(&entry), entry.len, ++s->made);
	}
	str_fini(&entry);
}

static void *sender_run(void *arg)
{
	struct sender *s = arg;
	const int64_t all_ms = s->plan->seconds * 1000;

	while (s->status == CTL_OK && s->made < s->share && !stop_is_asked()) {
		int64_t now = clock_ms() - s->began_ms;

		sender_make(s, due(s->share, (double)now / 1000, (double)s->plan->seconds));
		if (s->batch.n)
			s->status = log_post(&s->poster, &s->batch);
		else
			stop_wait(TURN_MS);
		/* Who cannot keep up stops all the same. */
		if (now > all_ms + TURN_MS && s->made < s->share)
			break;
	}
	return NULL;
}

static struct sender *senders_new(struct call *call, const struct plan *plan, enum ctl_exit *status)
{
	struct sender *all = xcalloc(plan->conns, sizeof(*all));

	*status = CTL_OK;
	for (unsigned i = 0; i < plan->conns && *status == CTL_OK; i++)
		all[i] = (struct sender){.plan = plan,
			.fleet = fleet_new(plan->seed, plan->devices, i, plan->conns),
			.poster = {.rest = api_open(call, status),
				.has_gzip = opt_flag(call, "gzip"),
				.patience_ms = plan->seconds * 1000,
				.what = "entry"},
			.share = plan->all / plan->conns + (i < plan->all % plan->conns)};
	return all;
}

static void senders_free(struct sender *all, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		fleet_free(all[i].fleet);
		log_batch_fini(&all[i].batch);
		rest_free(all[i].poster.rest);
	}
	free(all);
}

/* ---- what came of it ---- */

static void generate_progress(const struct plan *plan, struct bar *bar, int64_t ms)
{
	struct str text = STR_INIT;

	str_addf(&text, "%lld of %lld s", (long long)(ms / 1000), (long long)plan->seconds);
	bar_draw(bar, (uint64_t)ms, (uint64_t)plan->seconds * 1000 + 1, str_c(&text));
	str_fini(&text);
}

static void report_number(struct json_object *o, const char *name, uint64_t n)
{
	json_object_object_add(o, name, json_object_new_uint64(n));
}

static void generate_report(
	const struct call *call, const struct plan *plan, const struct sender *all, int64_t ms)
{
	struct json_object *o = json_object_new_object();
	uint64_t sent = 0, refused = 0, requests = 0, retries = 0, all_ms = 0, slowest = 0;

	for (unsigned i = 0; i < plan->conns; i++) {
		const struct log_poster *p = &all[i].poster;

		sent += p->sent;
		refused += p->refused;
		requests += p->requests;
		retries += p->retries;
		all_ms += (uint64_t)p->all_ms;
		if ((uint64_t)p->slowest_ms > slowest)
			slowest = (uint64_t)p->slowest_ms;
	}
	report_number(o, "devices", plan->devices);
	report_number(o, "connections", plan->conns);
	report_number(o, "asked", plan->all);
	report_number(o, "sent", sent);
	report_number(o, "refused", refused);
	report_number(o, "ms", (uint64_t)ms);
	report_number(o, "rate", ms > 0 ? sent * 1000 / (uint64_t)ms : 0);
	report_number(o, "requests", requests);
	report_number(o, "retries", retries);
	report_number(o, "request_ms", requests ? all_ms / requests : 0);
	report_number(o, "slowest_request_ms", slowest);
	rows_print_one(call, o);
	json_object_put(o);
}

static enum ctl_exit generate_send(struct call *call, const struct plan *plan)
{
	enum ctl_exit status;
	struct sender *all = senders_new(call, plan, &status);
	int64_t began = clock_ms();
	struct bar bar;

	bar_init(&bar);
	if (status == CTL_OK) {
		stop_catch();
		for (unsigned i = 0; i < plan->conns; i++) {
			all[i].began_ms = began;
			if (pthread_create(&all[i].thread, NULL, sender_run, &all[i]) != 0)
				abort();
		}
		while (bar.is_on && clock_ms() - began < plan->seconds * 1000 && !stop_is_asked()) {
			generate_progress(plan, &bar, clock_ms() - began);
			stop_wait(100);
		}
		bar_clear(&bar);
		for (unsigned i = 0; i < plan->conns; i++) {
			pthread_join(all[i].thread, NULL);
			if (status == CTL_OK)
				status = all[i].status;
		}
		generate_report(call, plan, all, clock_ms() - began);
	}
	senders_free(all, plan->conns);
	stop_now();
	return status;
}

/* The entries as such, a line each; times are those of a fixed day. */
static enum ctl_exit generate_print(const struct plan *plan)
{
	struct fleet *fleet = fleet_new(plan->seed, plan->devices, 0, 1);
	double ms = (double)plan->seconds * 1000 / (double)plan->all;
	struct str entry = STR_INIT;

	for (uint64_t i = 0; i < plan->all; i++) {
		str_clear(&entry);
		fleet_next(fleet, PRINT_START_MS + (int64_t)((double)i * ms), &entry);
		out_line(str_c(&entry));
		if (i % LOG_BATCH_MAX == 0 && !out_flush())
			break;
	}
	str_fini(&entry);
	fleet_free(fleet);
	return CTL_OK;
}

enum ctl_exit logs_generate(struct call *call)
{
	struct plan plan = {.devices = (unsigned)opt_number(call, "devices", DEVICES),
		.rate = (uint64_t)opt_number(call, "rate", RATE),
		.seconds = opt_number(call, "for", SECONDS),
		.seed = (uint64_t)opt_number(call, "seed", 1)};
	uint64_t conns = plan.rate / RATE_A_CONN + 1;

	plan.all = plan.rate * (uint64_t)plan.seconds;
	conns = (uint64_t)opt_number(
		call, "connections", (int64_t)(conns > CONNS_MAX ? CONNS_MAX : conns));
	plan.conns = (unsigned)(conns > plan.devices ? plan.devices : conns);
	return opt_flag(call, "print") ? generate_print(&plan) : generate_send(call, &plan);
}

const struct opt logs_generate_opts[] = {
	{"devices", OPT_NUMBER, "N", "how many devices there are (100)", 1, 1000000},
	{"rate", OPT_NUMBER, "N", "lines a second of all together (100)", 1, 1000000},
	{"for", OPT_NUMBER, "S", "for how many seconds (10)", 1, 86400},
	{"seed", OPT_NUMBER, "N", "what is said follows from it (1)", 0, INT64_MAX},
	{"connections", OPT_NUMBER, "N", "to the web server (by the rate)", 1, CONNS_MAX},
	{"gzip", OPT_FLAG, NULL, "compress what is sent", 0, 0},
	{"print", OPT_FLAG, NULL, "print the entries, a line each, and send nothing", 0, 0},
	API_OPTS,
	{0},
};
