#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "hub.h"
#include "mem.h"

struct channel {
	char *key;
	struct group **groups;
	size_t n, cap;
	UT_hash_handle hh;
};

#define KEY_MAX 512 /* what is longer is cut */

struct key {
	char bytes[KEY_MAX];
	size_t len;
};

static void channel_add(struct key *k, const void *p, size_t len)
{
	if (len > KEY_MAX - k->len)
		len = KEY_MAX - k->len;
	memcpy(k->bytes + k->len, p, len);
	k->len += len;
}

static void make_key(struct key *k, const struct channel_name *name)
{
	char kind = (char)name->kind;

	k->len = 0;
	channel_add(k, &name->tenant_id, sizeof(name->tenant_id));
	channel_add(k, &kind, 1);
	channel_add(k, name->name, strlen(name->name));
	if (!name->key.len)
		return;
	channel_add(k, "", 1);
	channel_add(k, name->key.p, name->key.len);
}

static struct channel *find(struct hub *hub, const struct key *k)
{
	struct channel *ch;

	HASH_FIND(hh, hub->channels, k->bytes, k->len, ch);
	return ch;
}

struct channel *channel_find(struct hub *hub, const struct channel_name *name)
{
	struct key k;

	make_key(&k, name);
	return find(hub, &k);
}

struct group *channel_at(const struct channel *ch, size_t i)
{
	return ch && i < ch->n ? ch->groups[i] : NULL;
}

void channel_join(struct hub *hub, struct group *g, const struct channel_name *name)
{
	struct channel *ch;
	struct key k;

	make_key(&k, name);
	ch = find(hub, &k);
	if (!ch) {
		ch = xcalloc(1, sizeof(*ch));
		ch->key = xmalloc(k.len);
		memcpy(ch->key, k.bytes, k.len);
		HASH_ADD_KEYPTR(hh, hub->channels, ch->key, k.len, ch);
	}
	if (ch->n == ch->cap) {
		ch->cap = ch->cap ? ch->cap * 2 : 4;
		ch->groups = xreallocarray(ch->groups, ch->cap, sizeof(struct group *));
	}
	ch->groups[ch->n++] = g;
}

void channel_leave(struct hub *hub, struct group *g, const struct channel_name *name)
{
	struct channel *ch = channel_find(hub, name);

	for (size_t i = 0; i < ch->n; i++) {
		if (ch->groups[i] == g) {
			ch->groups[i] = ch->groups[--ch->n];
			break;
		}
	}
	if (ch->n == 0) {
		HASH_DEL(hub->channels, ch);
		free(ch->groups);
		free(ch->key);
		free(ch);
	}
}
