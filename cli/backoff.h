/*
 * How long to wait before what failed is tried again: doubling, with up to a half taken off so that
 * many do not come at once, and not sooner than the server asked. That it fails, and that it goes
 * well again, is said once. {0} is one that nothing failed for. Does not wait itself.
 */
#ifndef CMDB_CLI_BACKOFF_H
#define CMDB_CLI_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct rest_answer;

struct backoff {
	int64_t ms; /* the last wait before dice; 0: it went well the last time */
	bool has_told;
};

/* It failed: how many ms to wait. Says why from the second time on: a single miss is a process that
 * died, and no news. */
int64_t backoff_failed(struct backoff *b, unsigned retry_after_s, const char *why);
void backoff_went_well(struct backoff *b);
/* Does this answer say that the same request may go well a little later? */
bool backoff_is_passing(const struct rest_answer *a);

#endif
