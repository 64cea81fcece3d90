#include "order.h"

#include <assert.h>
#include <string.h>

void order_init(struct order *o, uint64_t tail, int64_t grace_ms, int64_t hold_limit_ms)
{
	memset(o, 0, sizeof(*o));
	TAILQ_INIT(&o->pending);
	o->tail = o->seen = o->largest = tail;
	o->grace_ms = grace_ms;
	o->hold_limit_ms = hold_limit_ms;
}

struct order_item *order_drain(struct order *o)
{
	struct order_item *item = TAILQ_FIRST(&o->pending);

	if (item) {
		TAILQ_REMOVE(&o->pending, item, entry);
		o->pending_n--;
	} else {
		o->seen = o->tail;
	}
	return item;
}

static void promises_forget(struct order *o, uint64_t id)
{
	for (size_t i = 0; i < o->promises_n; i++) {
		if (o->promises[i].id == id) {
			o->promises_n--;
			memmove(&o->promises[i], &o->promises[i + 1],
				(o->promises_n - i) * sizeof(o->promises[0]));
			return;
		}
	}
}

void order_add(struct order *o, struct order_item *item)
{
	assert(item->id > o->seen);
	TAILQ_INSERT_TAIL(&o->pending, item, entry);
	o->pending_n++;
	o->seen = item->id;
	if (o->largest < item->id)
		o->largest = item->id;
	promises_forget(o, item->id);
}

bool order_fill(struct order *o, struct order_item *item)
{
	struct order_item *at;

	if (item->id <= o->tail)
		return false;
	TAILQ_FOREACH (at, &o->pending, entry) {
		if (at->id == item->id)
			return false;
		if (at->id > item->id)
			break;
	}
	if (!at)
		return false;
	TAILQ_INSERT_BEFORE(at, item, entry);
	o->pending_n++;
	promises_forget(o, item->id);
	return true;
}

static struct order_sample *sample_at(struct order *o, size_t i)
{
	return &o->samples[(o->samples_at + i) % ORDER_SAMPLES_N];
}

/* Samples stand at least grace/8 apart, so ORDER_SAMPLES_N of them span several grace times however
 * often the table is read. */
void order_sample(struct order *o, int64_t now_ms)
{
	struct order_sample *last = o->samples_n ? sample_at(o, o->samples_n - 1) : NULL;

	if (last && (last->largest == o->largest || now_ms - last->at_ms < o->grace_ms / 8))
		return;
	if (o->samples_n == ORDER_SAMPLES_N) {
		o->samples_at = (o->samples_at + 1) % ORDER_SAMPLES_N;
		o->samples_n--;
	}
	*sample_at(o, o->samples_n++) =
		(struct order_sample){.at_ms = now_ms, .largest = o->largest};
}

/* The largest id as it was one grace time ago; 0 when that is not known. */
static uint64_t largest_then(struct order *o, int64_t now_ms)
{
	for (size_t i = o->samples_n; i > 0; i--) {
		struct order_sample *s = sample_at(o, i - 1);

		if (now_ms - s->at_ms >= o->grace_ms)
			return s->largest;
	}
	return 0;
}

static bool is_in_dead(const struct order *o, uint64_t id, struct span *rest)
{
	for (size_t i = 0; i < ORDER_DEAD_N; i++) {
		if (o->dead[i].first <= id && id <= o->dead[i].last) {
			*rest = (struct span){id, o->dead[i].last};
			return true;
		}
	}
	return false;
}

static void dead_add(struct order *o, struct span span)
{
	if (span.first > span.last)
		return;
	o->dead[o->dead_at] = span;
	o->dead_at = (o->dead_at + 1) % ORDER_DEAD_N;
}

void order_late_seen(struct order *o, uint64_t id)
{
	for (size_t i = 0; i < ORDER_DEAD_N; i++) {
		struct span *dead = &o->dead[i];

		if (dead->first <= id && id <= dead->last) {
			struct span above = {id + 1, dead->last};

			*dead = id == dead->first ? (struct span){1, 0}
						  : (struct span){dead->first, id - 1};
			dead_add(o, above);
			return;
		}
	}
}

static bool is_pending(const struct order *o, uint64_t id)
{
	struct order_item *at;

	TAILQ_FOREACH_REVERSE(at, &o->pending, order_list, entry)
	{
		if (at->id <= id)
			return at->id == id;
	}
	return false;
}

bool order_announce(struct order *o, uint64_t id, int64_t now_ms, struct span *late)
{
	if (id <= o->tail)
		return is_in_dead(o, id, late);
	if (o->largest < id)
		o->largest = id;
	if (id <= o->seen && is_pending(o, id))
		return false;
	/* One beyond the table's room is a hint less: its lock still keeps its gap alive. */
	if (o->promises_n < ORDER_PROMISES_N)
		o->promises[o->promises_n++] = (struct order_promise){.id = id, .since_ms = now_ms};
	return false;
}

void order_unpromise(struct order *o)
{
	o->promises_n = 0;
}

/* A promised id that was read before its announcement came is settled or pending already; one that
 * does not come was deleted again, or is of a server that has changed its mind. */
static void promises_settle(struct order *o, int64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->promises_n; i++)
		if (o->promises[i].id > o->tail &&
			now_ms - o->promises[i].since_ms < ORDER_PROMISE_MS)
			o->promises[kept++] = o->promises[i];
	o->promises_n = kept;
}

bool order_is_awaited(struct order *o, int64_t now_ms)
{
	promises_settle(o, now_ms);
	return o->promises_n > 0;
}

static bool has_promised(const struct order *o, struct span gap)
{
	for (size_t i = 0; i < o->promises_n; i++)
		if (gap.first <= o->promises[i].id && o->promises[i].id <= gap.last)
			return true;
	return false;
}

bool order_gap(struct order *o, int64_t now_ms, struct span *gap, enum order_age *age)
{
	struct order_item *first = TAILQ_FIRST(&o->pending);

	promises_settle(o, now_ms);
	if (!first || first->id == o->tail + 1) {
		o->gap_first = 0;
		return false;
	}
	gap->first = o->tail + 1;
	gap->last = first->id - 1;
	if (o->gap_first != gap->first) {
		o->gap_first = gap->first;
		o->gap_since_ms = now_ms;
	}
	if (now_ms - o->gap_since_ms >= o->hold_limit_ms)
		*age = ORDER_EXPIRED;
	else if (gap->last < largest_then(o, now_ms) && !has_promised(o, *gap))
		*age = ORDER_OLD;
	else
		*age = ORDER_YOUNG;
	return true;
}

static void gap_pass(struct order *o, struct span gap)
{
	assert(gap.first == o->tail + 1);
	dead_add(o, gap);
	o->tail = gap.last;
	o->gap_first = 0;
}

void order_gap_dead(struct order *o, struct span gap)
{
	o->dead_ids += gap.last - gap.first + 1;
	gap_pass(o, gap);
}

void order_gap_give_up(struct order *o, struct span gap)
{
	gap_pass(o, gap);
}

struct order_item *order_next(struct order *o)
{
	struct order_item *first = TAILQ_FIRST(&o->pending);

	if (!first || first->id != o->tail + 1)
		return NULL;
	TAILQ_REMOVE(&o->pending, first, entry);
	o->pending_n--;
	o->tail = first->id;
	return first;
}
