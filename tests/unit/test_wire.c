/* The poller's protocol: what is put in comes out, and bytes that are no frame are refused. */
#include "unit.h"

#include "mutate.h"
#include "wire.h"

static void take(struct evbuffer *buf, struct wire_frame *f, enum wire_type type)
{
	const char *why = NULL;

	assert_int_equal(wire_peek(buf, WIRE_FROM_POLLER_MAX, f, &why), WIRE_GOT_FRAME);
	assert_int_equal(f->type, type);
}

static void assert_text(struct slice t, const char *expected)
{
	assert_int_equal(t.len, strlen(expected));
	assert_memory_equal(t.p, expected, t.len);
}

static void test_round_trip(void **state)
{
	struct evbuffer *buf = evbuffer_new(), *body = evbuffer_new();
	const uint64_t tickets[] = {7, UINT64_MAX};
	struct str caller = STR_INIT, about = STR_INIT, ops = STR_INIT;
	struct wire_frame f;

	str_adds(&about, "{}");
	str_add(&ops, "\0ops", 4);
	evbuffer_add(body, "{\"a\":1}", 7);
	wire_put_hello(buf, WIRE_ROLE_CGI, 4711, 99);
	wire_put_wait(buf, 1ULL << 40, 99, 25000, "epoch", "\0blob", 5,
		&(struct wire_holder){"user:7", "::1", true});
	wire_put_cancel(buf, 3);
	wire_put_recheck(buf, 77);
	wire_put_open(buf, 11, "sid", "::1", 16, &caller, &about);
	wire_put_poll(buf, 12, "sid", 1ULL << 63, 7, WIRE_IS_AGAIN);
	wire_put_release(buf, 12);
	wire_put_lookup(buf, 13, "sid", 15, 7, WIRE_IS_AGAIN, 65535, "pid");
	wire_put_apply(buf, 14, "sid", 15, 7, WIRE_IS_AGAIN, &ops);
	wire_put_session(buf, 13, &ops);
	wire_put_done(buf, 14, WIRE_DONE_LIMIT, "why");
	wire_put_bare(buf, WIRE_DOORBELL);
	wire_put_welcome(buf, 2, 1000, "0123");
	wire_put_deliver(buf, WIRE_SSE, 55, tickets, 2, body);
	wire_put_revoked(buf, WIRE_REVOKE_USER, 12, "jti");
	wire_put_refreshed(buf, 3, (const uint64_t[RETENTION_N]){1, 2});
	wire_put_ask(buf, 15, "connections", 7, &about);
	wire_put_cast(buf, 16, 7, "ticket:9", "socket", &ops);
	wire_put_answer(buf, 15, WIRE_ANSWER_BAD, &about);
	wire_put_error(buf, "no");

	take(buf, &f, WIRE_HELLO);
	assert_int_equal(f.hello.version, WIRE_VERSION);
	assert_int_equal(f.hello.role, WIRE_ROLE_CGI);
	assert_int_equal(f.hello.pid, 4711);
	assert_int_equal(f.hello.process, 99);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_WAIT);
	assert_true(f.wait.ticket == 1ULL << 40);
	assert_int_equal(f.wait.since, 99);
	assert_int_equal(f.wait.timeout_ms, 25000);
	assert_text(f.wait.epoch, "epoch");
	assert_int_equal(f.wait.interest.len, 5);
	assert_memory_equal(f.wait.interest.p, "\0blob", 5);
	assert_text(f.wait.who, "user:7");
	assert_text(f.wait.address, "::1");
	assert_int_equal(f.wait.again, 1);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_CANCEL);
	assert_int_equal(f.cancel.ticket, 3);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_RECHECK);
	assert_int_equal(f.recheck.since, 77);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_OPEN);
	assert_int_equal(f.open.ticket, 11);
	assert_text(f.open.sid, "sid");
	assert_text(f.open.address, "::1");
	assert_int_equal(f.open.packets, 16);
	assert_text(f.open.caller, "");
	assert_text(f.open.about, "{}");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_POLL);
	assert_int_equal(f.poll.ticket, 12);
	assert_true(f.poll.tag == 1ULL << 63 && f.poll.user == 7);
	assert_int_equal(f.poll.flags, WIRE_IS_AGAIN);
	assert_text(f.poll.sid, "sid");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_RELEASE);
	assert_int_equal(f.release.ticket, 12);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_LOOKUP);
	assert_true(f.lookup.ticket == 13 && f.lookup.user == 7 && f.lookup.tag == 15 &&
		    f.lookup.flags == WIRE_IS_AGAIN && f.lookup.events == 65535);
	assert_text(f.lookup.sid, "sid");
	assert_text(f.lookup.pid, "pid");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_APPLY);
	assert_true(f.apply.ticket == 14 && f.apply.tag == 15 && f.apply.user == 7);
	assert_int_equal(f.apply.flags, WIRE_IS_AGAIN);
	assert_int_equal(f.apply.ops.len, 4);
	assert_memory_equal(f.apply.ops.p, "\0ops", 4);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_SESSION);
	assert_true(f.session.ticket == 13 && f.session.state.len == 4);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_DONE);
	assert_true(f.done.ticket == 14 && f.done.what == WIRE_DONE_LIMIT);
	assert_text(f.done.why, "why");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_DOORBELL);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_WELCOME);
	assert_int_equal(f.welcome.node_id, 2);
	assert_int_equal(f.welcome.tail, 1000);
	assert_text(f.welcome.epoch, "0123");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_DELIVER);
	assert_int_equal(f.deliver.format, WIRE_SSE);
	assert_int_equal(f.deliver.cursor, 55);
	assert_int_equal(f.deliver.tickets_n, 2);
	assert_true(wire_ticket(&f, 0) == 7 && wire_ticket(&f, 1) == UINT64_MAX);
	assert_text(f.deliver.body, "{\"a\":1}");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_REVOKED);
	assert_int_equal(f.revoked.user_id, 12);
	assert_text(f.revoked.jti, "jti");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_REFRESHED);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_ASK);
	assert_true(f.ask.ticket == 15 && f.ask.tenant_id == 7);
	assert_text(f.ask.question, "connections");
	assert_text(f.ask.arguments, "{}");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_CAST);
	assert_true(f.cast.ticket == 16 && f.cast.tenant_id == 7);
	assert_text(f.cast.room, "ticket:9");
	assert_text(f.cast.except, "socket");
	assert_int_equal(f.cast.args.len, 4);
	wire_drop(buf, &f);
	take(buf, &f, WIRE_ANSWER);
	assert_true(f.answer.ticket == 15 && f.answer.what == WIRE_ANSWER_BAD);
	assert_text(f.answer.json, "{}");
	wire_drop(buf, &f);
	take(buf, &f, WIRE_ERROR);
	assert_text(f.error, "no");
	wire_drop(buf, &f);
	assert_int_equal(evbuffer_get_length(buf), 0);
	evbuffer_free(buf);
	evbuffer_free(body);
	str_fini(&about);
	str_fini(&ops);
}

