/* Subscriptions: kept once each, bounded, judged, and carried as bytes. Streams are the test's. */
#include "unit.h"

#include "stream.h"
#include "subs.h"

const struct stream streams[] = {
	{.topic = "right", .views = {{STREAM_BY_RIGHT, &stream_shape_update}}},
	{.topic = "asked",
		.views = {{STREAM_BY_RIGHT, &stream_shape_update},
			{STREAM_ON_ASKING, &stream_shape_update}}},
	{.topic = "secret",
		.perm = "vault:open",
		.views = {{STREAM_ON_ASKING, &stream_shape_update}}},
	{0},
};

static struct slice slice(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static struct sub room(const char *name)
{
	return (struct sub){.type = SUB_ROOM, .name = slice(name)};
}

static struct sub by_command(const char *name)
{
	return (struct sub){.type = SUB_ROOM, .is_command = true, .name = slice(name)};
}

static struct sub view(const char *topic, uint8_t n, const char *filter)
{
	return (struct sub){
		.type = SUB_VIEW, .view = n, .name = slice(topic), .filter = slice(filter)};
}

static void add(struct subs *subs, struct sub s)
{
	assert_true(subs_add(subs, &s));
}

static bool has(const struct subs *subs, struct sub s)
{
	return subs_find(subs, &s) != NULL;
}

static void each_is_there_once(void **state)
{
	struct subs subs = {0};
	struct sub s = view("asked", 1, "new");

	add(&subs, room("asked"));
	add(&subs, view("asked", 1, "old"));
	add(&subs, view("asked", 0, ""));
	add(&subs, room("asked"));
	add(&subs, s);
	assert_int_equal(subs.n, 3);
	assert_true(slice_is(subs_find(&subs, &s)->filter, "new"));
	assert_true(subs_drop(&subs, &s));
	assert_false(subs_drop(&subs, &s));
	assert_true(has(&subs, room("asked")) && has(&subs, view("asked", 0, "")));
	subs_fini(&subs);
}

/* A client cannot leave what an operator has put it into. */
static void commands_are_stronger(void **state)
{
	struct subs subs = {0};
	struct sub asked = room("den"), command = by_command("den");

	add(&subs, asked);
	add(&subs, command);
	add(&subs, asked);
	assert_int_equal(subs.n, 1);
	assert_true(subs.v[0].is_command);
	assert_false(subs_drop(&subs, &asked));
	assert_true(subs_drop(&subs, &command));
	add(&subs, asked);
	assert_true(subs_drop(&subs, &command));
	subs_fini(&subs);
}

static void they_are_bounded(void **state)
{
	struct subs subs = {0};
	static char half[SUBS_FILTERS_MAX / 2 + 1];
	struct sub big = view("a", 0, ""), other = view("b", 0, "");
	char name[16];
	struct sub s = {.type = SUB_ROOM};

	for (int i = 0; i < SUBS_MAX; i++) {
		snprintf(name, sizeof(name), "r:%d", i);
		add(&subs, room(name));
	}
	s = room("r:64");
	assert_false(subs_add(&subs, &s));
	s = room("r:63");
	assert_true(subs_add(&subs, &s));
	subs_fini(&subs);
	big.filter = other.filter = (struct slice){half, sizeof(half)};
	add(&subs, big);
	add(&subs, big); /* in its own place */
	assert_false(subs_add(&subs, &other));
	other.filter.len--;
	other.filter.len--;
	add(&subs, other);
	subs_fini(&subs);
}

static void judged(const char *role, const char *perm, size_t gone_n, size_t left_n)
{
	struct principal who = {.user_id = 7, .tenant_id = 1};
	struct subs subs = {0}, gone = {0};

	strlist_add(&who.roles, role, strlen(role));
	strlist_add(&who.perms, perm, strlen(perm));
	add(&subs, room("role:editor"));
	add(&subs, room("den"));
	add(&subs, by_command("cave"));
	add(&subs, by_command("role:admin")); /* known: by what one may, commanded or not */
	add(&subs, view("asked", 1, ""));
	add(&subs, view("asked", 0, "")); /* by right alone */
	add(&subs, view("secret", 0, ""));
	add(&subs, view("secret", 9, ""));
	add(&subs, view("elsewhere", 0, ""));
	subs_judge(&subs, &who, &gone);
	assert_int_equal(gone.n, gone_n);
	assert_int_equal(subs.n, left_n);
	for (size_t i = 0; i < gone.n; i++)
		assert_false(sub_may(&gone.v[i], &who));
	for (size_t i = 0; i < subs.n; i++)
		assert_true(sub_may(&subs.v[i], &who));
	assert_true(has(&subs, room("cave")));
	subs_fini(&subs);
	subs_fini(&gone);
	perm_rights_fini(&who);
}

static void what_is_not_backed_goes(void **state)
{
	judged("viewer", "nodes:read", 8, 1);
	judged("editor", "nodes:read", 7, 2);
	judged("editor", "asked:read", 6, 3);
	judged("admin", "vault:open", 6, 3);
	judged("viewer", "*", 3, 6);
}

static void they_travel(void **state)
{
	struct subs subs = {0}, back;
	struct str bytes = STR_INIT;
	struct bytes b;

	add(&subs, room("role:editor"));
	add(&subs, by_command("den"));
	add(&subs, view("asked", 1, "f"));
	subs_put(&bytes, &subs);
	b = bytes_of(bytes.p, bytes.len);
	assert_true(subs_get(&b, &back) && bytes_are_done(&b));
	assert_int_equal(back.n, 3);
	assert_true(has(&back, room("role:editor")) && has(&back, view("asked", 1, "")));
	assert_true(subs_find(&back, &subs.v[1])->is_command);
	subs_fini(&back);
	for (size_t len = 0; len < bytes.len; len++) {
		b = bytes_of(bytes.p, len);
		assert_false(subs_get(&b, &back));
		assert_int_equal(back.n, 0);
	}
	bytes.p[0]++;
	b = bytes_of(bytes.p, bytes.len);
	assert_false(subs_get(&b, &back));
	subs_fini(&subs);
	str_fini(&bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_there_once),
		cmocka_unit_test(commands_are_stronger),
		cmocka_unit_test(they_are_bounded),
		cmocka_unit_test(what_is_not_backed_goes),
		cmocka_unit_test(they_travel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
