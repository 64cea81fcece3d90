/*
 * Rendered answers of ROUTE_CACHED routes, shared by the workers of a process. Any thread.
 *
 * An answer may be served while the shared page's generation of (tenant, topic) is what it was
 * before the SELECT, the page's lease is good and the answer is younger than CACHE_MAX_AGE_MS.
 * Bounded in bytes; the oldest go first.
 */
#ifndef CMDB_CACHE_H
#define CMDB_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm.h"
#include "str.h"

#define CACHE_MAX_AGE_MS 1000
#define CACHE_MAX_BYTES (32u * 1024 * 1024)

/* A rendered answer, counted, immutable. */
struct cached {
	atomic_uint refs;
	char etag[24];
	uint64_t tail;      /* what it is as of at least; 0: not known */
	struct str headers; /* ETag, X-Last-Event-Id, Cache-Control */
	struct str body;
};
/* Takes body (leaving it empty). tail NULL: not known. */
struct cached *cached_new(struct str *body, const uint64_t *tail);
void cached_put(struct cached *c); /* takes NULL */

/* What must hold for an answer, noted before its SELECT. */
struct cache_note {
	const struct shm *page;
	uint32_t gen;
	uint64_t tail;
	int64_t at_ms;
};
/* false if the page is not fresh: then nothing can be kept, nor served. */
bool cache_note(
	struct cache_note *n, const struct shm *page, uint32_t tenant_id, const char *topic);

struct cache;
struct cache *cache_new(void);
void cache_free(struct cache *c); /* takes NULL */
/* A reference of the caller's, or NULL. now: the note made for this request. */
struct cached *cache_get(struct cache *c, uint32_t tenant_id, const char *path, const char *query,
	const struct cache_note *now);
void cache_add(struct cache *c, uint32_t tenant_id, const char *path, const char *query,
	const struct cache_note *note, struct cached *answer);

#endif
