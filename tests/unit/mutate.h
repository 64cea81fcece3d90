/*
 * Good texts gone bad, in ways that a fixed seed decides: the same in every run. For tests with the
 * sanitizers, which see what a decoder does wrong without saying so.
 */
#ifndef CMDB_MUTATE_H
#define CMDB_MUTATE_H

#include <stdint.h>

#include "str.h"

static uint32_t mutate_seed = 20261122;

static inline uint32_t mutate_any(uint32_t n)
{
	mutate_seed ^= mutate_seed << 13;
	mutate_seed ^= mutate_seed >> 17;
	mutate_seed ^= mutate_seed << 5;
	return mutate_seed % n;
}

/* Changes s in one place: a byte, a piece left out or repeated, one of words put in, or the end cut
 * off. */
static inline void mutate(struct str *s, const char *const *words, size_t words_n)
{
	struct str out = STR_INIT;
	size_t at = mutate_any((uint32_t)s->len + 1), n = mutate_any(8);

	if (n > s->len - at)
		n = s->len - at;
	str_add(&out, s->p, at);
	switch (mutate_any(5)) {
	case 0:
		str_addc(&out, (char)mutate_any(256));
		str_add(&out, s->p + at + (n > 0), s->len - at - (n > 0));
		break;
	case 1:
		str_add(&out, s->p + at + n, s->len - at - n);
		break;
	case 2:
		str_add(&out, s->p + at, n);
		str_add(&out, s->p + at, s->len - at);
		break;
	case 3:
		str_adds(&out, words[mutate_any((uint32_t)words_n)]);
		str_add(&out, s->p + at, s->len - at);
	}
	str_fini(s);
	*s = out;
}

static inline void mutate_random(struct str *s, size_t len_max)
{
	for (size_t n = mutate_any((uint32_t)len_max + 1); n; n--)
		str_addc(s, (char)mutate_any(256));
}

#endif
