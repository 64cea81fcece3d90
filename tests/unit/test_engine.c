/* What is shown of a handshake: what may be, and never what lets one in. And what is made of it. */
#include "unit.h"

#include "config.h"
#include "engine.h"
#include "json.h"

static struct json_object *about(const char *path, const char *query, char *const *env)
{
	struct http_req req;
	struct http_meta meta;
	struct str s = STR_INIT;
	const char *why = NULL;
	struct json_object *o;
	size_t offset;

	http_read_env(env, &req, &meta);
	req.path = path;
	req.query = query;
	engine_put_about(&s, &req, env);
	assert_in_range(s.len, 2, ENGINE_ABOUT_MAX);
	o = json_parse(s.p, s.len, &why, &offset);
	if (!o)
		fail_msg("%s: %s", why, s.p);
	str_fini(&s);
	return o;
}

#define ENV(...) ((char *const *)(void *)(const char *[]){__VA_ARGS__, NULL})

static void headers_and_query(void **state)
{
	struct json_object *o = about("/socket.io/",
		"EIO=4&transport=polling&t=%26x&token=secret&sid=abc&apiKey=k&a+b=c",
		ENV("HTTP_USER_AGENT=curl", "HTTP_COOKIE=session=1", "HTTP_AUTHORIZATION=Bearer x",
			"HTTP_X_API_KEY=k", "HTTP_ORIGIN=https://a.example", "HTTPS=on",
			"HTTP_REFERER=https://a.example/page?token=secret#x", "HTTP_ACCEPT=*/*"));
	struct json_object *headers = json_get(o, "headers"), *query = json_get(o, "query");

	assert_int_equal(json_object_object_length(headers), 4);
	assert_string_equal(json_get_str(headers, "user-agent"), "curl");
	assert_string_equal(json_get_str(headers, "origin"), "https://a.example");
	assert_string_equal(json_get_str(headers, "referer"), "https://a.example/page");
	assert_string_equal(json_get_str(headers, "accept"), "*/*");
	assert_int_equal(json_object_object_length(query), 4);
	assert_string_equal(json_get_str(query, "t"), "&x");
	assert_string_equal(json_get_str(query, "a b"), "c");
	assert_string_equal(
		json_get_str(o, "url"), "/socket.io/?EIO=4&transport=polling&t=%26x&a%20b=c");
	assert_true(json_object_get_boolean(json_get(o, "secure")));
	assert_true(json_object_get_boolean(json_get(o, "xdomain")));
	assert_true(json_object_get_int64(json_get(o, "issued")) > 1600000000000);
	assert_int_equal(strlen(json_get_str(o, "time")), 24);
	json_object_put(o);
}

static void plain_request(void **state)
{
	struct json_object *o = about("/socket.io/", "", ENV("HTTPS=off"));

	assert_false(json_object_get_boolean(json_object_object_get(o, "secure")));
	assert_false(json_object_get_boolean(json_object_object_get(o, "xdomain")));
	assert_string_equal(json_get_str(o, "url"), "/socket.io/");
	json_object_put(o);
	o = about("/socket.io/", "", ENV("HTTP_X_FORWARDED_PROTO=https"));
	assert_true(json_object_get_boolean(json_get(o, "secure")));
	json_object_put(o);
}

/* Whatever a client sends, it is bounded, and JSON. */
static void much_and_odd(void **state)
{
	struct str query = STR_INIT, agent = STR_INIT;
	struct json_object *o;

	str_adds(&agent, "HTTP_USER_AGENT=");
	for (int i = 0; i < 400; i++) {
		str_addf(&query, "%sk%d=%%01%%02%%03%%04%%C3%%A4v", i ? "&" : "", i);
		str_adds(&agent, "\xc3\xa4\x01\"");
	}
	o = about("/socket.io/", str_c(&query),
		ENV(str_c(&agent), "HTTP_HOST=\xff\xfe", "HTTP_ACCEPT=\x01\x02\x03"));
	assert_string_equal(json_get_str(o, "url"), "/socket.io/");
	assert_non_null(json_get_str(json_get(o, "query"), "k0"));
	assert_non_null(json_get_str(json_get(o, "headers"), "user-agent"));
	assert_null(json_get_str(json_get(o, "headers"), "host"));
	json_object_put(o);
	json_object_put(about("/socket.io/", "a=%zz&b=%ff&=&&x", ENV("HTTP_HOST=x")));
	str_fini(&query);
	str_fini(&agent);
}

static void clients_that_take_few_packets(void **state)
{
	static const struct {
		const char *agent;
		uint16_t packets;
	} of[] = {
		{"HTTP_USER_AGENT=python-requests/2.28.1", 16},
		{"HTTP_USER_AGENT=Python/3.11 aiohttp/3.8.4", 16},
		{"HTTP_USER_AGENT=Python/3.13 aiohttp/4.0.0a1", 16},
		{"HTTP_USER_AGENT=aiohttp/3.8.4", 0},
		{"HTTP_USER_AGENT=Python/3.11", 0},
		{"HTTP_USER_AGENT=Mozilla/5.0 (not python-requests/2)", 0},
		{"HTTP_USER_AGENT=", 0},
		{"HTTP_USER_AGENTS=python-requests/2", 0},
	};
	struct config cfg = {.socketio.answer_packets = 0};

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		assert_int_equal(engine_answer_packets(&cfg, ENV("HTTP_HOST=x", of[i].agent)),
			of[i].packets);
	assert_int_equal(engine_answer_packets(&cfg, ENV("HTTP_HOST=x")), 0);
	cfg.socketio.answer_packets = 5;
	assert_int_equal(engine_answer_packets(&cfg, ENV(of[0].agent)), 5);
	assert_int_equal(engine_answer_packets(&cfg, ENV("HTTP_HOST=x")), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_and_query),
		cmocka_unit_test(plain_request),
		cmocka_unit_test(much_and_odd),
		cmocka_unit_test(clients_that_take_few_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
