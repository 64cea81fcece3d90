/* What a route takes of a body, by a table of routes of the test's own. */
#include "unit.h"

#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "intake.h"

#define MAX 100000
#define JSON "application/json"
#define NDJSON "application/x-ndjson"

static const char *const lines[] = {NDJSON, "text/plain", NULL};

static const struct route table[] = {
	{.methods = HTTP_POST, .pattern = "/object", .flags = ROUTE_JSON},
	{.methods = HTTP_PUT, .pattern = "/array/{name}", .flags = ROUTE_ARRAY},
	{.methods = HTTP_DELETE, .pattern = "/either", .flags = ROUTE_JSON | ROUTE_ARRAY},
	{.methods = HTTP_POST, .pattern = "/lines", .media = lines},
	{.methods = HTTP_POST,
		.pattern = "/logs/{device}",
		.media = lines,
		.flags = ROUTE_ARRAY | ROUTE_GZIP},
	{.methods = HTTP_POST, .pattern = "/none"},
};

/* want: the JSON printed, or the bytes; of a refusal its text. */
static const struct {
	enum http_method method;
	const char *path, *type, *encoding, *body;
	enum err e;
	const char *want;
} cases[] = {
	{HTTP_POST, "/object", JSON, "", "{\"a\":1}", ERR_OK, "{\"a\":1}"},
	{HTTP_POST, "/object", JSON, "identity", "{}", ERR_OK, "{}"},
	{HTTP_POST, "/object", JSON, "", "[]", ERR_BAD_REQUEST, "The body must be a JSON object."},
	{HTTP_POST, "/object", JSON, "", "null", ERR_BAD_REQUEST,
		"The body must be a JSON object."},
	{HTTP_POST, "/object", "text/plain", "", "{}", ERR_MEDIA_TYPE,
		"This address takes JSON; send Content-Type: application/json."},
	{HTTP_POST, "/object", "", "", "{}", ERR_MEDIA_TYPE,
		"This address takes JSON; send Content-Type: application/json."},
	{HTTP_POST, "/object", JSON, "gzip", "{}", ERR_MEDIA_TYPE,
		"This address takes no such Content-Encoding; send the body as it is, without it."},
	{HTTP_PUT, "/array/x", JSON, "", "[1]", ERR_OK, "[1]"},
	{HTTP_PUT, "/array/x", JSON, "", "{}", ERR_BAD_REQUEST, "The body must be a JSON array."},
	{HTTP_DELETE, "/either", JSON, "", "{}", ERR_OK, "{}"},
	{HTTP_DELETE, "/either", JSON, "", "[]", ERR_OK, "[]"},
	{HTTP_DELETE, "/either", JSON, "", "1", ERR_BAD_REQUEST,
		"The body must be a JSON object or array."},
	{HTTP_POST, "/lines", NDJSON, "", "{}\n[", ERR_OK, "{}\n["},
	{HTTP_POST, "/lines", "Text/Plain; charset=utf-8", "", "x", ERR_OK, "x"},
	{HTTP_POST, "/lines", "text/plainer", "", "x", ERR_MEDIA_TYPE,
		"This address takes " NDJSON ", text/plain; send Content-Type: " NDJSON "."},
	{HTTP_POST, "/lines", JSON, "", "{}", ERR_MEDIA_TYPE,
		"This address takes " NDJSON ", text/plain; send Content-Type: " NDJSON "."},
	{HTTP_POST, "/logs/a", "image/png", "", "x", ERR_MEDIA_TYPE,
		"This address takes JSON, " NDJSON
		", text/plain; send Content-Type: application/json."},
	{HTTP_POST, "/logs/a", JSON, "", "[2]", ERR_OK, "[2]"},
	{HTTP_POST, "/logs/a", NDJSON, "br", "x", ERR_MEDIA_TYPE,
		"This address takes no such Content-Encoding; send gzip, or the body as it is."},
	{HTTP_POST, "/logs/a", NDJSON, "gzip", "no gzip", ERR_BAD_REQUEST,
		"The body is no whole gzip, as its Content-Encoding says; send it anew, or as it "
		"is "
		"without Content-Encoding."},
	{HTTP_POST, "/none", "x/y", "br", "z", ERR_OK, "z"},
};

