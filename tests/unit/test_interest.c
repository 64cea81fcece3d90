/* What a socket is sent, by who it belongs to and what it has asked for. */
#include "unit.h"

#include "interest.h"
#include "stream.h"

static const struct subs none;

static void add(struct strlist *l, const char *s)
{
	strlist_add(l, s, strlen(s));
}

static size_t by_right_n(void)
{
	size_t n = 0;

	for (const struct stream *st = streams; st->topic; st++)
		n += st->views[0].grant == STREAM_BY_RIGHT;
	return n;
}

static void fini(struct principal *p)
{
	strlist_fini(&p->roles);
	strlist_fini(&p->departments);
	strlist_fini(&p->perms);
}

static void assert_list(const struct strlist *l, const char *const *expected)
{
	for (size_t i = 0; i < l->n; i++) {
		assert_non_null(expected[i]);
		assert_string_equal(l->v[i], expected[i]);
	}
	assert_null(expected[l->n]);
}

static void of_a_user(void **state)
{
	struct principal ann = {.user_id = 7, .tenant_id = 3};
	struct wire_interest in;

	add(&ann.roles, "editor");
	add(&ann.roles, "viewer");
	add(&ann.departments, "tech");
	add(&ann.perms, "nodes:*");
	add(&ann.perms, "websites:read");
	add(&ann.perms, "domains:write");
	add(&ann.perms, "logs:read"); /* devices come by it; lines of logs by asking alone */
	interest_make(&ann, &none, 50, &in);
	assert_int_equal(in.tenant_id, 3);
	assert_int_equal(in.format, WIRE_SOCKET);
	assert_int_equal(in.limit, 50);
	assert_true(in.rooms_any_topic);
	assert_false(in.all_topics || in.all_rooms || in.only_rooms);
	assert_list(&in.topics, (const char *const[]){"websites", "nodes", "devices", NULL});
	assert_list(&in.rooms, (const char *const[]){"user:7", "role:editor", "role:viewer",
				       "department:tech", NULL});
	wire_interest_fini(&in);
	fini(&ann);
}

static void of_who_may_all(void **state)
{
	struct principal root = {.user_id = 1, .tenant_id = 1};
	struct wire_interest in;

	add(&root.perms, "*");
	interest_make(&root, &none, 50, &in);
	assert_false(in.all_topics || in.all_rooms);
	assert_int_equal(in.topics.n, by_right_n());
	assert_list(&in.rooms, (const char *const[]){"user:1", NULL});
	wire_interest_fini(&in);
	fini(&root);
}

static void of_an_api_key(void **state)
{
	struct principal key = {.apikey_id = 9, .tenant_id = 2};
	struct wire_interest in;

	add(&key.perms, "logs:ingest");
	interest_make(&key, &none, 50, &in);
	assert_int_equal(in.topics.n + in.rooms.n, 0);
	wire_interest_fini(&in);
	fini(&key);
}

static void ask(struct subs *subs, const char *room, bool is_command)
{
	const struct sub s = {
		.type = SUB_ROOM, .is_command = is_command, .name = {room, strlen(room)}};

	assert_true(subs_add(subs, &s));
}

/* Judged here, too: what is asked for without authority brings nothing. */
static void with_rooms_asked_for(void **state)
{
	struct principal ann = {.user_id = 7, .tenant_id = 3};
	struct wire_interest in;
	struct subs subs = {0};

	add(&ann.roles, "editor");
	ask(&subs, "role:editor", false);
	ask(&subs, "role:admin", false);
	ask(&subs, "department:tech", true);
	ask(&subs, "den", true);
	interest_make(&ann, &subs, 50, &in);
	assert_list(&in.rooms,
		(const char *const[]){"user:7", "role:editor", "role:editor", "den", NULL});
	wire_interest_fini(&in);
	add(&ann.perms, "*");
	interest_make(&ann, &subs, 50, &in);
	assert_int_equal(in.rooms.n, 6);
	wire_interest_fini(&in);
	subs_fini(&subs);
	fini(&ann);
}

/* A view of a topic without such a view is no authority's to give. */
static void with_views_asked_for(void **state)
{
	const struct sub s = {.type = SUB_VIEW, .name = {"websites", 8}};
	struct principal root = {.user_id = 1, .tenant_id = 1};
	struct wire_interest in;
	struct subs subs = {0};

	add(&root.perms, "*");
	assert_true(subs_add(&subs, &s));
	interest_make(&root, &subs, 50, &in);
	assert_int_equal(in.views_n, 0);
	wire_interest_fini(&in);
	subs_fini(&subs);
	fini(&root);
}

/* The poller takes what is built here, byte for byte. */
static void travels(void **state)
{
	struct principal ann = {.user_id = 7, .tenant_id = 3};
	struct wire_interest in, back;
	struct str bytes = STR_INIT;

	add(&ann.perms, "*");
	interest_make(&ann, &none, 50, &in);
	wire_interest_put(&bytes, &in);
	assert_true(wire_interest_get(bytes.p, bytes.len, &back));
	assert_int_equal(back.topics.n, by_right_n());
	assert_list(&back.rooms, (const char *const[]){"user:7", NULL});
	assert_true(back.rooms_any_topic);
	wire_interest_fini(&in);
	wire_interest_fini(&back);
	str_fini(&bytes);
	fini(&ann);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_user),
		cmocka_unit_test(of_who_may_all),
		cmocka_unit_test(of_an_api_key),
		cmocka_unit_test(with_rooms_asked_for),
		cmocka_unit_test(with_views_asked_for),
		cmocka_unit_test(travels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
