/* Packets in portions: whole ones, in order, however they were added. */
#include "unit.h"

#include "packets.h"

static const struct slice none = {"", 0};

static struct slice text(const char *s)
{
	return (struct slice){s, strlen(s)};
}

static void add_shared(
	struct packets *p, struct shared_pool *pool, const char *bytes, const char *topic)
{
	struct shared *body = shared_get(pool, text(bytes));

	packets_add_shared(p, body, text("42["), text("]"), topic ? text(topic) : none);
	shared_return(body);
}

/* The portion of at most `most` that comes next is this, with | between its packets. */
static void take(struct packets *from, uint32_t most, const char *expected, uint32_t left)
{
	struct packets to = {.n = 0};
	struct evbuffer *out = evbuffer_new();
	size_t own = from->own, lent = from->lent, rows = from->rows;
	char *got;

	packets_move(&to, from, most);
	assert_int_equal(packets_count(from), left);
	assert_int_equal(packets_is_empty(from), left == 0);
	assert_true(from->own + to.own <= own && from->own + to.own + 1 >= own);
	assert_int_equal(from->lent + to.lent, lent);
	assert_int_equal(from->rows + to.rows, rows);
	packets_render(&to, out);
	evbuffer_add(out, "", 1);
	got = (char *)evbuffer_pullup(out, -1);
	for (char *p = got; *p; p++)
		if (*p == PACKETS_SEPARATOR)
			*p = '|';
	assert_string_equal(got, expected);
	evbuffer_free(out);
	packets_fini(&to);
}

static void portions(void **state)
{
	struct shared_pool pool = {0};
	struct packets p = {.n = 0};

	take(&p, 16, "", 0);
	packets_add(&p, text("2"));
	packets_add(&p, text("451-[1]\x1e"
			     "bAAEC"));
	packets_add(&p, text("4x"));
	assert_int_equal(packets_count(&p), 4);
	take(&p, 0, "", 4);
	take(&p, 2, "2|451-[1]", 2);
	take(&p, 2, "bAAEC|4x", 0);

	packets_add(&p, text("a\x1e"
			     "b"));
	add_shared(&p, &pool, "\"rows\"", "websites");
	add_shared(&p, &pool, "\"said\"", NULL);
	packets_add(&p, text("c\x1e"
			     "d\x1e"
			     "e"));
	assert_int_equal(packets_count(&p), 7);
	take(&p, 1, "a", 6);
	take(&p, 2, "b|42[\"rows\"]", 4);
	take(&p, 2, "42[\"said\"]|c", 2);
	packets_add(&p, text("f"));
	take(&p, 3, "d|e|f", 0);
	assert_int_equal(p.own + p.lent + p.rows, 0);
	assert_int_equal(pool.bytes, 0);
}

static void what_is_left_is_as_before(void **state)
{
	struct shared_pool pool = {0};
	struct packets p = {.n = 0};

	packets_add(&p, text("a\x1e"
			     "b"));
	add_shared(&p, &pool, "1", "nodes");
	add_shared(&p, &pool, "2", "websites");
	packets_add(&p, text("c"));
	take(&p, 1, "a", 4);
	assert_true(packets_drop_rows(&p, text("nodes")));
	assert_false(packets_drop_rows(&p, text("nodes")));
	take(&p, PACKETS_ALL, "b|42[2]|c", 0);
	packets_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(portions),
		cmocka_unit_test(what_is_left_is_as_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
