#include "pace.h"

bool pace_is_open(const struct pace *p, int64_t now)
{
	return now >= p->open_ms;
}

uint32_t pace_budget(struct pace *p, uint32_t per_s, int64_t now)
{
	int64_t most = (int64_t)per_s * 1000;

	if (!per_s)
		return PACE_ANY;
	/* Full after a second, and at the beginning. */
	if (!p->refilled_ms || now - p->refilled_ms >= 1000)
		p->tokens = most;
	else
		p->tokens += (now - p->refilled_ms) * per_s;
	if (p->tokens > most)
		p->tokens = most;
	p->refilled_ms = now;
	return (uint32_t)(p->tokens / 1000);
}

void pace_spent(struct pace *p, uint32_t entries_n, uint32_t window_ms, int64_t now)
{
	p->tokens -= (int64_t)entries_n * 1000;
	p->open_ms = now + window_ms;
}
