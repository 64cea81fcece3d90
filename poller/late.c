#include "late.h"

#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "mem.h"
#include "record.h"

#define LATE_MAX 1024 /* that are remembered; the oldest goes */
#define LATE_BYTES_MAX (16u * 1024 * 1024)

struct late_event {
	struct record *record; /* a copy */
	uint64_t after;        /* the tail when it came */
};

struct late {
	struct late_event *events;
	size_t n, bytes;
	size_t fresh_n; /* the last of them: nothing was released since */
};

struct late *late_new(void)
{
	return xcalloc(1, sizeof(struct late));
}

static void late_drop_first(struct late *late)
{
	late->bytes -= record_size(late->events[0].record);
	record_free(late->events[0].record);
	late->n--;
	memmove(late->events, late->events + 1, late->n * sizeof(*late->events));
	if (late->fresh_n > late->n)
		late->fresh_n = late->n;
}

void late_remember(struct late *late, const struct record *r, uint64_t tail)
{
	if (!late->events)
		late->events = xcalloc(LATE_MAX, sizeof(*late->events));
	while (late->n && (late->n == LATE_MAX || late->bytes + record_size(r) > LATE_BYTES_MAX))
		late_drop_first(late);
	late->events[late->n++] = (struct late_event){.record = record_dup(r), .after = tail};
	late->events[late->n - 1].record->is_again = true;
	late->bytes += record_size(r);
	late->fresh_n++;
}

void late_forget(struct late *late)
{
	while (late->n)
		late_drop_first(late);
}

void late_free(struct late *late)
{
	late_forget(late);
	free(late->events);
	free(late);
}

bool late_missed(const struct late *late, const struct group *g, uint64_t since, uint64_t tail)
{
	for (size_t i = late->n; since < tail && i-- > 0;) {
		const struct late_event *e = &late->events[i];

		if (e->record->item.id <= since && since <= e->after && group_wants(g, e->record))
			return true;
	}
	return false;
}

size_t late_fresh_n(const struct late *late)
{
	return late->fresh_n;
}

void late_take_fresh(struct late *late, struct record **records)
{
	for (size_t i = 0; i < late->fresh_n; i++)
		records[i] = late->events[late->n - late->fresh_n + i].record;
	late->fresh_n = 0;
}