static void test_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum wire_got got;
	} table[] = {
		{"", 0, WIRE_GOT_NONE}, {"\1\0\0", 3, WIRE_GOT_NONE},
		{"\11\0\0\0\3", 5, WIRE_GOT_NONE},       /* CANCEL, its ticket yet to come */
		{"\0\0\0\0\0", 5, WIRE_GOT_BAD},         /* no type */
		{"\1\0\0\0\77", 5, WIRE_GOT_BAD},        /* unknown type */
		{"\377\377\377\377\1", 5, WIRE_GOT_BAD}, /* too long */
		{"\2\0\0\0\4x", 6, WIRE_GOT_BAD},        /* DOORBELL with a byte too many */
		{"\5\0\0\0\3\1\2\3\4", 9, WIRE_GOT_BAD}, /* CANCEL with half a ticket */
		{"\10\0\0\0\1\1\0\1\0\0\0\0", 12, WIRE_GOT_FRAME}, /* HELLO */
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct evbuffer *buf = evbuffer_new();
		struct wire_frame f;
		const char *why = NULL;

		evbuffer_add(buf, table[i].bytes, table[i].len);
		assert_int_equal(wire_peek(buf, WIRE_TO_POLLER_MAX, &f, &why), table[i].got);
		assert_true((table[i].got == WIRE_GOT_BAD) == (why != NULL));
		evbuffer_free(buf);
	}
}

