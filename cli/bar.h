/*
 * A progress bar on standard error for what takes long; nothing at all where that is no terminal.
 */
#ifndef CMDB_CLI_BAR_H
#define CMDB_CLI_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct bar {
	bool is_on;
	int64_t drawn_ms; /* when, by the monotonic clock */
};

void bar_init(struct bar *b);
/* done of total; what may stand behind it ("" for nothing). total 0: how much there will be is not
 * known, and only the text stands there. At most some ten times a second. */
void bar_draw(struct bar *b, uint64_t done, uint64_t total, const char *text);
/* Takes it away, so that something else can be said. */
void bar_clear(struct bar *b);

#endif
