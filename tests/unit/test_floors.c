/* Whose cursor expires by which floor. */
#include "unit.h"

#include <stdlib.h>

#include "floors.h"

#define LASTING FLOORS_ONE(RETENTION_LASTING)
#define BRIEF FLOORS_ONE(RETENTION_BRIEF)

static void add(struct strlist *l, const char *s)
{
	strlist_add(l, s, strlen(s));
}

struct wish {
	const char *topics[3], *room;
	bool all_topics, only_rooms, rooms_any_topic;
	unsigned classes;
};

static void an_interest_is_promised_what_it_names(void **state)
{
	static const struct wish wishes[] = {
		{{"websites"}, NULL, false, false, false, LASTING},
		{{"logs"}, NULL, false, false, false, BRIEF},
		{{"logs", "stats"}, "user:7", false, false, false, BRIEF},
		{{"websites", "logs"}, NULL, false, false, false, LASTING | BRIEF},
		{{"unheard-of"}, NULL, false, false, false, LASTING},
		{{NULL}, NULL, true, false, false, FLOORS_ALL},
		/* a socket of who may read the inventory, and one of who may read nothing */
		{{"websites", "nodes"}, "user:7", false, false, true, LASTING},
		{{NULL}, "user:7", false, false, true, LASTING},
		/* GET /events?room=user:7 */
		{{"websites"}, "user:7", false, true, true, LASTING},
		{{"websites", "logs"}, "user:7", false, true, true, FLOORS_ALL},
		{{NULL}, NULL, false, false, false, 0},
	};

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		const struct wish *w = &wishes[i];
		struct wire_interest in = {.tenant_id = 1,
			.format = WIRE_JSON,
			.limit = 10,
			.all_topics = w->all_topics,
			.only_rooms = w->only_rooms,
			.rooms_any_topic = w->rooms_any_topic};

		for (size_t k = 0; k < 3 && w->topics[k]; k++)
			add(&in.topics, w->topics[k]);
		if (w->room)
			add(&in.rooms, w->room);
		assert_int_equal(floors_classes(&in), w->classes);
		wire_interest_fini(&in);
	}
}

static void a_view_on_asking_counts(void **state)
{
	struct wire_interest in = {.tenant_id = 1, .format = WIRE_SOCKET, .limit = 10};

	add(&in.topics, "websites");
	add(&in.topics, "stats"); /* by right: nobody has asked for it */
	assert_int_equal(floors_classes(&in), LASTING);
	wire_interest_add_view(&in, (struct slice){"logs", 4}, 0, (struct slice){"", 0});
	assert_int_equal(floors_classes(&in), FLOORS_ALL);
	wire_interest_fini(&in);
}

static void a_cursor_expires_by_its_own_classes(void **state)
{
	const struct floors f = {{100, 5000}};

	assert_int_equal(floors_min(&f, 0), 0);
	assert_int_equal(floors_min(&f, LASTING), 100);
	assert_int_equal(floors_min(&f, BRIEF), 5000);
	assert_int_equal(floors_min(&f, FLOORS_ALL), 5000);
}

static void floors_ascend_and_never_come_down(void **state)
{
	const struct db_val row[RETENTION_N] = {DBV_U(70), DBV_U(50)};
	struct floors f = floors_of_row(row);

	assert_int_equal(f.of[RETENTION_LASTING], 70);
	assert_int_equal(f.of[RETENTION_BRIEF], 70);
	assert_false(floors_raise(&f, &(struct floors){{60, 70}}));
	assert_true(floors_raise(&f, &(struct floors){{60, 90}}));
	assert_int_equal(f.of[RETENTION_LASTING], 70);
	assert_int_equal(f.of[RETENTION_BRIEF], 90);
	assert_true(floors_raise(&f, &(struct floors){{95, 0}}));
	assert_int_equal(f.of[RETENTION_BRIEF], 95);
}

static void the_page_has_them(void **state)
{
	struct shm *page = calloc(1, sizeof(*page));
	struct floors f = {{7, 9}};

	assert_non_null(page);
	floors_publish(page, &f);
	f = floors_of_page(page);
	assert_int_equal(f.of[RETENTION_LASTING], 7);
	assert_int_equal(f.of[RETENTION_BRIEF], 9);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interest_is_promised_what_it_names),
		cmocka_unit_test(a_view_on_asking_counts),
		cmocka_unit_test(a_cursor_expires_by_its_own_classes),
		cmocka_unit_test(floors_ascend_and_never_come_down),
		cmocka_unit_test(the_page_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
