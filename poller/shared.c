#include "shared.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct shared *shared_find(const struct shared_pool *pool, struct slice key)
{
	struct shared *b = NULL;

	if (key.len == SHARED_KEY_SIZE)
		HASH_FIND(hh, pool->by_key, key.p, SHARED_KEY_SIZE, b);
	return b;
}

struct shared *shared_get(struct shared_pool *pool, struct slice bytes)
{
	unsigned char key[SHARED_KEY_SIZE];
	struct shared *b;

	secret_hash_short(key, bytes.p, bytes.len);
	b = shared_find(pool, (struct slice){(const char *)key, sizeof(key)});
	if (b)
		return shared_lend(b);
	b = xmalloc(sizeof(*b) + bytes.len);
	memset(b, 0, sizeof(*b));
	memcpy(b->key, key, sizeof(key));
	b->pool = pool;
	b->loans = 1;
	b->len = bytes.len;
	memcpy(b->bytes, bytes.p, bytes.len);
	HASH_ADD(hh, pool->by_key, key, SHARED_KEY_SIZE, b);
	return b;
}

static void free_unused(struct shared *b)
{
	if (b->refs || b->loans)
		return;
	HASH_DEL(b->pool->by_key, b);
	free(b);
}

struct shared *shared_ref(struct shared *b)
{
	if (b->refs++ == 0)
		b->pool->bytes += b->len;
	return b;
}

void shared_put(struct shared *b)
{
	if (!b || --b->refs)
		return;
	b->pool->bytes -= b->len;
	free_unused(b);
}

struct shared *shared_lend(struct shared *b)
{
	b->loans++;
	return b;
}

void shared_return(struct shared *b)
{
	b->loans--;
	free_unused(b);
}
