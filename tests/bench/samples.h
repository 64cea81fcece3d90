/* Durations in microseconds, and what is said of them. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct samples {
	int64_t *v;
	size_t n, cap;
};

void samples_add(struct samples *s, int64_t us);
/* Adds {"n","p50_ms","p90_ms","p99_ms","max_ms"}; sorts s. */
void samples_print(struct samples *s, struct str *out);
void samples_fini(struct samples *s);

#endif
