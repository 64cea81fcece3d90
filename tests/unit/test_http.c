#include "unit.h"

#include "config.h"
#include "http.h"

static void variables_are_sorted(void **state)
{
	const char *env[] = {"REQUEST_METHOD=POST", "QUERY_STRING=a=b", "HTTP_X_API_KEY=k",
		"HTTP_X_API_KEYS=no", "REQUEST_URI=/x", "NOTHING", "=odd",
		"HTTP_AUTHORIZATION=", NULL};
	struct http_req req = {0};
	struct http_meta meta;

	http_read_env((char *const *)(void *)env, &req, &meta);
	assert_string_equal(meta.method, "POST");
	assert_string_equal(meta.uri, "/x");
	assert_string_equal(req.query, "a=b");
	assert_string_equal(req.api_key, "k");
	assert_string_equal(req.authorization, "");
	assert_string_equal(req.accept, "");
	assert_string_equal(req.upgrade, "");
}

static void websocket_is_seen_without_its_upgrade_header(void **state)
{
	const char *env[] = {"HTTP_SEC_WEBSOCKET_VERSION=13", NULL};
	struct http_req req = {0};
	struct http_meta meta;

	http_read_env((char *const *)(void *)env, &req, &meta);
	assert_string_equal(req.upgrade, "websocket");
}

static void targets(void **state)
{
	static const struct {
		const char *uri, *script, *info, *path; /* path NULL: refused */
	} cases[] = {
		{"/api/v1/websites?page=1", "", "", "/api/v1/websites"},
		{"/api/v1/a%20b", "", "", "/api/v1/a b"},
		{"/api/v1/a+b", "", "", "/api/v1/a+b"},
		{"/api/v1/%e4%bd%a0", "", "", "/api/v1/\xe4\xbd\xa0"},
		{"/api/%C3%B6#x", "", "", "/api/\xc3\xb6"},
		{"http://host:80/events?x", "", "", "/events"},
		{"http://host?x", "", "", NULL},
		{"/events?u=http://x/", "", "", "/events"},
		{"/cgi-bin/cmdb-fcgi/events?x", "/cgi-bin/cmdb-fcgi", "/events", "/events"},
		{"/cgi-bin/cmdb-fcgi/other", "/cgi-bin/cmdb-fcgi", "/other",
			"/cgi-bin/cmdb-fcgi/other"},
		{"/a/cmdb/engine.io/?EIO=4", "/a/cmdb", "/engine.io/", "/engine.io/"},
		{"/a/cmdb/engine.io?EIO=4", "/a/cmdb", "/engine.io", "/engine.io"},
		{"/a/cmdb/engine.io/x", "/a/cmdb", "/engine.io/x", "/a/cmdb/engine.io/x"},
		{"/socket.io/?EIO=4", "", "", "/socket.io/"},
		{"", "/api", "/v1/me", "/api/v1/me"},
		{"", "", "", NULL},
		{"x", "", "", NULL},
		{"/api/%", "", "", NULL},
		{"/api/%4", "", "", NULL},
		{"/api/%4g", "", "", NULL},
		{"/api/%00", "", "", NULL},
		{"/api/%ff", "", "", NULL},
		{"/api/%c0%af", "", "", NULL},
		{"/api/%ed%a0%80", "", "", NULL},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct http_meta meta = {.uri = cases[i].uri,
			.script_name = cases[i].script,
			.path_info = cases[i].info,
			.redirect_status = ""};
		struct http_req req = {.query = ""};
		struct str buf = STR_INIT;
		bool ok = http_read_target(&req, &meta, "/engine.io/", &buf);

		if (ok != !!cases[i].path || (ok && strcmp(req.path, cases[i].path) != 0))
			fail_msg("%s: %s", cases[i].uri, ok ? req.path : "refused");
		str_fini(&buf);
	}
}

/* What lighttpd's error handler gets of a request whose process died. */
static void again(void **state)
{
	const char *env[] = {"REDIRECT_STATUS=500", "REQUEST_METHOD=GET",
		"QUERY_STRING=", "SCRIPT_NAME=/again", "REQUEST_URI=/events?since=7",
		"HTTP_CONTENT_LENGTH=12", NULL};
	struct http_req req;
	struct http_meta meta;
	struct str buf = STR_INIT;

	http_read_env((char *const *)(void *)env, &req, &meta);
	assert_true(http_is_again(&meta));
	assert_true(http_read_target(&req, &meta, "/socket.io/", &buf));
	assert_string_equal(req.path, "/events");
	assert_string_equal(req.query, "since=7");
	assert_string_equal(meta.sent_length, "12");
	meta.redirect_status = "200"; /* said of every request by some web servers */
	assert_false(http_is_again(&meta));
	meta.redirect_status = "404";
	assert_false(http_is_again(&meta));
	str_fini(&buf);
}

