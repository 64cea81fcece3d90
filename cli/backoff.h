/*
 * How long to wait before what failed is tried again: doubling, with up to a half taken off so that
 * many do not come at once, and not sooner than the server asked. {0} is one that nothing failed
 * for. No I/O.
 */
#ifndef CMDB_CLI_BACKOFF_H
#define CMDB_CLI_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct rest_answer;

struct backoff {
	int64_t ms; /* the last wait before dice; 0: it went well the last time */
};

void backoff_reset(struct backoff *b);
int64_t backoff_next_ms(struct backoff *b, unsigned retry_after_s);
/* Does this answer say that the same request may go well a little later? */
bool backoff_is_passing(const struct rest_answer *a);

#endif
