/* The tables of figures: what /metrics makes of them, and that docs/http.md has them all. */
#include "unit.h"

#include "figure.h"
#include "stats.h"

static const struct {
	const struct figure_row *rows;
	size_t n;
} tables[] = {{figure_rows, FIGURE_N}, {stat_rows, STAT_N}};

static void a_metric_is_announced_once_and_stays_together(void **state)
{
	for (size_t t = 0; t < ARRAY_N(tables); t++) {
		const char *last = NULL;

		for (size_t i = 0; i < tables[t].n; i++) {
			const struct figure_row *row = &tables[t].rows[i];

			if (!row->metric)
				continue;
			if ((row->help != NULL) != (!last || strcmp(last, row->metric) != 0))
				fail_msg("%s: help is for the first row of a metric", row->metric);
			for (size_t k = 0; row->help && k < i; k++)
				if (tables[t].rows[k].metric &&
					strcmp(tables[t].rows[k].metric, row->metric) == 0)
					fail_msg("%s is in two places", row->metric);
			assert_true(row->scale > 0);
			last = row->metric;
		}
	}
}

static void every_figure_is_shown_somewhere_and_no_path_twice(void **state)
{
	for (size_t i = 0; i < FIGURE_N; i++) {
		const char *path = figure_rows[i].path;

		assert_true(path || figure_rows[i].metric);
		for (size_t k = 0; path && k < i; k++)
			if (figure_rows[k].path && strcmp(figure_rows[k].path, path) == 0)
				fail_msg("%s is there twice", path);
	}
}

static void rows_are_rendered_as_prometheus_reads_them(void **state)
{
	static const struct figure_row rows[] = {
		{"a", "a_total", "x=\"1\"", FIGURE_COUNTER, 1, "What."},
		{"b", "a_total", "x=\"2\"", FIGURE_COUNTER, 1, NULL},
		{"only.in.status", NULL, "", FIGURE_GAUGE, 1, NULL},
		{NULL, "b_seconds", "", FIGURE_SUM, 1000, "How long."},
		{NULL, "b_seconds", "", FIGURE_COUNT, 1, NULL},
		{NULL, "c", "", FIGURE_GAUGE, 1, "Which."},
	};
	static _Atomic uint64_t v[] = {1, 2, 3, 1500, 4, UINT64_MAX};
	struct str out = STR_INIT;

	figure_put_metrics(&out, rows, ARRAY_N(rows), v, "");
	assert_string_equal(str_c(&out),
		"# HELP a_total What.\n# TYPE a_total counter\n"
		"a_total{x=\"1\"} 1\na_total{x=\"2\"} 2\n"
		"# HELP b_seconds How long.\n# TYPE b_seconds summary\n"
		"b_seconds_sum 1.5\nb_seconds_count 4\n"
		"# HELP c Which.\n# TYPE c gauge\nc 18446744073709551615\n");
	str_clear(&out);
	figure_put_metrics(&out, rows, 1, v, "pid=\"7\"");
	assert_non_null(strstr(str_c(&out), "\na_total{pid=\"7\",x=\"1\"} 1\n"));
	str_clear(&out);
	figure_put_metrics(&out, &rows[5], 1, v, "pid=\"7\"");
	assert_non_null(strstr(str_c(&out), "\nc{pid=\"7\"} 1\n"));
	str_fini(&out);
}

/* `what` in backticks. */
static void assert_documented(const char *docs, const char *what, size_t len)
{
	struct str quoted = STR_INIT;

	str_addf(&quoted, "`%.*s`", (int)len, what);
	if (!strstr(docs, str_c(&quoted)))
		fail_msg("docs/http.md lacks %s", str_c(&quoted));
	str_fini(&quoted);
}

static void http_md_has_every_metric(void **state)
{
	struct str docs = STR_INIT;

	unit_read_source("docs/http.md", &docs);
	for (size_t t = 0; t < ARRAY_N(tables); t++) {
		for (size_t i = 0; i < tables[t].n; i++) {
			const struct figure_row *row = &tables[t].rows[i];
			const char *value = strchr(row->labels, '"');

			if (!row->metric)
				continue;
			assert_documented(str_c(&docs), row->metric, strlen(row->metric));
			if (value)
				assert_documented(str_c(&docs), value + 1, strlen(value) - 2);
		}
	}
	str_fini(&docs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_metric_is_announced_once_and_stays_together),
		cmocka_unit_test(every_figure_is_shown_somewhere_and_no_path_twice),
		cmocka_unit_test(rows_are_rendered_as_prometheus_reads_them),
		cmocka_unit_test(http_md_has_every_metric),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
