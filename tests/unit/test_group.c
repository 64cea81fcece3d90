/* Groups: whoever wants the same is one, an event finds exactly those that want it, and one that
 * nobody is in any more goes. */
#include "unit.h"

#include "conn.h"
#include "fanout.h"
#include "group.h"
#include "record.h"
#include "wait.h"
#include "world.h"

/* topics, rooms: separated by commas; "*": all. */
static const struct want {
	uint32_t tenant_id;
	const char *topics, *rooms;
	bool only_rooms, rooms_any_topic;
} wants[] = {
	{1, "websites", "", false, false},
	{1, "websites,servers", "", false, false},
	{1, "*", "", false, false},
	{2, "*", "", false, false},
	{1, "websites", "user:7", false, false},
	{1, "", "user:7,role:admin", false, true},
	{1, "websites", "role:admin", true, false},
	{1, "", "*", false, true},
};

static const struct happening {
	uint32_t tenant_id;
	const char *topic, *room;
	unsigned wanted; /* bits: by which of the wants */
} events[] = {
	{1, "websites", "", 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4},
	{1, "servers", "", 1 << 1 | 1 << 2},
	{1, "tasks", "", 1 << 2},
	{2, "websites", "", 1 << 3},
	{3, "websites", "", 0},
	{1, "websites", "user:7", 1 << 4 | 1 << 5 | 1 << 7},
	{1, "tasks", "user:7", 1 << 5 | 1 << 7},
	{1, "websites", "role:admin", 1 << 5 | 1 << 6 | 1 << 7},
	{1, "websites", "user:8", 1 << 7},
	{2, "websites", "user:7", 0},
	{1, "_auth", "", 0},
};

static bool add(struct strlist *l, const char *names)
{
	for (size_t len; *names; names += len + (names[len] == ',')) {
		len = strcspn(names, ",");
		if (len == 1 && *names == '*')
			return true;
		strlist_add(l, names, len);
	}
	return false;
}

static struct group *group_of(struct hub *hub, const struct want *w)
{
	struct wire_interest want = {.tenant_id = w->tenant_id,
		.format = WIRE_JSON,
		.limit = 10,
		.only_rooms = w->only_rooms,
		.rooms_any_topic = w->rooms_any_topic};
	struct str key = STR_INIT;
	struct group *g;

	want.all_topics = add(&want.topics, w->topics);
	want.all_rooms = add(&want.rooms, w->rooms);
	wire_interest_put(&key, &want);
	g = group_get(hub, key.p, key.len);
	assert_ptr_equal(group_get(hub, key.p, key.len), g);
	str_fini(&key);
	wire_interest_fini(&want);
	return g;
}

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	world_begin(w, NULL);
	*state = w;
	return 0;
}

static int end(void **state)
{
	world_end(*state);
	free(*state);
	return 0;
}

static void test_who_wants_what(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_N(events); i++) {
		struct record *r =
			world_record(i + 1, events[i].tenant_id, events[i].topic, events[i].room);

		for (size_t k = 0; k < ARRAY_N(wants); k++)
			if (group_wants(group_of(w->hub, &wants[k]), r) !=
				(bool)(events[i].wanted & 1u << k))
				fail_msg("event %zu, want %zu", i, k);
		record_free(r);
	}
}

/* The channels lead to the same groups as a look at each. */
static void test_who_is_hit(void **state)
{
	static const struct waiter_kind kind = {.has_timeout = false};
	struct world *w = *state;
	struct hub *hub = w->hub;
	struct peer p;

	peer_begin(&p, w, 1);
	for (size_t i = 0; i < ARRAY_N(events); i++) {
		struct conn *c = TAILQ_FIRST(&hub->conns);
		struct record *r;

		for (size_t k = 0; k < ARRAY_N(wants); k++) {
			struct group *g = group_of(hub, &wants[k]);

			wait_park(wait_new(c, k, g, &kind, NULL));
		}
		r = world_record(
			WORLD_TAIL + 1 + i, events[i].tenant_id, events[i].topic, events[i].room);
		fanout(hub, &r, 1, r->item.id, false);
		for (size_t k = 0; k < ARRAY_N(wants); k++)
			if (!wait_find(c, k) != (bool)(events[i].wanted & 1u << k))
				fail_msg("event %zu, want %zu", i, k);
		wait_conn_gone(c);
		record_free(r);
	}
	peer_end(&p);
}

static void test_of_a_room(void **state)
{
	struct world *w = *state;
	size_t n = 0;

	for (size_t k = 0; k < ARRAY_N(wants); k++)
		group_of(w->hub, &wants[k]);
	while (group_of_room(w->hub, 1, "user:7", n))
		n++;
	assert_true(n >= 2);
	assert_null(group_of_room(w->hub, 2, "user:7", 0));
	assert_null(group_of_room(w->hub, 1, "user:9", 0));
}

static void test_swept(void **state)
{
	struct world *w = *state;
	unsigned before = HASH_COUNT(w->hub->groups);
	struct group *kept = group_of(w->hub, &wants[0]);

	for (size_t k = 0; k < ARRAY_N(wants); k++)
		group_of(w->hub, &wants[k]);
	assert_int_equal(HASH_COUNT(w->hub->groups), before + ARRAY_N(wants));
	kept->waiters_n++;
	groups_sweep(w->hub);
	assert_int_equal(HASH_COUNT(w->hub->groups), before + 1);
	assert_ptr_equal(group_of(w->hub, &wants[0]), kept);
	kept->waiters_n--;
	groups_sweep(w->hub);
	assert_int_equal(HASH_COUNT(w->hub->groups), before);
	/* And with it the ways to it. */
	assert_null(group_of_room(w->hub, 1, "user:7", 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_who_wants_what),
		TEST(test_who_is_hit),
		TEST(test_of_a_room),
		TEST(test_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
