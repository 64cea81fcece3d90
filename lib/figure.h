/*
 * Figures: what the programs count of themselves. A figure is one row of a table, lib/figures.def
 * for cmdb-poller and fcgi/stats.def for a cmdb-fcgi process; `cmdbctl status` and /metrics show
 * whatever has a row, and a test fails when docs/http.md lacks one that /metrics shows.
 *
 * To add one: its row, and figure_add() where it happens; or, of what is not counted but looked up,
 * figure_set() where the others are (poller/status.c, fcgi/health.c).
 *
 * Values are an array by row; any thread, each number stands for itself.
 */
#ifndef CMDB_FIGURE_H
#define CMDB_FIGURE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct str;

enum figure_type { FIGURE_COUNTER, FIGURE_GAUGE, FIGURE_SUM, FIGURE_COUNT /* of a summary */ };

struct figure_row {
	const char *path;   /* in status: names of objects and its own, joined by '.'; NULL: none */
	const char *metric; /* in /metrics; NULL: none. Rows of one metric follow each other */
	const char *labels; /* `name="value"`, or "" */
	enum figure_type type;
	unsigned scale; /* of the value in units of the metric: 1000 for milliseconds as seconds */
	const char *help; /* of the metric's first row; NULL: the others */
};

enum figure {
#define FIGURE(id, ...) FIGURE_##id,
#include "figures.def"
#undef FIGURE
	FIGURE_N
};
extern const struct figure_row figure_rows[FIGURE_N]; /* the poller's */

static inline void figure_add(_Atomic uint64_t *figures, unsigned which, uint64_t n)
{
	atomic_fetch_add_explicit(&figures[which], n, memory_order_relaxed);
}

static inline void figure_set(_Atomic uint64_t *figures, unsigned which, uint64_t value)
{
	atomic_store_explicit(&figures[which], value, memory_order_relaxed);
}

static inline uint64_t figure_get(const _Atomic uint64_t *figures, unsigned which)
{
	return atomic_load_explicit(&figures[which], memory_order_relaxed);
}

/* Adds them in Prometheus' text format 0.0.4, each with `label` (may be ""). */
void figure_put_metrics(struct str *out, const struct figure_row *rows, size_t n,
	const _Atomic uint64_t *figures, const char *label);

#endif
