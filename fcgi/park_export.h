/*
 * GET /api/logs?format=ndjson: all lines that are wanted, in pieces. A job thread looks for one
 * piece (log_search.h), the loop sends it, and only when it is written is the next one looked for.
 * So whoever reads slowly costs one piece of memory and nothing of the database or of any thread,
 * and is dropped when he has read nothing for PARK_WRITE_STALL_MS, as everybody is.
 *
 * The status is sent with the first piece. What fails behind it (the database stays away, the
 * caller's token is no good any more, the process stops) is told by a last line {"error":{"code",
 * "message","next"}}, whose `next` is where to go on.
 */
#ifndef CMDB_PARK_EXPORT_H
#define CMDB_PARK_EXPORT_H

#include "log_search.h"
#include "park.h"

#define PARK_EXPORT_TYPE "application/x-ndjson"

struct park_export {
	struct park park;
	/* What the worker fills in. */
	struct log_search search;
	uint64_t left; /* entries that are still wanted */

	/* A job thread's, or the loop's. */
	struct str piece;
	enum err failed; /* of the last work */
	/* The loop's. */
	bool has_head;
};

struct park_export *park_export_new(void);

#endif
