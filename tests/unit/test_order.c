/*
 * The ordering rule against a simulated table: transactions take ids in one order and commit or
 * roll back in another, a reader looks now and then as the tail thread does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "order.h"

#define IDS 20000
#define GRACE_MS 20
#define HOLD_MS 5000

enum row { ABSENT, LOCKED, COMMITTED };

/* What the database would say, by id. */
struct table {
	enum row rows[IDS + 1];
	int64_t inserted_at[IDS + 1], ends_at[IDS + 1];
	bool rolls_back[IDS + 1];
	bool out[IDS + 1];
	uint64_t next_id;
	int64_t now_ms;
};

static void tick(struct table *t)
{
	t->now_ms++;
	for (uint64_t id = 1; id < t->next_id; id++) {
		if (t->rows[id] == ABSENT && t->inserted_at[id] == t->now_ms)
			t->rows[id] = LOCKED;
		if (t->rows[id] == LOCKED && t->ends_at[id] == t->now_ms)
			t->rows[id] = t->rolls_back[id] ? ABSENT : COMMITTED;
	}
}

static void begin(struct table *t, int64_t insert_after_ms, int64_t lasts_ms, bool rolls_back)
{
	uint64_t id = t->next_id++;

	t->inserted_at[id] = t->now_ms + insert_after_ms;
	t->ends_at[id] = t->inserted_at[id] + lasts_ms;
	t->rolls_back[id] = rolls_back;
	if (!insert_after_ms)
		t->rows[id] = LOCKED;
}

static struct order_item *item(uint64_t id)
{
	struct order_item *it = xcalloc(1, sizeof(*it));

	it->id = id;
	return it;
}

static void release(struct order *o, struct table *t, uint64_t *last)
{
	struct order_item *it;

	while ((it = order_next(o))) {
		assert_true(it->id > *last);
		assert_false(t->out[it->id]);
		assert_int_equal(t->rows[it->id], COMMITTED);
		t->out[it->id] = true;
		*last = it->id;
		free(it);
	}
}

static size_t fill(struct order *o, const struct table *t, struct span gap)
{
	size_t n = 0;

	for (uint64_t id = gap.first; id <= gap.last; id++) {
		struct order_item *it;

		if (t->rows[id] != COMMITTED)
			continue;
		it = item(id);
		if (order_fill(o, it))
			n++;
		else
			free(it);
	}
	return n;
}

static bool any(const struct table *t, struct span gap, enum row what)
{
	for (uint64_t id = gap.first; id <= gap.last; id++)
		if (t->rows[id] == what)
			return true;
	return false;
}

/* One cycle of the tail thread. */
static void look(struct order *o, struct table *t, uint64_t *last)
{
	struct span gap;
	enum order_age age;

	for (uint64_t id = o->seen + 1; id < t->next_id; id++)
		if (t->rows[id] == COMMITTED)
			order_add(o, item(id));
	order_sample(o, t->now_ms);
	for (;;) {
		release(o, t, last);
		if (!order_gap(o, t->now_ms, &gap, &age))
			return;
		assert_int_not_equal(age, ORDER_EXPIRED);
		if (age == ORDER_OLD && any(t, gap, LOCKED))
			return;
		if (age == ORDER_OLD && !any(t, gap, COMMITTED)) {
			order_gap_dead(o, gap);
			continue;
		}
		if (!fill(o, t, gap))
			return;
	}
}

/* long_percent of the transactions last up to 300 ms, the others up to 3. */
static void simulate(unsigned seed, long long_percent, int64_t grace_ms, size_t *missed)
{
	struct table *t = xcalloc(1, sizeof(*t));
	struct order *o = xmalloc(sizeof(*o));
	struct order_item *it;
	uint64_t last = 0;
	int64_t end;

	srandom(seed);
	t->next_id = 1;
	order_init(o, 0, grace_ms, HOLD_MS);
	while (t->next_id < 3000) {
		for (long n = random() % 6; n > 0; n--)
			begin(t, random() % 3,
				random() % 100 < long_percent ? random() % 300 + 1
							      : random() % 3 + 1,
				random() % 10 == 0);
		tick(t);
		if (random() % 3 == 0)
			look(o, t, &last);
	}
	end = t->now_ms + 400;
	while (t->now_ms < end) {
		tick(t);
		look(o, t, &last);
	}
	*missed = 0;
	for (uint64_t id = 1; id < t->next_id; id++)
		*missed += t->rows[id] == COMMITTED && !t->out[id];
	while ((it = order_drain(o)))
		free(it);
	free(o);
	free(t);
}

