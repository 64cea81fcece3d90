/* Operations and states: what is put in comes out, whole or not at all. */
#include "unit.h"

#include "ops.h"

#define SLICE(text)                                  \
	{                                            \
		.p = (text), .len = sizeof(text) - 1 \
	}

static const struct caller_view somebody = {.tenant_id = 3,
	.user_id = 1ULL << 40,
	.apikey_id = 0,
	.expires_s = 1900000000,
	.username = SLICE("ann"),
	.jti = SLICE("0123456789abcdef0123456789abcdef")};

static const struct op all[] = {
	{.type = OP_PONG},
	{.type = OP_LOST, .id = 4711},
	{.type = OP_CLOSE},
	{.type = OP_BAD, .code = SLICE("why"), .message = SLICE("")},
	{.type = OP_CONNECT,
		.flags = OP_OFFSETS | OP_RESUMES,
		.id = OPS_FROM_NOW,
		.nsp = SLICE("/"),
		.socket_id = SLICE("socket"),
		.pid = SLICE("pid"),
		.caller = somebody,
		.bytes = SLICE("record"),
		.rights = SLICE("\0rights")},
	{.type = OP_DISCONNECT, .nsp = SLICE("/admin")},
	{.type = OP_SEND,
		.bytes = SLICE("430[]\x1e"
			       "43")},
	{.type = OP_EMIT,
		.flags = OP_SYNC,
		.id = 99,
		.nsp = SLICE("/"),
		.topic = SLICE("websites"),
		.bytes = SLICE("\"a\",1")},
	{.type = OP_IDENTITY, .nsp = SLICE("/"), .caller = somebody, .rights = SLICE("i")},
	{.type = OP_END, .nsp = SLICE("/"), .code = SLICE("c"), .message = SLICE("m")},
	{.type = OP_PENDING, .bytes = SLICE("half")},
	{.type = OP_HEARD, .nsp = SLICE("/"), .bytes = SLICE("")},
	{.type = OP_ACKED, .id = 7},
	{.type = OP_ADMIN,
		.flags = OP_CLOSES,
		.admin = OP_ADMIN_DISCONNECT,
		.nsp = SLICE("/"),
		.filter = SLICE("socket"),
		.room = SLICE("room"),
		.bytes = SLICE("[]"),
		.caller = somebody},
	{.type = OP_ROWS,
		.id = 98,
		.topic = SLICE("nodes"),
		.bytes = SLICE("0123456789abcdef"),
		.rights = SLICE("j")},
	{.type = OP_SUBSCRIBE, .bytes = SLICE("\1subs"), .rights = SLICE("k")},
	{.type = OP_UNSUBSCRIBE, .bytes = SLICE("\1subs")},
	{.type = OP_PAUSE, .id = 7, .bytes = SLICE("\1subs")},
	{.type = OP_RESUME, .id = OPS_FROM_NOW, .bytes = SLICE("\1subs")},
};

static void assert_slice(struct slice got, struct slice expected)
{
	assert_int_equal(got.len, expected.len);
	if (got.len)
		assert_memory_equal(got.p, expected.p, got.len);
}

static void assert_caller(const struct caller_view *got, const struct caller_view *expected)
{
	assert_int_equal(got->tenant_id, expected->tenant_id);
	assert_true(got->user_id == expected->user_id);
	assert_true(got->apikey_id == expected->apikey_id);
	assert_true(got->expires_s == expected->expires_s);
	assert_slice(got->username, expected->username);
	assert_slice(got->jti, expected->jti);
}

static void assert_op(const struct op *got, const struct op *expected)
{
	assert_int_equal(got->type, expected->type);
	assert_int_equal(got->flags, expected->flags);
	assert_int_equal(got->admin, expected->admin);
	assert_true(got->id == expected->id);
	assert_slice(got->nsp, expected->nsp);
	assert_slice(got->socket_id, expected->socket_id);
	assert_slice(got->pid, expected->pid);
	assert_slice(got->topic, expected->topic);
	assert_slice(got->filter, expected->filter);
	assert_slice(got->room, expected->room);
	assert_slice(got->code, expected->code);
	assert_slice(got->message, expected->message);
	assert_slice(got->bytes, expected->bytes);
	assert_slice(got->rights, expected->rights);
	assert_caller(&got->caller, &expected->caller);
}

