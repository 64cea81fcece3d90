#include "turns.h"

#include <pthread.h>
#include <stdlib.h>

#include "mem.h"

#define TURNS_MAX 64 /* at work at a time, of all: more than there are threads for it */

struct turn {
	uint64_t user_id, apikey_id;
};

struct turns {
	pthread_mutex_t lock;
	struct turn v[TURNS_MAX];
	size_t n;
};

struct turns *turns_new(void)
{
	struct turns *t = xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void turns_free(struct turns *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool turn_is_of(const struct turn *t, const struct principal *who)
{
	return t->user_id == who->user_id && t->apikey_id == who->apikey_id;
}

bool turns_take(struct turns *t, const struct principal *who, size_t most)
{
	size_t own = 0;
	bool may;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++)
		own += turn_is_of(&t->v[i], who);
	may = own < most && t->n < TURNS_MAX;
	if (may)
		t->v[t->n++] = (struct turn){who->user_id, who->apikey_id};
	pthread_mutex_unlock(&t->lock);
	return may;
}

void turns_give(struct turns *t, const struct principal *who)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n; i++) {
		if (!turn_is_of(&t->v[i], who))
			continue;
		t->v[i] = t->v[--t->n];
		break;
	}
	pthread_mutex_unlock(&t->lock);
}
