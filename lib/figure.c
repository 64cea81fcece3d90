#include "figure.h"

#include <stdbool.h>

#include "str.h"

const struct figure_row figure_rows[FIGURE_N] = {
#define FIGURE(id, path, metric, labels, type, help) \
	[FIGURE_##id] = {path, metric, labels, FIGURE_##type, 1, help},
#include "figures.def"
#undef FIGURE
};

static void figure_put_value(struct str *out, const struct figure_row *row, uint64_t value)
{
	if (row->scale == 1)
		str_addf(out, " %llu\n", (unsigned long long)value);
	else
		str_addf(out, " %.15g\n", (double)value / row->scale);
}

void figure_put_metrics(struct str *out, const struct figure_row *rows, size_t n,
	const _Atomic uint64_t *figures, const char *label)
{
	static const char *const types[] = {"counter", "gauge", "summary", "summary"};
	static const char *const suffixes[] = {"", "", "_sum", "_count"};

	for (size_t i = 0; i < n; i++) {
		const struct figure_row *row = &rows[i];
		bool is_labelled = label[0] || row->labels[0];

		if (!row->metric)
			continue;
		if (row->help)
			str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", row->metric, row->help,
				row->metric, types[row->type]);
		str_addf(out, "%s%s", row->metric, suffixes[row->type]);
		if (is_labelled)
			str_addf(out, "{%s%s%s}", label, label[0] && row->labels[0] ? "," : "",
				row->labels);
		figure_put_value(out, row, figure_get(figures, i));
	}
}
