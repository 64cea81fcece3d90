/* What may be cast: an event's name and its data, whoever made them. */
#include "unit.h"

#include "cast.h"
#include "wire.h"

static const struct {
	const char *args, *field; /* NULL: it is good */
} table[] = {
	{"\"news\",{}", NULL},
	{" \"news\" , null ", NULL},
	{"\"n\\u00e4her\",[1,{\"a\":\"b\"}]", NULL},
	{"", "event"},
	{"\"news\"", "data"},
	{"\"news\",", "data"},
	{"\"news\",1,2", "data"},
	{"\"news\",1],[2", "data"},
	{"\"news\",{\"a\":1,\"a\":2}", "data"},
	{"\"news\",\"\\u0000\"", "data"},
	{"\"news\",\"\xff\"", "data"},
	{"7,1", "event"},
	{"\"\",1", "event"},
	{"\"connect\",1", "event"},
	{"\"a\\nb\",1", "event"},
};

static void what_is_good(void **state)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct slice args = {table[i].args, strlen(table[i].args)};
		const char *field = NULL, *why = NULL;
		bool is_good = cast_is_good(args, &field, &why);

		assert_int_equal(is_good, !table[i].field);
		assert_int_equal(is_good, !why);
		if (table[i].field)
			assert_string_equal(field, table[i].field);
	}
}

static void what_is_put_is_good(void **state)
{
	struct str args = STR_INIT;
	const char *field, *why;

	cast_put(&args, "a \"name\"", "{}", 2);
	assert_string_equal(args.p, "\"a \\\"name\\\"\",{}");
	assert_true(cast_is_good((struct slice){args.p, args.len}, &field, &why));
	str_fini(&args);
}

static void not_too_much(void **state)
{
	struct str args = STR_INIT;
	const char *field, *why;

	str_adds(&args, "\"news\",\"");
	while (args.len < WIRE_CAST_MAX - 1)
		str_addc(&args, 'x');
	str_addc(&args, '"');
	assert_true(cast_is_good((struct slice){args.p, args.len}, &field, &why));
	str_addc(&args, ' ');
	assert_false(cast_is_good((struct slice){args.p, args.len}, &field, &why));
	assert_string_equal(field, "data");
	str_fini(&args);
}

/* Good args gone bad in one byte: accepted or not, nothing is read beyond them. */
static void mutations(void **state)
{
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		const char *from = table[random() % (sizeof(table) / sizeof(table[0]))].args;
		size_t len = strlen(from);
		char *bytes = unit_exact(from, len);
		const char *field, *why;

		if (len)
			bytes[random() % (long)len] = (char)random();
		cast_is_good((struct slice){bytes, len}, &field, &why);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_good),
		cmocka_unit_test(what_is_put_is_good),
		cmocka_unit_test(not_too_much),
		cmocka_unit_test(mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
