#define _GNU_SOURCE /* memmem() */
#include "volley.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "samples.h"

#define LATE_MS 2000 /* after the last event: what has not come then is missed */

/* When an event was given to the target and when the target said that it had it. */
struct shot {
	_Atomic int64_t begin_us, ack_us; /* 0: not yet */
};

struct arrival {
	unsigned seq;
	int64_t at_us;
};

struct volley {
	struct target *target;
	struct shot *shots;
	unsigned shots_n;
	struct arrival *arrivals;
	size_t arrivals_n, arrivals_cap;

	pthread_t thread; /* what it reads is set before it starts */
	unsigned first, n;
	long interval_ms;
};

struct volley *volley_new(struct target *t, unsigned n)
{
	struct volley *v = xcalloc(1, sizeof(*v));

	v->target = t;
	v->shots_n = n;
	v->shots = xcalloc(n, sizeof(*v->shots));
	return v;
}

void volley_free(struct volley *v)
{
	if (!v)
		return;
	free(v->shots);
	free(v->arrivals);
	free(v);
}

static void *fire(void *arg)
{
	struct volley *v = arg;

	for (unsigned seq = v->first; seq < v->first + v->n; seq++) {
		atomic_store(&v->shots[seq].begin_us, clock_us());
		target_fire(v->target, seq);
		atomic_store(&v->shots[seq].ack_us, clock_us());
		if (v->n > 1)
			usleep((useconds_t)v->interval_ms * 1000);
	}
	return NULL;
}

void volley_begin(struct volley *v, unsigned first, unsigned n, long interval_ms)
{
	v->first = first;
	v->n = n;
	v->interval_ms = interval_ms;
	if (pthread_create(&v->thread, NULL, fire, v) != 0)
		log_fatal(1, "cannot start a thread");
}

void volley_join(struct volley *v)
{
	pthread_join(v->thread, NULL);
}

bool volley_is_late(struct volley *v)
{
	int64_t last_us = atomic_load(&v->shots[v->shots_n - 1].ack_us);

	return last_us != 0 && clock_us() - last_us > LATE_MS * 1000;
}

static void note_arrival(struct volley *v, unsigned seq, int64_t at_us)
{
	if (v->arrivals_n == v->arrivals_cap) {
		v->arrivals_cap = v->arrivals_cap > 0 ? v->arrivals_cap * 2 : 8192;
		v->arrivals = xreallocarray(v->arrivals, v->arrivals_cap, sizeof(*v->arrivals));
	}
	v->arrivals[v->arrivals_n++] = (struct arrival){seq, at_us};
}

size_t volley_note(struct volley *v, const char *text, size_t len, unsigned *seq)
{
	static const char mark[] = TARGET_MARK;
	const char *p = text, *end = text + len;
	int64_t now_us = clock_us();
	size_t n = 0;

	while ((p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1)) != NULL) {
		unsigned long found;

		p += sizeof(mark) - 1;
		found = strtoul(p, NULL, 10); /* a body has more bytes behind a number */
		if (found >= v->shots_n || atomic_load(&v->shots[found].begin_us) == 0)
			continue;
		note_arrival(v, (unsigned)found, now_us);
		if (n++ == 0)
			*seq = (unsigned)found;
	}
	return n;
}

size_t volley_arrivals_n(const struct volley *v)
{
	return v->arrivals_n;
}

void volley_print(struct volley *v, struct str *out, unsigned first, unsigned n)
{
	struct samples from_begin = {0}, from_ack = {0};

	for (size_t i = 0; i < v->arrivals_n; i++) {
		const struct arrival *a = &v->arrivals[i];

		if (a->seq < first || a->seq >= first + n)
			continue;
		samples_add(&from_begin, a->at_us - atomic_load(&v->shots[a->seq].begin_us));
		samples_add(&from_ack, a->at_us - atomic_load(&v->shots[a->seq].ack_us));
	}
	str_adds(out, "\"from_begin\":");
	samples_print(&from_begin, out);
	str_adds(out, ",\"from_ack\":");
	samples_print(&from_ack, out);
	samples_fini(&from_begin);
	samples_fini(&from_ack);
}