static void long_targets_are_refused(void **state)
{
	struct str uri = STR_INIT, buf = STR_INIT;
	struct http_meta meta = {.script_name = "", .path_info = "", .redirect_status = "200"};
	struct http_req req = {.query = ""};

	str_addc(&uri, '/');
	while (uri.len < HTTP_PATH_MAX)
		str_addc(&uri, 'a');
	meta.uri = str_c(&uri);
	assert_true(http_read_target(&req, &meta, "/x/", &buf));
	str_addc(&uri, 'a');
	meta.uri = str_c(&uri);
	assert_false(http_read_target(&req, &meta, "/x/", &buf));
	str_fini(&uri);
	str_fini(&buf);
}

static void query_parameters(void **state)
{
	static const struct {
		const char *query, *key, *value; /* value NULL: absent */
		bool bad;
	} cases[] = {
		{"a=1&b=2", "a", "1", false},
		{"a=1&b=2", "b", "2", false},
		{"a=1&b=2", "c", NULL, false},
		{"a=1&a=2", "a", "2", false},
		{"a", "a", "", false},
		{"a=", "a", "", false},
		{"&&a=1&&", "a", "1", false},
		{"aa=1", "a", NULL, false},
		{"a=b=c", "a", "b=c", false},
		{"a=x+y%2B%26", "a", "x y+&", false},
		{"%61=1", "a", "1", false},
		{"", "a", NULL, false},
		{"a=%", "a", "", true},
		{"a=%zz", "a", "", true},
		{"a=%00", "a", "", true},
		{"a=%ff", "a", NULL, true},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct str out = STR_INIT;
		bool bad = false, found = query_get(cases[i].query, cases[i].key, &out, &bad);

		if (bad != cases[i].bad || (!bad && found != !!cases[i].value) ||
			(!bad && found && strcmp(str_c(&out), cases[i].value) != 0))
			fail_msg("%s: %d %d %s", cases[i].query, found, bad, str_c(&out));
		str_fini(&out);
	}
}

static void collect(const char *key, const char *value, void *arg)
{
	str_addf(arg, "[%s|%s]", key, value);
}

static void queries_are_visited_in_order(void **state)
{
	struct str seen = STR_INIT;

	assert_true(query_each("b=2&a=%31&&c", collect, &seen));
	assert_string_equal(str_c(&seen), "[b|2][a|1][c|]");
	str_clear(&seen);
	assert_false(query_each("a=1&b=%", collect, &seen));
	assert_false(query_each("%ff=1", collect, &seen));
	assert_true(query_each("", collect, &seen));
	str_fini(&seen);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		bool ok;
		uint64_t value;
	} cases[] = {
		{"0", 0, 9, true, 0},
		{"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, false, 0},
		{"99999999999999999999", 0, UINT64_MAX, false, 0},
		{"", 0, 9, false, 0},
		{"-1", 0, 9, false, 0},
		{"+1", 0, 9, false, 0},
		{" 1", 0, 9, false, 0},
		{"1 ", 0, 9, false, 0},
		{"1x", 0, 9, false, 0},
		{"0x1", 0, 9, false, 0},
		{"007", 0, 9, true, 7},
		{"10", 0, 9, false, 0},
		{"1", 2, 9, false, 0},
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		uint64_t v = 0;
		bool ok = parse_u64(cases[i].text, cases[i].min, cases[i].max, &v);

		if (ok != cases[i].ok || v != cases[i].value)
			fail_msg("\"%s\": %d %llu", cases[i].text, ok, (unsigned long long)v);
	}
}

static void json_media_types(void **state)
{
	static const char *const good[] = {"application/json", "Application/JSON",
		"application/json ", "application/json; charset=utf-8",
		"application/json;charset=UTF-8", "application/json; charset=\"utf-8\""};
	static const char *const bad[] = {"", "text/json", "application/jsonp",
		"application/json+x", "application/json; charset=latin-1", "application/json;",
		"application/json; x=y", "application/json, text/plain"};

	for (size_t i = 0; i < ARRAY_N(good); i++)
		if (!http_is_json(good[i]))
			fail_msg("%s is one", good[i]);
	for (size_t i = 0; i < ARRAY_N(bad); i++)
		if (http_is_json(bad[i]))
			fail_msg("%s is none", bad[i]);
}

