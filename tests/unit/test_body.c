/* Bodies: what a client gets, in each format. */
#include "unit.h"

#include "body.h"
#include "db.h"

#define EPOCH "e1"

static struct record *make(uint64_t id)
{
	const struct db_val row[RECORD_COLUMNS_N] = {DBV_U(id), DBV_U(1), dbv_s("websites"),
		dbv_s("update"), dbv_s("{\"id\":7}"), dbv_s(""), dbv_s(""),
		dbv_s("2026-01-01 00:00:00.000")};

	return record_new(row);
}

static void assert_text(const struct body *b, const char *text)
{
	size_t len = evbuffer_get_length(b->buf);
	char *got = malloc(len + 1);

	evbuffer_copyout(b->buf, got, len);
	got[len] = '\0';
	assert_string_equal(got, text);
	free(got);
}

/* %s in the pattern: the records as clients get them. */
static void assert_pattern(
	const struct body *b, const char *pattern, const struct record *r1, const struct record *r2)
{
	const struct record *r[] = {r1, r2};
	struct str text = STR_INIT;
	const char *hole;

	for (size_t i = 0; (hole = strstr(pattern, "%s")); i++, pattern = hole + 2) {
		str_add(&text, pattern, (size_t)(hole - pattern));
		str_add(&text, r[i]->json, r[i]->json_len);
	}
	str_adds(&text, pattern);
	assert_text(b, str_c(&text));
	str_fini(&text);
}

static struct body *with_two(enum wire_format format, struct record *r1, struct record *r2)
{
	struct body *b = body_new(format, EPOCH);

	body_add(b, r1);
	body_add(b, r2);
	assert_int_equal(b->n, 2);
	assert_int_equal(b->last_id, r2->item.id);
	return b;
}

static void test_events(void **state)
{
	struct record *r1 = make(3), *r2 = make(5);
	struct body *b = with_two(WIRE_JSON, r1, r2);

	body_finish(b, 9, true);
	assert_int_equal(b->cursor, 9);
	assert_pattern(
		b, "{\"events\":[%s,%s],\"lastEventId\":9,\"epoch\":\"e1\",\"more\":true}", r1, r2);
	body_put(b);

	b = with_two(WIRE_SSE, r1, r2);
	body_finish(b, 9, false);
	assert_pattern(b, "id: 3\ndata: %s\n\nid: 5\ndata: %s\n\nid: 9\n\n", r1, r2);
	body_put(b);

	/* It has brought the cursor there itself. */
	b = with_two(WIRE_SSE, r1, r2);
	body_finish(b, 5, false);
	assert_pattern(b, "id: 3\ndata: %s\n\nid: 5\ndata: %s\n\n", r1, r2);
	body_put(b);
	record_free(r1);
	record_free(r2);
}

static void test_packets(void **state)
{
	struct record *r1 = make(3), *r2 = make(5);
	struct body *b = with_two(WIRE_SOCKET, r1, r2);
	struct str one = STR_INIT, two = STR_INIT, text = STR_INIT;

	body_finish(b, 9, false);
	record_socket_args(r1, &one);
	record_socket_args(r2, &two);
	str_addf(&text, "42[%s,\"e1:3\"]\x1e", str_c(&one));
	str_addf(&text, "42[%s,\"e1:5\"]", str_c(&two));
	assert_text(b, str_c(&text));
	body_put(b);
	str_fini(&one);
	str_fini(&two);
	str_fini(&text);
	record_free(r1);
	record_free(r2);
}

static void test_nothing(void **state)
{
	static const struct {
		enum wire_format format;
		const char *text;
	} table[] = {
		{WIRE_JSON, "{\"events\":[],\"lastEventId\":9,\"epoch\":\"e1\",\"more\":false}"},
		{WIRE_SSE, "id: 9\n\n"},
		{WIRE_SOCKET, "6"},
	};

	for (size_t i = 0; i < ARRAY_N(table); i++) {
		struct body *b = body_new(table[i].format, EPOCH);

		body_finish(b, 9, false);
		assert_text(b, table[i].text);
		body_put(b);
	}
}

static void test_reset(void **state)
{
	static const char json[] = "{\"events\":[],\"reset\":{\"reason\":\"expired\"},"
				   "\"lastEventId\":9,\"epoch\":\"e1\",\"more\":false}";
	struct str sse = STR_INIT;
	struct body *b = body_reset(WIRE_JSON, "expired", 9, EPOCH);

	assert_int_equal(b->cursor, 9);
	assert_text(b, json);
	body_put(b);
	b = body_reset(WIRE_SSE, "expired", 9, EPOCH);
	str_addf(&sse, "event: reset\nid: 9\ndata: %s\n\n", json);
	assert_text(b, str_c(&sse));
	body_put(b);
	str_fini(&sse);
}

static void test_limits(void **state)
{
	struct body *b = body_new(WIRE_SOCKET, EPOCH);
	struct record *r = make(1);
	char *much;

	assert_true(body_has_room(b, 2, 1));
	body_add(b, r);
	assert_true(body_has_room(b, 2, 1));
	b->packets_n = 1; /* that are for its client besides */
	assert_false(body_has_room(b, 2, 1));
	assert_true(body_has_room(b, 3, 1));
	much = calloc(1, BODY_BYTES_MAX);
	evbuffer_add(b->buf, much, BODY_BYTES_MAX);
	assert_false(body_has_room(b, 3, 1));
	body_put(b);

	/* One event always finds room, whatever was queued before it. */
	b = body_new(WIRE_SOCKET, EPOCH);
	evbuffer_add(b->buf, much, BODY_BYTES_MAX);
	assert_true(body_has_room(b, 1, 1));
	body_put(b);
	free(much);
	record_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
