/*
 * POST /api/logs until it went well: entries in batches, each under an Idempotency-Key of its own,
 * so that a batch whose answer was lost is sent again and stored once. An entry that the server
 * refuses is told of and left out; the others of its batch are sent without it. Blocks; one thread
 * a poster.
 */
#ifndef CMDB_CLI_LOGS_POST_H
#define CMDB_CLI_LOGS_POST_H

#include "backoff.h"
#include "bar.h"
#include "cmd.h"
#include "rest.h"

#define LOG_BATCH_MAX 1000
/* Below what cmdb-fcgi and web servers take ([fcgi] max_body). */
#define LOG_BATCH_BYTES (900u * 1024)

struct log_batch {
	struct str text; /* of the entries, JSON objects, with a comma behind each */
	struct log_span {
		size_t at, len; /* in text, without the comma */
		uint64_t line;  /* of the input, to tell of */
	} spans[LOG_BATCH_MAX];
	size_t n;
};

void log_batch_add(struct log_batch *b, const char *json, size_t len, uint64_t line);
/* Must it go before an entry of len bytes is added? */
bool log_batch_is_full(const struct log_batch *b, size_t len);
void log_batch_fini(struct log_batch *b);

struct log_poster {
	struct rest *rest; /* borrowed */
	struct bar *bar;   /* borrowed; NULL: none. Cleared before anything is said */
	bool has_gzip;
	int64_t patience_ms; /* how long one batch is tried; 0: for ever */
	const char *what;    /* an entry is called: "line" */
	/* What it did. */
	uint64_t sent, refused, requests, retries;
	int64_t slowest_ms, all_ms; /* of requests that were answered */
	struct backoff back;
};

/* Sends all that is in b and empties it. CTL_OK: each entry is stored, or was refused and told of.
 * Else it says why; what of b was not stored stays in it. */
enum ctl_exit log_post(struct log_poster *p, struct log_batch *b);

#endif
