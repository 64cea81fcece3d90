/* The ring: what it keeps, and from where on it is complete. */
#include "unit.h"

#include "db.h"
#include "ring.h"

static struct record *make(uint64_t id, size_t payload_len)
{
	struct str payload = STR_INIT;
	struct record *r;

	str_addc(&payload, '"');
	for (size_t i = 0; i < payload_len; i++)
		str_addc(&payload, 'x');
	str_addc(&payload, '"');
	const struct db_val row[RECORD_COLUMNS_N] = {DBV_U(id), DBV_U(1), dbv_s("websites"),
		dbv_s("update"), dbv_s(str_c(&payload)), dbv_s(""), dbv_s(""),
		dbv_s("2026-01-01 00:00:00.000")};

	r = record_new(row);
	str_fini(&payload);
	return r;
}

static void assert_ids(const struct ring *r, const uint64_t *ids, size_t n)
{
	assert_int_equal(r->n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ring_at(r, i)->item.id, ids[i]);
}

static void test_the_oldest_leaves(void **state)
{
	struct ring r;

	ring_init(&r, 3, 1 << 20, 5); /* rounded up to four */
	for (uint64_t id = 6; id <= 14; id += 2)
		ring_push(&r, make(id, 1));
	assert_ids(&r, (uint64_t[]){8, 10, 12, 14}, 4);
	assert_int_equal(r.covered, 6);
	ring_fini(&r);
	assert_int_equal(r.bytes, 0);
}

static void test_bytes_are_bounded_but_the_newest_stays(void **state)
{
	struct record *small = make(1, 1);
	struct ring r;

	ring_init(&r, 64, 3 * record_size(small) + 64, 0);
	ring_push(&r, small);
	ring_push(&r, make(2, 1));
	ring_push(&r, make(3, 1));
	assert_int_equal(r.n, 3);
	ring_push(&r, make(4, 100000));
	assert_ids(&r, (uint64_t[]){4}, 1);
	assert_int_equal(r.covered, 3);
	ring_fini(&r);
}

static void test_what_is_after_a_cursor(void **state)
{
	static const struct {
		uint64_t since;
		size_t at;
	} table[] = {{0, 0}, {9, 0}, {10, 1}, {15, 1}, {20, 2}, {39, 3}, {40, 4}, {UINT64_MAX, 4}};
	struct ring r;

	ring_init(&r, 8, 1 << 20, 0);
	assert_int_equal(ring_after(&r, 0), 0);
	for (uint64_t id = 10; id <= 40; id += 10)
		ring_push(&r, make(id, 1));
	for (size_t i = 0; i < ARRAY_N(table); i++)
		assert_int_equal(ring_after(&r, table[i].since), table[i].at);
	ring_fini(&r);
}

static void test_late_ones_go_to_their_place(void **state)
{
	struct ring r;

	ring_init(&r, 8, 1 << 20, 5);
	ring_push(&r, make(10, 1));
	ring_push(&r, make(20, 1));
	ring_insert(&r, make(15, 1));
	ring_insert(&r, make(6, 1));
	ring_insert(&r, make(25, 1));
	ring_insert(&r, make(15, 1)); /* it is there */
	ring_insert(&r, make(5, 1));  /* the table has it */
	assert_ids(&r, (uint64_t[]){6, 10, 15, 20, 25}, 5);
	ring_fini(&r);
}

static void test_a_late_one_into_a_full_ring(void **state)
{
	struct ring r;

	ring_init(&r, 4, 1 << 20, 0);
	for (uint64_t id = 10; id <= 40; id += 10)
		ring_push(&r, make(id, 1));
	ring_insert(&r, make(25, 1));
	assert_ids(&r, (uint64_t[]){20, 25, 30, 40}, 4);
	assert_int_equal(r.covered, 10);
	/* Making room for it takes what it would be before. */
	ring_insert(&r, make(15, 1));
	assert_ids(&r, (uint64_t[]){25, 30, 40}, 3);
	assert_int_equal(r.covered, 20);
	ring_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_oldest_leaves),
		cmocka_unit_test(test_bytes_are_bounded_but_the_newest_stays),
		cmocka_unit_test(test_what_is_after_a_cursor),
		cmocka_unit_test(test_late_ones_go_to_their_place),
		cmocka_unit_test(test_a_late_one_into_a_full_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
