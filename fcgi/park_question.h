/*
 * Requests that are held until the poller has answered a question (ASK, wire.h). The worker fills
 * in a struct park_question; what becomes of it then is park.h's life, for this kind: ASK -> ANSWER
 * -> its JSON as `data`, or 422 with what is wrong with the arguments. While the poller is away it
 * is waited for; past PARK_QUESTION_MS, 503.
 */
#ifndef CMDB_PARK_QUESTION_H
#define CMDB_PARK_QUESTION_H

#include "park.h"
#include "str.h"

#define PARK_QUESTION_MS 5000

struct park_question {
	struct park park;
	/* What the worker fills in. */
	const char *question; /* borrowed for ever; NULL: it is a cast */
	uint32_t tenant_id;
	struct str arguments; /* of a cast: its args */
	struct str room;      /* of a cast; "": all */

	/* The loop's. */
	bool was_said;
};

struct park_question *park_question_new(void);

#endif
