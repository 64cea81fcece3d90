/* The table of streams, and what follows from its rows. */
#include "unit.h"

#include "event.h"
#include "stream.h"

static void rows_are_whole(void **state)
{
	struct strlist seen = {0};

	for (const struct stream *st = streams; st->topic; st++) {
		assert_false(strlist_has(&seen, st->topic));
		strlist_add(&seen, st->topic, strlen(st->topic));
		assert_true(strlen(st->topic) <= EVENT_TOPIC_MAX);
		/* Nobody is shown an internal one. */
		assert_true(st->topic[0] != '_' ||
			    (!st->is_console && !st->has_rows && !st->room && !st->views[0].grant));
		assert_true(!st->perm || perm_is_valid(st->perm));
		assert_ptr_equal(stream_find(st->topic), st);
		for (size_t i = 0; i < STREAM_VIEWS_MAX; i++) {
			const struct stream_view *v = &st->views[i];

			assert_true(v->grant == STREAM_NO_VIEW || v->grant == STREAM_IN_EVENTS ||
				    v->shape);
			if (v->pace)
				assert_true(v->shape->put_entry && v->shape->put_batch &&
					    v->shape->put_dropped);
			assert_true(stream_view_is_asked(st, i) || !v->pace);
			assert_true(v->grant != STREAM_BY_RIGHT || !v->filter);
			assert_true(!v->filter || v->filter == stream_filter(st));
		}
	}
	assert_true(seen.n > 0);
	strlist_fini(&seen);
}

struct right {
	const char *perm, *topic;
	bool may;
};

static void says_who_may_read(void **state)
{
	static const struct right rights[] = {
		{"websites:read", "websites", true},
		{"websites:*", "websites", true},
		{"*", "websites", true},
		{"nodes:read", "websites", false},
		{"websites:write", "websites", false},
		{"elsewhere:read", "elsewhere", true}, /* no row */
		{"websites:read", "elsewhere", false},
		{"*", "_auth", false},
		{"_auth:read", "_auth", false},
		{"*", EVENT_TOPIC_HOSTS, false},
		{"_hosts:read", EVENT_TOPIC_HOSTS, false},
	};

	for (size_t i = 0; i < ARRAY_N(rights); i++) {
		struct principal who = {.user_id = 1, .tenant_id = 1};
		struct strlist topics = {0};

		strlist_add(&who.perms, rights[i].perm, strlen(rights[i].perm));
		assert_int_equal(stream_may_read(&who, rights[i].topic), rights[i].may);
		stream_add_readable(&who, &topics);
		if (!perm_is_all(&who) || stream_find(rights[i].topic))
			assert_int_equal(strlist_has(&topics, rights[i].topic), rights[i].may);
		strlist_fini(&topics);
		strlist_fini(&who.perms);
	}
}

static void lists_a_topic_once(void **state)
{
	struct principal who = {.user_id = 1, .tenant_id = 1};
	struct strlist topics = {0};

	strlist_add(&who.perms, "nodes:*", 7);
	strlist_add(&who.perms, "nodes:read", 10);
	strlist_add(&who.perms, "mine:*", 6);
	strlist_add(&who.perms, "mine:read", 9);
	strlist_add(&who.perms, "mine:write", 10);
	stream_add_readable(&who, &topics);
	assert_int_equal(topics.n, 2);
	assert_string_equal(topics.v[0], "nodes");
	assert_string_equal(topics.v[1], "mine");
	strlist_fini(&topics);
	strlist_fini(&who.perms);
}

static void keeps_by_class(void **state)
{
	assert_int_equal(stream_retention("websites"), RETENTION_LASTING);
	assert_int_equal(stream_retention("logs"), RETENTION_BRIEF);
	assert_int_equal(stream_retention("nobody knows it"), RETENTION_LASTING);
	for (int r = 0; r < RETENTION_N; r++)
		assert_int_equal(retention_find(retention_name((enum retention)r)), r);
	assert_int_equal(retention_find("eternal"), -1);
}

struct sample {
	const char *topic, *name, *args;
	bool is_renamed;
};

static void shapes(void **state)
{
	static const struct sample samples[] = {
		{"websites", "",
			"\"websites:update\",{\"eventId\":9,\"type\":\"add\",\"data\":[1]}", false},
		{"no row", "", "\"no row:update\",{\"eventId\":9,\"type\":\"add\",\"data\":[1]}",
			false},
		{"websites", "moved", "\"moved\",[1]", false},
		{"websites", "connect", "\"event\",{\"name\":\"connect\",\"data\":[1]}", true},
	};

	for (size_t i = 0; i < ARRAY_N(samples); i++) {
		const struct event_row e = {.id = 9,
			.type = EVENT_ADD,
			.topic = samples[i].topic,
			.name = samples[i].name,
			.is_renamed = samples[i].is_renamed};
		struct str out = STR_INIT;

		stream_shape(e.topic)->put(&out, &e, (struct slice){"[1]", 3});
		assert_string_equal(out.p, samples[i].args);
		str_fini(&out);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_whole),
		cmocka_unit_test(says_who_may_read),
		cmocka_unit_test(lists_a_topic_once),
		cmocka_unit_test(keeps_by_class),
		cmocka_unit_test(shapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
