/*
 * What one cmdb-fcgi process counts, for /metrics: figures (lib/figure.h), a row each in stats.def.
 */
#ifndef CMDB_STATS_H
#define CMDB_STATS_H

#include "figure.h"

enum stat_figure {
#define STAT(id, ...) STAT_##id,
#include "stats.def"
#undef STAT
	STAT_N
};
extern const struct figure_row stat_rows[STAT_N];

/* One more answer with that status. */
static inline void stats_add_status(_Atomic uint64_t *stats, int status)
{
	if (status >= 200 && status <= 599)
		figure_add(stats, STAT_REQUESTS + (unsigned)(status / 100 - 2), 1);
}

#endif
