#include "grave.h"

#include <stdlib.h>

#include "mem.h"

struct dead {
	void *thing;
	void (*destroy)(void *thing);
};

void grave_init(
	struct grave *g, struct event_base *base, event_callback_fn on_safe_point, void *arg)
{
	*g = (struct grave){.n = 0};
	event_assign(&g->safe_point, base, -1, 0, on_safe_point, arg);
}

void grave_empty(struct grave *g)
{
	for (size_t i = 0; i < g->n; i++)
		g->dead[i].destroy(g->dead[i].thing);
	g->n = 0;
}

void grave_fini(struct grave *g)
{
	grave_empty(g);
	event_del(&g->safe_point);
	free(g->dead);
}

void grave_add(struct grave *g, void *thing, void (*destroy)(void *thing))
{
	if (g->n == 0)
		event_active(&g->safe_point, EV_TIMEOUT, 0);
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 64;
		g->dead = xreallocarray(g->dead, g->cap, sizeof(*g->dead));
	}
	g->dead[g->n++] = (struct dead){thing, destroy};
}