static void operations_come_out_as_they_went_in(void **state)
{
	struct str s = STR_INIT;
	struct bytes b;
	struct op op;

	assert_int_equal(ARRAY_N(all), OP_N - 1);
	for (size_t i = 0; i < ARRAY_N(all); i++)
		ops_put(&s, &all[i]);
	b = bytes_of(s.p, s.len);
	for (size_t i = 0; i < ARRAY_N(all); i++) {
		assert_true(ops_next(&b, &op));
		assert_op(&op, &all[i]);
	}
	assert_false(ops_next(&b, &op));
	assert_true(bytes_are_done(&b));
	str_fini(&s);
}

/* Cut anywhere, an operation is bad and the ones before it are whole. */
static void cut_operations_are_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_N(all); i++) {
		struct str s = STR_INIT;
		struct op op;

		ops_put(&s, &all[i]);
		for (size_t len = 1; len < s.len; len++) {
			char *copy = memcpy(malloc(len), s.p, len); /* for the sanitizer */
			struct bytes b = bytes_of(copy, len);

			assert_false(ops_next(&b, &op));
			assert_true(b.is_bad);
			free(copy);
		}
		str_fini(&s);
	}
}

static void what_is_no_operation_is_bad(void **state)
{
	static const struct slice bad[] = {SLICE("\0"), SLICE("\x0f"), SLICE("\xff"),
		SLICE("\x0e\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* ADMIN without a command */
		SLICE("\x0e\0\x05\0\0\0\0\0\0\0\0\0\0")};

	for (size_t i = 0; i < ARRAY_N(bad); i++) {
		struct bytes b = bytes_of(bad[i].p, bad[i].len);
		struct op op;

		assert_false(ops_next(&b, &op));
		assert_true(b.is_bad);
	}
}

static void states_come_out_as_they_went_in(void **state)
{
	const struct ops_state in = {.flags = OPS_STATE_WATCHED | OPS_STATE_HAS_BEFORE,
		.events_allowed = 65535,
		.caller = somebody,
		.sockets = {{SLICE("/"), SLICE("a"), somebody}, {SLICE("/admin"), SLICE("b"), {0}}},
		.sockets_n = 2,
		.pending = SLICE("pending"),
		.before = {SLICE("old"), somebody, 12345, SLICE("websites,nodes")}};
	struct str s = STR_INIT;
	struct ops_state out;

	ops_state_put(&s, &in);
	assert_true(ops_state_get((struct slice){.p = s.p, .len = s.len}, &out));
	assert_int_equal(out.flags, in.flags);
	assert_int_equal(out.events_allowed, in.events_allowed);
	assert_int_equal(out.sockets_n, in.sockets_n);
	assert_caller(&out.caller, &in.caller);
	for (size_t i = 0; i < in.sockets_n; i++) {
		assert_slice(out.sockets[i].nsp, in.sockets[i].nsp);
		assert_slice(out.sockets[i].socket_id, in.sockets[i].socket_id);
		assert_caller(&out.sockets[i].caller, &in.sockets[i].caller);
	}
	assert_slice(out.pending, in.pending);
	assert_slice(out.before.socket_id, in.before.socket_id);
	assert_caller(&out.before.caller, &in.before.caller);
	assert_true(out.before.cursor == in.before.cursor);
	assert_slice(out.before.requested, in.before.requested);
	for (size_t len = 0; len < s.len; len++)
		assert_false(ops_state_get((struct slice){.p = s.p, .len = len}, &out));
	s.p[0] &= ~OPS_STATE_HAS_BEFORE; /* then there is too much */
	assert_false(ops_state_get((struct slice){.p = s.p, .len = s.len}, &out));
	str_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_come_out_as_they_went_in),
		cmocka_unit_test(cut_operations_are_bad),
		cmocka_unit_test(what_is_no_operation_is_bad),
		cmocka_unit_test(states_come_out_as_they_went_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