static enum err take(struct routes *rs, enum http_method method, const char *path,
	struct http_req *req, struct str *inflated, struct json_object **json, struct str *why)
{
	struct route_params params;
	unsigned allowed;
	const struct route *r = routes_find(rs, method, path, &params, &allowed);

	assert_non_null(r);
	return intake_body(r, req, MAX, inflated, json, why);
}

static void bodies_are_what_routes_take(void **state)
{
	struct routes *rs = routes_new();

	routes_add(rs, table, ARRAY_N(table));
	for (size_t i = 0; i < ARRAY_N(cases); i++) {
		struct http_req req = {.content_type = cases[i].type,
			.content_encoding = cases[i].encoding,
			.body = cases[i].body,
			.body_len = strlen(cases[i].body)};
		struct str inflated = STR_INIT, is = STR_INIT;
		struct json_object *json = NULL;
		enum err e = take(rs, cases[i].method, cases[i].path, &req, &inflated, &json, &is);

		if (e == ERR_OK && json)
			json_print(&is, json);
		else if (e == ERR_OK)
			str_add(&is, req.body, req.body_len);
		if (e != cases[i].e || strcmp(str_c(&is), cases[i].want) != 0)
			fail_msg("%s %s: %s: %s", cases[i].path, cases[i].body, err_code(e),
				str_c(&is));
		json_object_put(json);
		str_fini(&inflated);
		str_fini(&is);
	}
	routes_free(rs);
}

/* Adds one gzip member. */
static void add_gzip(struct str *to, const char *text, size_t len)
{
	z_stream z = {.next_in = (const Bytef *)text, .avail_in = (uInt)len};
	size_t most = len + 1000;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
	str_reserve(to, most);
	z.next_out = (Bytef *)to->p + to->len;
	z.avail_out = (uInt)most;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	to->len += most - z.avail_out;
	to->p[to->len] = '\0';
	deflateEnd(&z);
}

static enum err take_gzip(const struct str *gzip, size_t len, struct str *out)
{
	struct routes *rs = routes_new();
	struct http_req req = {.content_type = NDJSON,
		.content_encoding = "GZip",
		.body = str_c(gzip),
		.body_len = len};
	struct str inflated = STR_INIT, why = STR_INIT;
	struct json_object *json;
	enum err e;

	routes_add(rs, table, ARRAY_N(table));
	e = take(rs, HTTP_POST, "/logs/a", &req, &inflated, &json, &why);
	str_clear(out);
	if (e == ERR_OK)
		str_add(out, req.body, req.body_len);
	assert_true(inflated.len <= MAX + 1);
	str_fini(&inflated);
	str_fini(&why);
	routes_free(rs);
	return e;
}

static void gzip_is_inflated_within_its_bound(void **state)
{
	static char text[MAX + 1];
	struct str gzip = STR_INIT, out = STR_INIT;

	memset(text, 'x', sizeof(text));
	add_gzip(&gzip, text, MAX);
	assert_int_equal(take_gzip(&gzip, gzip.len, &out), ERR_OK);
	assert_int_equal(out.len, MAX);
	assert_memory_equal(out.p, text, MAX);
	for (size_t len = 0; len < gzip.len; len++)
		assert_int_equal(take_gzip(&gzip, len, &out), ERR_BAD_REQUEST);

	add_gzip(&gzip, text, 1); /* another member, past the bound */
	assert_int_equal(take_gzip(&gzip, gzip.len, &out), ERR_TOO_LARGE);
	str_clear(&gzip);
	add_gzip(&gzip, text, MAX + 1);
	assert_int_equal(take_gzip(&gzip, gzip.len, &out), ERR_TOO_LARGE);

	str_clear(&gzip);
	add_gzip(&gzip, "a\n", 2);
	add_gzip(&gzip, "", 0);
	add_gzip(&gzip, "b\n", 2);
	assert_int_equal(take_gzip(&gzip, gzip.len, &out), ERR_OK);
	assert_string_equal(str_c(&out), "a\nb\n");
	str_adds(&gzip, "junk");
	assert_int_equal(take_gzip(&gzip, gzip.len, &out), ERR_BAD_REQUEST);
	str_fini(&gzip);
	str_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_what_routes_take),
		cmocka_unit_test(gzip_is_inflated_within_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