/* Lengths inside a frame that point past its end, found by changing every byte of good ones. */
static void test_mutations(void **state)
{
	struct str json = STR_INIT;

	str_adds(&json, "{\"a\":1}");
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		struct evbuffer *buf = evbuffer_new(), *body = evbuffer_new();
		const uint64_t ticket = 1;
		unsigned char bytes[256];
		struct wire_frame f;
		const char *why;
		ev_ssize_t len;

		evbuffer_add(body, "body", 4);
		if (round % 5 == 0)
			wire_put_wait(buf, 1, 2, 3, "epoch", "interest", 8,
				&(struct wire_holder){"user:1", "::1", false});
		else if (round % 5 == 1)
			wire_put_deliver(buf, WIRE_JSON, 1, &ticket, 1, body);
		else if (round % 5 == 2)
			wire_put_ask(buf, 1, "question", 7, &json);
		else if (round % 5 == 3)
			wire_put_cast(buf, 1, 7, "room", "socket", &json);
		else
			wire_put_answer(buf, 1, WIRE_ANSWER_BAD, &json);
		len = evbuffer_remove(buf, bytes, sizeof(bytes));
		bytes[4 + random() % (len - 4)] = (unsigned char)random();
		bytes[4 + random() % (len - 4)] = (unsigned char)random();
		evbuffer_add(buf, bytes, (size_t)len);
		if (wire_peek(buf, WIRE_FROM_POLLER_MAX, &f, &why) == WIRE_GOT_FRAME)
			wire_drop(buf, &f);
		evbuffer_free(buf);
		evbuffer_free(body);
	}
	str_fini(&json);
}

static void test_interest(void **state)
{
	struct wire_interest a = {
		.tenant_id = 3, .format = WIRE_JSON, .limit = 500, .only_rooms = true};
	struct wire_interest b = a, got;
	struct str x = STR_INIT, y = STR_INIT;

	strlist_add(&a.topics, "websites", 8);
	strlist_add(&a.topics, "nodes", 5);
	strlist_add(&a.topics, "websites", 8);
	strlist_add(&b.topics, "nodes", 5);
	strlist_add(&b.topics, "websites", 8);
	wire_interest_put(&x, &a);
	wire_interest_put(&y, &b);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.p, y.p, x.len);
	assert_true(wire_interest_get(x.p, x.len, &got));
	assert_int_equal(got.tenant_id, 3);
	assert_int_equal(got.limit, 500);
	assert_true(got.only_rooms && !got.all_topics && !got.all_rooms && !got.rooms_any_topic);
	assert_int_equal(got.topics.n, 2);
	assert_string_equal(got.topics.v[0], "nodes");
	wire_interest_fini(&got);
	for (size_t len = 0; len < x.len; len++)
		assert_false(wire_interest_get(x.p, len, &got));
	wire_interest_fini(&a);
	wire_interest_fini(&b);
	str_fini(&x);
	str_fini(&y);
}

static void add_view(struct wire_interest *i, const char *topic, uint8_t view, const char *filter)
{
	wire_interest_add_view(i, (struct slice){topic, strlen(topic)}, view,
		(struct slice){filter, strlen(filter)});
}

