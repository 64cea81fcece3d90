#include "samples.h"

#include <stdlib.h>

#include "mem.h"

void samples_add(struct samples *s, int64_t us)
{
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 1024;
		s->v = xreallocarray(s->v, s->cap, sizeof(*s->v));
	}
	s->v[s->n++] = us;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The smallest value that at least percent of all do not exceed. */
static double percentile_ms(const struct samples *s, size_t percent)
{
	size_t rank = (s->n * percent + 99) / 100;

	return s->n > 0 ? (double)s->v[rank > 0 ? rank - 1 : 0] / 1000 : 0;
}

void samples_print(struct samples *s, struct str *out)
{
	if (s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), by_value);
	str_addf(out, "{\"n\":%zu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}",
		s->n, percentile_ms(s, 50), percentile_ms(s, 90), percentile_ms(s, 99),
		percentile_ms(s, 100));
}

void samples_fini(struct samples *s)
{
	free(s->v);
	*s = (struct samples){0};
}
