#include "watch.h"

#include <assert.h>
#include <string.h>

#include "log.h"

void watch_drop_first(struct watch *w)
{
	assert(w->n > 0);
	memmove(w->spans, w->spans + 1, --w->n * sizeof(w->spans[0]));
}

void watch_add(struct watch *w, struct span span)
{
	if (span.first > span.last)
		return;
	for (size_t i = 0; i < w->n; i++)
		if (w->spans[i].first <= span.first && span.last <= w->spans[i].last)
			return;
	if (w->n == WATCH_MAX) {
		log_warn("watch_lost",
			"too many given-up ranges: %llu..%llu is not watched any more",
			(unsigned long long)w->spans[0].first,
			(unsigned long long)w->spans[0].last);
		watch_drop_first(w);
	}
	w->spans[w->n++] = span;
}