static void etags(void **state)
{
	static const char etag[] = "W/\"abc\"";
	static const char *const good[] = {"W/\"abc\"", "\"abc\"", "\"x\", W/\"abc\"", "*", " *",
		"\"x\",\"abc\"", "W/\"x\" , \"abc\" ", "W/\"abc-gzip\"", "\"x\", \"abc-br\""};
	static const char *const bad[] = {"", "abc", "\"ab\"", "\"abcd\"", "W/", "\"abc",
		"\"x\" \"", "w/\"abc\"", "\"abc-\"", "\"abc-zip\"", "\"ab-gzip\"", "\"abc-gzipp\"",
		"\"-gzip\""};

	for (size_t i = 0; i < ARRAY_N(good); i++)
		if (!http_etag_matches(good[i], etag))
			fail_msg("%s matches", good[i]);
	for (size_t i = 0; i < ARRAY_N(bad); i++)
		if (http_etag_matches(bad[i], etag))
			fail_msg("%s does not match", bad[i]);
}

static void loopback(void **state)
{
	assert_true(http_is_loopback("127.0.0.1"));
	assert_true(http_is_loopback("::1"));
	assert_true(http_is_loopback("::ffff:127.0.0.1"));
	assert_false(http_is_loopback("10.127.0.1"));
	assert_false(http_is_loopback("::2"));
	assert_false(http_is_loopback(""));
}

static void origins(void **state)
{
	struct config cfg = {0};

	strlist_add(&cfg.http.cors_origins, "https://a.example", 17);
	assert_non_null(http_cors_origin(&cfg, "https://a.example"));
	assert_null(http_cors_origin(&cfg, "https://a.example.evil"));
	assert_null(http_cors_origin(&cfg, "HTTPS://A.EXAMPLE"));
	assert_null(http_cors_origin(&cfg, ""));
	strlist_fini(&cfg.http.cors_origins);
}

static void heads(void **state)
{
	struct str out = STR_INIT;
	struct http_head h = {.status = 200,
		.content_type = "text/plain",
		.content_length = 5,
		.request_id = "id",
		.origin = "https://a.example",
		.headers = "X-A: b\r\n"};

	http_put_head(&out, &h);
	assert_ptr_equal(strstr(str_c(&out), "Status: 200 OK\r\n"), str_c(&out));
	assert_non_null(strstr(str_c(&out), "\r\nContent-Length: 5\r\n"));
	assert_non_null(strstr(str_c(&out), "\r\nX-A: b\r\n\r\n"));
	assert_non_null(strstr(str_c(&out), "\r\nCache-Control: no-store\r\n"));
	assert_non_null(strstr(str_c(&out), "\r\nVary: Origin\r\n"));

	str_clear(&out);
	h = (struct http_head){.status = 304,
		.request_id = "id",
		.headers = "Cache-Control: private, no-cache\r\n"};
	http_put_head(&out, &h);
	assert_null(strstr(str_c(&out), "Content-Length"));
	assert_null(strstr(str_c(&out), "no-store"));
	assert_null(strstr(str_c(&out), "Access-Control"));
	str_fini(&out);
}

static void errors_carry_what_their_status_asks_for(void **state)
{
	static const struct {
		enum err e;
		const char *header; /* NULL: none */
	} cases[] = {
		{ERR_UNAUTHENTICATED, "WWW-Authenticate: Bearer realm=\"cmdb\"\r\n"},
		{ERR_TOKEN_EXPIRED,
			"WWW-Authenticate: Bearer realm=\"cmdb\", error=\"invalid_token\"\r\n"},
		{ERR_RATE_LIMITED, "Retry-After: 10\r\n"},
		{ERR_BUSY, "Retry-After: 1\r\n"},
		{ERR_DB_LOST, "Retry-After: 1\r\n"},
		{ERR_UPGRADE, "Upgrade: HTTP/1.1\r\n"},
		{ERR_NOT_FOUND, NULL},
	};
	struct str out = STR_INIT;

	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		str_clear(&out);
		http_put_error_headers(&out, cases[i].e);
		assert_string_equal(str_c(&out), cases[i].header ? cases[i].header : "");
	}
	str_clear(&out);
	http_put_error(&out, ERR_NOT_FOUND, "a \"b\"", "{}");
	assert_string_equal(str_c(&out), "{\"success\":false,\"error\":{\"code\":\"not_found\","
					 "\"message\":\"a \\\"b\\\"\",\"details\":[{}]}}");
	str_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_are_sorted),
		cmocka_unit_test(websocket_is_seen_without_its_upgrade_header),
		cmocka_unit_test(targets),
		cmocka_unit_test(again),
		cmocka_unit_test(long_targets_are_refused),
		cmocka_unit_test(query_parameters),
		cmocka_unit_test(queries_are_visited_in_order),
		cmocka_unit_test(numbers),
		cmocka_unit_test(json_media_types),
		cmocka_unit_test(etags),
		cmocka_unit_test(loopback),
		cmocka_unit_test(origins),
		cmocka_unit_test(heads),
		cmocka_unit_test(errors_carry_what_their_status_asks_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