static struct str with_views(enum wire_format format, bool is_turned)
{
	static const char *const rows[][2] = {
		{"logs", "b"}, {"alerts", ""}, {"logs", ""}, {"logs", "ab"}, {"logs", "b"}};
	struct wire_interest i = {.tenant_id = 3, .format = (uint8_t)format, .limit = 500};
	struct str out = STR_INIT;

	for (size_t n = 0; n < ARRAY_N(rows); n++) {
		const char *const *row = rows[is_turned ? ARRAY_N(rows) - 1 - n : n];

		add_view(&i, row[0], 0, row[1]);
	}
	add_view(&i, "logs", 1, "");
	wire_interest_put(&out, &i);
	wire_interest_fini(&i);
	return out;
}

static void test_views(void **state)
{
	static const struct {
		const char *topic, *filter;
		uint8_t view;
	} rows[] = {{"alerts", "", 0}, {"logs", "", 0}, {"logs", "ab", 0}, {"logs", "b", 0},
		{"logs", "", 1}};
	struct str x = with_views(WIRE_SOCKET, false), y = with_views(WIRE_SOCKET, true);
	struct wire_interest got;

	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.p, y.p, x.len);
	assert_true(wire_interest_get(x.p, x.len, &got));
	assert_int_equal(got.views_n, ARRAY_N(rows));
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		assert_string_equal(got.views[i].topic, rows[i].topic);
		assert_int_equal(got.views[i].view, rows[i].view);
		assert_true(slice_is(got.views[i].filter, rows[i].filter));
	}
	wire_interest_fini(&got);
	for (size_t len = 0; len < x.len; len++)
		assert_false(wire_interest_get(x.p, len, &got));
	str_fini(&x);
	str_fini(&y);
}

static void test_too_many_views(void **state)
{
	struct wire_interest i = {.format = WIRE_SOCKET, .limit = 1}, got;
	struct str s = STR_INIT;

	for (size_t n = 0; n < WIRE_VIEWS_MAX + 1; n++) {
		char filter[8];

		snprintf(filter, sizeof(filter), "%04zu", n);
		add_view(&i, "logs", 0, filter);
	}
	assert_int_equal(i.views_n, WIRE_VIEWS_MAX);
	wire_interest_put(&s, &i);
	assert_true(wire_interest_get(s.p, s.len, &got));
	assert_int_equal(got.views_n, WIRE_VIEWS_MAX);
	wire_interest_fini(&got);
	/* Their number says one more, and it is there. */
	s.p[12]++;
	bytes_put_text(&s, "logs");
	bytes_put(&s, 0, 1);
	bytes_put_text(&s, "x");
	assert_false(wire_interest_get(s.p, s.len, &got));
	wire_interest_fini(&i);
	str_fini(&s);
}

/* Whatever is taken is written again as bytes that are taken, and then stays as it is. */
static void test_interest_mutations(void **state)
{
	static const char *const words[] = {"logs", "", "\x01", "\xff\xff"};
	struct wire_interest got;
	size_t taken_n = 0;

	for (size_t round = 0; round < 20000; round++) {
		struct str s = with_views(WIRE_SOCKET, false), once = STR_INIT, twice = STR_INIT;
		char *exact;

		for (uint32_t n = mutate_any(3) + 1; n; n--)
			mutate(&s, words, ARRAY_N(words));
		exact = unit_exact(str_c(&s), s.len);
		if (wire_interest_get(exact, s.len, &got)) {
			taken_n++;
			wire_interest_put(&once, &got);
			wire_interest_fini(&got);
			assert_true(wire_interest_get(once.p, once.len, &got));
			wire_interest_put(&twice, &got);
			wire_interest_fini(&got);
			assert_int_equal(once.len, twice.len);
			assert_memory_equal(once.p, twice.p, once.len);
		}
		free(exact);
		str_fini(&s);
		str_fini(&once);
		str_fini(&twice);
	}
	assert_true(taken_n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_interest),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_too_many_views),
		cmocka_unit_test(test_interest_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