static void test_nothing_is_missed(void **state)
{
	for (unsigned seed = 1; seed <= 20; seed++) {
		size_t missed;

		simulate(seed, seed % 2 ? 25 : 0, GRACE_MS, &missed);
		assert_int_equal(missed, 0);
	}
}

/* The simulation can fail: without a grace time ids are passed before their rows are there. */
static void test_without_grace_it_misses(void **state)
{
	size_t total = 0, missed;

	for (unsigned seed = 1; seed <= 20; seed++) {
		simulate(seed, 0, 0, &missed);
		total += missed;
	}
	assert_true(total > 0);
}

static void test_announced_is_never_dead(void **state)
{
	struct order *o = xmalloc(sizeof(*o));
	struct span gap, late;
	enum order_age age;
	struct order_item *it = item(2);

	order_init(o, 0, GRACE_MS, HOLD_MS);
	assert_false(order_announce(o, 1, 0, &late));
	assert_true(order_is_awaited(o, 1000));
	order_add(o, it);
	order_sample(o, 0);
	assert_true(order_gap(o, 1000, &gap, &age));
	assert_int_equal(age, ORDER_YOUNG);
	assert_int_equal(gap.first, 1);
	assert_int_equal(gap.last, 1);
	it = item(1);
	assert_true(order_fill(o, it));
	assert_false(order_fill(o, it));
	assert_false(order_is_awaited(o, 1000));
	for (uint64_t id = 1; id <= 2; id++) {
		it = order_next(o);
		assert_non_null(it);
		assert_int_equal(it->id, id);
		free(it);
	}
	assert_null(order_next(o));
	free(o);
}

/* A promise that is not kept (rolled back, deleted again) holds nobody for long. */
static void test_a_promise_ends(void **state)
{
	struct order *o = xmalloc(sizeof(*o));
	struct span gap, late;
	enum order_age age;

	for (int is_deleted = 0; is_deleted < 2; is_deleted++) {
		int64_t then = is_deleted ? 1000 : ORDER_PROMISE_MS;

		order_init(o, 0, GRACE_MS, HOLD_MS);
		assert_false(order_announce(o, 1, 0, &late));
		assert_false(order_announce(o, 3, 0, &late));
		order_add(o, item(2));
		order_sample(o, 0);
		assert_true(order_is_awaited(o, 1000));
		assert_true(order_gap(o, 1000, &gap, &age));
		assert_int_equal(age, ORDER_YOUNG);
		if (is_deleted)
			order_unpromise(o);
		assert_false(order_is_awaited(o, then));
		assert_true(order_gap(o, then, &gap, &age));
		assert_int_equal(age, ORDER_OLD);
		order_gap_dead(o, gap);
		free(order_next(o));
	}
	free(o);
}

static void test_held_too_long(void **state)
{
	struct order *o = xmalloc(sizeof(*o));
	struct span gap, late;
	enum order_age age;

	order_init(o, 10, GRACE_MS, HOLD_MS);
	order_add(o, item(14));
	assert_true(order_gap(o, 100, &gap, &age));
	assert_true(order_gap(o, 100 + HOLD_MS, &gap, &age));
	assert_int_equal(age, ORDER_EXPIRED);
	assert_int_equal(gap.first, 11);
	assert_int_equal(gap.last, 13);
	order_gap_give_up(o, gap);
	free(order_next(o));
	assert_int_equal(o->tail, 14);
	/* Each late one once, in whatever order they come. */
	assert_true(order_announce(o, 12, 0, &late));
	assert_int_equal(late.first, 12);
	assert_int_equal(late.last, 13);
	order_late_seen(o, 12);
	assert_false(order_announce(o, 12, 0, &late));
	assert_true(order_announce(o, 11, 0, &late));
	assert_true(order_announce(o, 13, 0, &late));
	order_late_seen(o, 11);
	order_late_seen(o, 13);
	assert_false(order_announce(o, 11, 0, &late));
	assert_false(order_announce(o, 13, 0, &late));
	/* What was released is not late. */
	assert_false(order_announce(o, 14, 0, &late));
	free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_missed),
		cmocka_unit_test(test_without_grace_it_misses),
		cmocka_unit_test(test_announced_is_never_dead),
		cmocka_unit_test(test_a_promise_ends),
		cmocka_unit_test(test_held_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
