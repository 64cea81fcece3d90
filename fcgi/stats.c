#include "stats.h"

const struct figure_row stat_rows[STAT_N] = {
#define STAT(id, metric, labels, type, scale, help) \
	[STAT_##id] = {NULL, metric, labels, FIGURE_##type, scale, help},
#include "stats.def"
#undef STAT
};
