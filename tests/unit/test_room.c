/* Who may be in which room; with a table of streams of its own, of which one adds a kind. */
#include "unit.h"

#include "room.h"
#include "stream.h"

static bool may_ticket(const struct principal *who, const char *id)
{
	return strcmp(id, "secret") != 0 && perm_has(who, "tickets:read");
}

static const struct room_kind ticket = {.name = "ticket", .may = may_ticket};

static void add_own_desk(const struct principal *who, struct strlist *rooms)
{
	strlist_add(rooms, "desk:1", 6);
}

static bool may_desk(const struct principal *who, const char *id)
{
	return strcmp(id, "1") == 0;
}

static const struct room_kind desk = {.name = "desk", .add_own = add_own_desk, .may = may_desk};

static const struct room_kind memo = {.name = "memo"};

const struct stream streams[] = {
	{.topic = "plain"},
	{.topic = "tickets", .room = &ticket},
	{.topic = "ticket-messages", .room = &ticket},
	{.topic = "desks", .room = &desk},
	{.topic = "chairs", .room = &desk},
	{.topic = "memos", .perm = "office:see", .room = &memo},
	{0},
};

static struct principal ann_of(const char *perm)
{
	struct principal ann = {.user_id = 7, .tenant_id = 3};

	strlist_add(&ann.roles, "editor", 6);
	strlist_add(&ann.roles, "night shift: a", 14);
	strlist_add(&ann.departments, "tech", 4);
	strlist_add(&ann.perms, perm, strlen(perm));
	return ann;
}

static void kinds_are_found(void **state)
{
	static const char *const known[] = {"user:7", "role:", "department:a:b", "ticket:1"};
	static const char *const unknown[] = {
		"", ":", "user", "users:7", "use:7", "User:7", "ticket", "den", ":user:7"};

	for (size_t i = 0; i < ARRAY_N(known); i++)
		assert_non_null(room_kind_find(known[i]));
	for (size_t i = 0; i < ARRAY_N(unknown); i++)
		assert_null(room_kind_find(unknown[i]));
	assert_ptr_equal(room_kind_find("ticket:1"), &ticket);
}

struct trial {
	const char *perm, *room;
	bool may;
};

static void says_who_may_be_in_one(void **state)
{
	static const struct trial cases[] = {
		{"nodes:read", "user:7", true},
		{"nodes:read", "user:07", false},
		{"nodes:read", "user:70", false},
		{"nodes:read", "user:", false},
		{"nodes:read", "role:editor", true},
		{"nodes:read", "role:night shift: a", true},
		{"nodes:read", "role:admin", false},
		{"nodes:read", "role:", false},
		{"nodes:read", "department:tech", true},
		{"nodes:read", "department:editor", false},
		{"nodes:read", "ticket:1", false},
		{"nodes:read", "den", false},
		{"nodes:read", "den:1", false},
		{"tickets:read", "ticket:1", true},
		{"tickets:*", "ticket:1", true},
		{"tickets:read", "ticket:secret", false},
		{"*", "ticket:secret", true},
		{"*", "user:8", true},
		{"*", "role:admin", true},
		{"*", "den", true},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct principal ann = ann_of(cases[i].perm);

		if (room_may(&ann, cases[i].room) != cases[i].may)
			fail_msg("%s: %s", cases[i].perm, cases[i].room);
		perm_rights_fini(&ann);
	}
}

static void own_rooms_are_named_once(void **state)
{
	static const char *const own[] = {
		"user:7", "role:editor", "role:night shift: a", "department:tech", "desk:1"};
	struct principal ann = ann_of("tickets:read");
	struct strlist rooms = {0};

	room_add_own(&ann, &rooms);
	assert_int_equal(rooms.n, ARRAY_N(own));
	for (size_t i = 0; i < rooms.n; i++) {
		assert_string_equal(rooms.v[i], own[i]);
		assert_true(room_may(&ann, own[i]));
	}
	strlist_fini(&rooms);
	perm_rights_fini(&ann);
}

static void a_key_has_no_room_of_a_user(void **state)
{
	struct principal key = {.apikey_id = 9, .tenant_id = 2};
	struct strlist rooms = {0};

	room_add_own(&key, &rooms);
	assert_int_equal(rooms.n, 1); /* desk:1 is everybody's */
	assert_false(room_may(&key, "user:0"));
	assert_false(room_may(&key, "user:9"));
	strlist_fini(&rooms);
}

static void names(void **state)
{
	char longest[130];

	memset(longest, 'x', sizeof(longest));
	assert_true(room_is_name(longest, 128));
	assert_false(room_is_name(longest, 129));
	assert_false(room_is_name("", 0));
	assert_true(room_is_name("role:\xc3\xa4 b", 9));
	assert_false(room_is_name("a\0b", 3));
	assert_false(room_is_name("a\x1e", 2));
	assert_false(room_is_name("a\x7f", 2));
	assert_false(room_is_name("a\n", 2));
	assert_false(room_is_name("a,b", 3));
}

/* What is between the commas, but for what no room is named. */
static void reads_lists(void **state)
{
	static const struct {
		const char *list, *names;
	} cases[] = {
		{"", ""},
		{"a", "a|"},
		{"role:a,role:b", "role:a|role:b|"},
		{",", ""},
		{",,a,,b,,", "a|b|"},
		{" a, b", " a| b|"},
		{"a,a", "a|a|"},
		{"a\n,b,c\x7f", "b|"},
	};
	struct str got = STR_INIT;
	char name[EVENT_ROOM_MAX + 1];

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		str_clear(&got);
		for (const char *list = cases[i].list; (list = room_next(list, name));)
			str_addf(&got, "%s|", name);
		assert_string_equal(str_c(&got), cases[i].names);
	}
	str_clear(&got);
	str_addf(&got, "%0129d,%0128d,%0130d", 1, 2, 3);
	assert_non_null(room_next(got.p, name));
	assert_int_equal(strlen(name), 128);
	assert_int_equal(name[127], '2');
	assert_null(room_next(room_next(got.p, name), name));
	str_fini(&got);
}

static void finds_rooms_in_lists(void **state)
{
	struct strlist mine = {0};

	assert_true(room_is_list("role:b,user:7"));
	assert_false(room_is_list("") || room_is_list("a,") || room_is_list(",a"));
	strlist_add(&mine, "user:7", 6);
	strlist_add(&mine, "role:a", 6);
	assert_true(room_is_among(&mine, "role:a"));
	assert_true(room_is_among(&mine, "role:b,,user:7"));
	assert_false(room_is_among(&mine, ""));
	assert_false(room_is_among(&mine, ",role:,role:aa,xrole:a,user:70"));
	strlist_fini(&mine);
}

/* A kind without a check: whoever may read the stream. */
static void who_may_read_may_be_in(void **state)
{
	struct principal sees = ann_of("office:see"), other = ann_of("memos:read"),
			 root = ann_of("*");

	assert_true(room_may(&sees, "memo:5"));
	assert_false(room_may(&other, "memo:5"));
	assert_true(room_may(&root, "memo:5"));
	assert_false(room_may(&sees, "memos:5"));
	perm_rights_fini(&sees);
	perm_rights_fini(&other);
	perm_rights_fini(&root);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_are_found),
		cmocka_unit_test(says_who_may_be_in_one),
		cmocka_unit_test(own_rooms_are_named_once),
		cmocka_unit_test(a_key_has_no_room_of_a_user),
		cmocka_unit_test(names),
		cmocka_unit_test(reads_lists),
		cmocka_unit_test(finds_rooms_in_lists),
		cmocka_unit_test(who_may_read_may_be_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
