#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "route.h"

static const struct route table[] = {
	{.methods = HTTP_GET, .pattern = "/a"},
	{.methods = HTTP_POST, .pattern = "/a"},
	{.methods = HTTP_GET, .pattern = "/a/{id}"},
	{.methods = HTTP_PUT | HTTP_DELETE, .pattern = "/a/{id}"},
	{.methods = HTTP_POST, .pattern = "/a/{id}/read"},
	{.methods = HTTP_PUT, .pattern = "/a/read"},
	{.methods = HTTP_GET, .pattern = "/v1/2/x/{id}"},
	{.methods = HTTP_POST, .pattern = "/d/{device}/heartbeat"},
	{.methods = HTTP_GET, .pattern = "/t/{id}/messages/{message_id}"},
	{.methods = HTTP_PUT, .pattern = "/d/{device}/{kind}/{id}"},
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
	{HTTP_POST, "/d/pump-7.a:b@c~_+/heartbeat", 7, 0, HTTP_POST},
	{HTTP_GET, "/d/7/heartbeat", -1, 0, HTTP_POST},
	{HTTP_POST, "/d/./heartbeat", -1, 0, 0},
	{HTTP_POST, "/d/../heartbeat", -1, 0, 0},
	{HTTP_POST, "/d//heartbeat", -1, 0, 0},
	{HTTP_POST, "/d/a b/heartbeat", -1, 0, 0},
	{HTTP_POST, "/d/p\xc3\xa4/heartbeat", -1, 0, 0},
	{HTTP_POST, "/d/{device}/heartbeat", -1, 0, 0},
	{HTTP_POST, "/d/a/heartbeat/", -1, 0, 0},
	{HTTP_POST, "/d/a/b/heartbeat", -1, 0, 0},
	{HTTP_GET, "/t/5/messages/6", 8, 5, HTTP_GET},
	{HTTP_GET, "/t/5/messages/x", -1, 0, 0},
	{HTTP_GET, "/t/5/messages", -1, 0, 0},
	{HTTP_PUT, "/d/x/y/3", 9, 0, HTTP_PUT},
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
		struct route_params params;
		unsigned allowed;
		const struct route *r =
			routes_find(rs, cases[i].method, cases[i].path, &params, &allowed);
		uint64_t id = params.v[0].id;
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
	struct route_params params;
	unsigned allowed;

	routes_add(rs, table, ARRAY_N(table));
	str_adds(&path, "/a/7");
	for (int i = 0; i < 1000; i++)
		str_adds(&path, "/7");
	assert_null(routes_find(rs, HTTP_GET, str_c(&path), &params, &allowed));
	assert_int_equal(allowed, 0);
	str_fini(&path);
	routes_free(rs);
}

static void params_are_given_in_order(void **state)
{
	struct routes *rs = routes_new();
	struct route_params p;
	unsigned allowed;
	char longest[ROUTE_TEXT_MAX + 1], path[100];

	routes_add(rs, table, ARRAY_N(table));
	assert_non_null(routes_find(rs, HTTP_PUT, "/d/x/y/3", &p, &allowed));
	assert_int_equal(p.n, 3);
	assert_true(slice_is(p.v[0].text, "x") && p.v[0].id == 0);
	assert_true(slice_is(p.v[1].text, "y"));
	assert_true(slice_is(p.v[2].text, "3") && p.v[2].id == 3);
	assert_non_null(routes_find(rs, HTTP_GET, "/t/5/messages/6", &p, &allowed));
	assert_true(p.n == 2 && p.v[0].id == 5 && p.v[1].id == 6);
	assert_non_null(routes_find(rs, HTTP_GET, "/a", &p, &allowed));
	assert_int_equal(p.n, 0);
	memset(longest, 'x', ROUTE_TEXT_MAX);
	longest[ROUTE_TEXT_MAX] = '\0';
	snprintf(path, sizeof(path), "/d/%s/heartbeat", longest);
	assert_non_null(routes_find(rs, HTTP_POST, path, &p, &allowed));
	snprintf(path, sizeof(path), "/d/%sx/heartbeat", longest);
	assert_null(routes_find(rs, HTTP_POST, path, &p, &allowed));
	assert_int_equal(allowed, 0);
	routes_free(rs);
}

/* Adds the two in a process of their own: does it end by an assertion? */
static bool are_refused(const char *one, const char *other)
{
	const struct route two[] = {
		{.methods = HTTP_GET, .pattern = one}, {.methods = HTTP_GET, .pattern = other}};
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct routes *rs;

		setrlimit(RLIMIT_CORE, &(struct rlimit){0});
		if (!freopen("/dev/null", "w", stderr))
			_exit(3);
		signal(SIGABRT, SIG_DFL);
		rs = routes_new();
		routes_add(rs, two, 2);
		routes_free(rs);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void ambiguous_patterns_are_a_bug(void **state)
{
	static const struct {
		const char *one, *other;
		bool is_bug;
	} pairs[] = {
		{"/a", "/a", true},
		{"/a/{id}", "/a/{id}", true},
		{"/a/{id}", "/a/{other_id}", true},
		{"/a/{id}", "/a/{name}", true},
		{"/a/{name}/b", "/a/c/{other}", true},
		{"/a/{id}/b", "/a/7/{other}", true},
		{"/{a}/{b}/{c}/{d}", "/x", true},
		{"/a/{id}/b", "/a/c/{other}", false},
		{"/a/{name}", "/a/b", false},
		{"/a/{id}", "/a/{id}/b", false},
		{"/a/{id}/b", "/a/{id}/c", false},
	};

	for (size_t i = 0; i < ARRAY_N(pairs); i++)
		if (are_refused(pairs[i].one, pairs[i].other) != pairs[i].is_bug)
			fail_msg("%s and %s", pairs[i].one, pairs[i].other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_find_their_routes),
		cmocka_unit_test(long_path_is_unknown),
		cmocka_unit_test(params_are_given_in_order),
		cmocka_unit_test(ambiguous_patterns_are_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
