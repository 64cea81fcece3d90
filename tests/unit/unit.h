/*
 * What unit tests share. A test is one file test_<module>.c with a main() that runs its group.
 */
#ifndef CMDB_UNIT_H
#define CMDB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

#define ARRAY_N(a) (sizeof(a) / sizeof((a)[0]))

/* A copy without a byte to spare, so that the sanitizers see who reads past the end. */
static inline char *unit_exact(const char *p, size_t len)
{
	char *copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, p, len);
	return copy;
}

/* A file of the source tree: CMDB_SRCDIR, which the Makefile sets, says where that is. */
static inline void unit_read_source(const char *name, struct str *out)
{
	const char *dir = getenv("CMDB_SRCDIR");
	struct str path = STR_INIT;
	int c;

	str_addf(&path, "%s/%s", dir ? dir : ".", name);
	FILE *f = fopen(path.p, "r");
	if (!f)
		fail_msg("%s cannot be read", path.p);
	while ((c = getc(f)) != EOF)
		str_addc(out, (char)c);
	fclose(f);
	str_fini(&path);
}

#endif
