#include "options.h"

#include <getopt.h>
#include <stdlib.h>

#include "log.h"

#define ROWS_MAX 32

static long number(const struct option_row *row, const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < row->min || n > row->max)
		log_fatal(2, "--%s %s: want a number from %ld to %ld", row->name, text, row->min,
			row->max);
	return n;
}

void options_parse(
	const struct option_row *rows, void *into, int argc, char **argv, const char *usage)
{
	struct option longs[ROWS_MAX + 1] = {0};
	int got, found = 0;

	for (size_t i = 0; rows[i].name && i < ROWS_MAX; i++) {
		longs[i].name = rows[i].name;
		longs[i].has_arg = rows[i].kind != OPTION_FLAG;
	}
	while ((got = getopt_long(argc, argv, "", longs, &found)) != -1) {
		const struct option_row *row = &rows[found];
		void *field = (char *)into + row->at;

		if (got != 0)
			log_fatal(2, "%s", usage);
		if (row->kind == OPTION_TEXT)
			*(const char **)field = optarg;
		else
			*(long *)field = row->kind == OPTION_NUMBER ? number(row, optarg) : 1;
	}
	if (optind != argc)
		log_fatal(2, "%s", usage);
}
