/*
 * Events given to a target one after another, and when each of them arrived at whom it is for.
 *
 * They are given by a thread of their own, as publishing blocks and the clock of those that wait
 * must not stand still meanwhile. All calls belong to the thread that waits. Times run from just
 * before publishing begins (from_begin) and from when it was acknowledged (from_ack, below zero
 * where a client was first).
 */
#ifndef BENCH_VOLLEY_H
#define BENCH_VOLLEY_H

#include <stdbool.h>
#include <stddef.h>

#include "str.h"
#include "target.h"

struct volley;

/* n events, the i-th with "bench_seq":i. t is borrowed. */
struct volley *volley_new(struct target *t, unsigned n);
void volley_free(struct volley *v); /* takes NULL */

/* Gives the events first..first+n-1, so many ms apart, until volley_join(). */
void volley_begin(struct volley *v, unsigned first, unsigned n, long interval_ms);
void volley_join(struct volley *v);
/* Is the last of all longer ago than what may still be on its way? */
bool volley_is_late(struct volley *v);

/* Notes the events in a text as arrived now; returns how many, with *seq that of the first. One
 * that was never fired is none. */
size_t volley_note(struct volley *v, const char *text, size_t len, unsigned *seq);
size_t volley_arrivals_n(const struct volley *v);
/* Adds "from_begin":{..},"from_ack":{..} for the events first..first+n-1. */
void volley_print(struct volley *v, struct str *out, unsigned first, unsigned n);

#endif
