/*
 * How fast a session is shown its paced views (stream.h), without a queue: a second cursor.
 *
 *   shown <= the session's cursor     paced views have been shown up to there; what came after it
 *                                     is held until the window is over
 *   acked <= shown                    up to there the client has got them
 *
 * Both cursors outlive the process with their session. Window and rate do not: after a start there
 * is none that is not over. The loop thread's.
 */
#ifndef CMDB_PACE_H
#define CMDB_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_ANY UINT32_MAX /* number of entries */

struct pace {
	uint64_t shown, acked;
	int64_t open_ms;             /* nothing of paced views before that */
	int64_t tokens, refilled_ms; /* thousandths of entries */
};

bool pace_is_open(const struct pace *p, int64_t now);
/* How many entries may go now, at so many a second (0: PACE_ANY). */
uint32_t pace_budget(struct pace *p, uint32_t per_s, int64_t now);
/* Entries of paced views went out, so many of which have a rate: the window begins. */
void pace_spent(struct pace *p, uint32_t entries_n, uint32_t window_ms, int64_t now);

#endif
