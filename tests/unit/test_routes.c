#include "unit.h"

#include "route.h"

static const struct route table[] = {
	{.methods = HTTP_GET, .pattern = "/a"},
	{.methods = HTTP_POST, .pattern = "/a"},
	{.methods = HTTP_GET, .pattern = "/a/{id}"},
	{.methods = HTTP_PUT | HTTP_DELETE, .pattern = "/a/{id}"},
	{.methods = HTTP_POST, .pattern = "/a/{id}/read"},
	{.methods = HTTP_PUT, .pattern = "/a/read"},
	{.methods = HTTP_GET, .pattern = "/v1/2/x/{id}"},
};

static const struct {
	enum http_method method;
	const char *path;
	int index; /* -1: none */
	uint64_t id;
	unsigned allowed;
} cases[] = {
	{HTTP_GET, "/a", 0, 0, HTTP_GET | HTTP_POST},
	{HTTP_POST, "/a", 1, 0, HTTP_GET | HTTP_POST},
	{HTTP_PUT, "/a", -1, 0, HTTP_GET | HTTP_POST},
	{HTTP_GET, "/a/7", 2, 7, HTTP_GET | HTTP_PUT | HTTP_DELETE},
	{HTTP_DELETE, "/a/7", 3, 7, HTTP_GET | HTTP_PUT | HTTP_DELETE},
	{HTTP_POST, "/a/7", -1, 7, HTTP_GET | HTTP_PUT | HTTP_DELETE},
	{HTTP_POST, "/a/7/read", 4, 7, HTTP_POST},
	{HTTP_PUT, "/a/read", 5, 0, HTTP_PUT},
	{HTTP_GET, "/v1/2/x/3", 6, 3, HTTP_GET},
	{HTTP_GET, "/a/9223372036854775807", 2, INT64_MAX, HTTP_GET | HTTP_PUT | HTTP_DELETE},
	{HTTP_GET, "/a/9223372036854775808", -1, 0, 0},
	{HTTP_GET, "/a/99999999999999999999999999", -1, 0, 0},
	{HTTP_GET, "/a/0", -1, 0, 0},
	{HTTP_GET, "/a/07", -1, 0, 0},
	{HTTP_GET, "/a/-7", -1, 0, 0},
	{HTTP_GET, "/a/7x", -1, 0, 0},
	{HTTP_GET, "/a/{id}", -1, 0, 0},
	{HTTP_GET, "/a/", -1, 0, 0},
	{HTTP_GET, "/a/7/", -1, 0, 0},
	{HTTP_GET, "/A", -1, 0, 0},
	{HTTP_GET, "//a", -1, 0, 0},
	{HTTP_GET, "/", -1, 0, 0},
	{HTTP_GET, "", -1, 0, 0},
};

static void paths_find_their_routes(void **state)
{
	struct routes *rs = routes_new();

	routes_add(rs, table, ARRAY_N(table));
	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		uint64_t id;
		unsigned allowed;
		const struct route *r =
			routes_find(rs, cases[i].method, cases[i].path, &id, &allowed);
		const struct route *want = cases[i].index < 0 ? NULL : &table[cases[i].index];

		if (r != want || allowed != cases[i].allowed || (want && id != cases[i].id))
			fail_msg("%s: %s id %llu allowed %u", cases[i].path,
				r ? r->pattern : "none", (unsigned long long)id, allowed);
	}
	routes_free(rs);
}

static void long_path_is_unknown(void **state)
{
	struct routes *rs = routes_new();
	struct str path = STR_INIT;
	uint64_t id;
	unsigned allowed;

	routes_add(rs, table, ARRAY_N(table));
	str_adds(&path, "/a/7");
	for (int i = 0; i < 1000; i++)
		str_adds(&path, "/7");
	assert_null(routes_find(rs, HTTP_GET, str_c(&path), &id, &allowed));
	assert_int_equal(allowed, 0);
	str_fini(&path);
	routes_free(rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_find_their_routes),
		cmocka_unit_test(long_path_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
