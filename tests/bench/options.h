/* Long options of the programs here, as a table: each row sets one field of a struct. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stddef.h>

enum option_kind {
	OPTION_TEXT,   /* const char *, borrowed from argv */
	OPTION_NUMBER, /* long, min..max */
	OPTION_FLAG,   /* long, set to 1 */
};

struct option_row {
	const char *name;
	size_t at; /* offsetof() the field */
	enum option_kind kind;
	long min, max;
};

/* Sets what argv[1..] says and leaves other fields alone. rows ends with a NULL name. Exits 2 at
 * anything that is no option of them, with usage. */
void options_parse(
	const struct option_row *rows, void *into, int argc, char **argv, const char *usage);

#endif
