/* Sessions, as a process sees them: opened, joined, polled, told, closed; and what is sent again
 * when an answer may have been lost. */
#define _GNU_SOURCE /* memmem */
#include "unit.h"

#include "ops.h"
#include "perm.h"
#include "sessions.h"
#include "world.h"

#define SID "a sid"
#define PID "a private id"

static void open_session(struct peer *p, uint64_t ticket, const char *sid)
{
	struct str nobody = STR_INIT, about = STR_INIT;

	str_adds(&about, "{}");
	wire_put_open(p->out, ticket, sid, "192.0.2.1", 0, &nobody, &about);
	peer_send(p);
	str_fini(&nobody);
	str_fini(&about);
}

static enum wire_done done(struct peer *p, uint64_t ticket)
{
	const struct wire_frame *f = peer_next(p, WIRE_DONE);

	assert_int_equal(f->done.ticket, ticket);
	return (enum wire_done)f->done.what;
}

static void apply(
	struct peer *p, uint64_t ticket, const char *sid, uint64_t tag, const struct op *op)
{
	struct str ops = STR_INIT;

	ops_put(&ops, op);
	wire_put_apply(p->out, ticket, sid, tag, 0, 0, &ops);
	peer_send(p);
	str_fini(&ops);
}

static struct slice text(const char *s)
{
	return (struct slice){s, strlen(s)};
}

/* A user who may read websites joins "/". */
static void join(struct peer *p, uint64_t ticket, const char *sid, const char *pid, uint64_t from)
{
	struct principal who = {.tenant_id = 1, .user_id = 7};
	struct str rights = STR_INIT;
	struct op op = {.type = OP_CONNECT,
		.flags = OP_OFFSETS | (from == OPS_FROM_NOW ? 0 : OP_RESUMES),
		.id = from,
		.nsp = text("/"),
		.socket_id = text(sid),
		.pid = text(pid),
		.caller = {.tenant_id = 1, .user_id = 7, .username = text("ada"), .jti = text("")}};

	strlist_add(&who.perms, "websites:read", strlen("websites:read"));
	perm_rights_put(&rights, &who);
	op.rights = (struct slice){rights.p, rights.len};
	apply(p, ticket, sid, ticket, &op);
	strlist_fini(&who.perms);
	str_fini(&rights);
}

static void poll_for(struct peer *p, uint64_t ticket, const char *sid, uint64_t tag, uint8_t flags)
{
	wire_put_poll(p->out, ticket, sid, tag, 0, flags);
	peer_send(p);
}

/* The next answer is this ticket's, and says all that. */
static void told(struct peer *p, uint64_t ticket, const char *what)
{
	const struct wire_frame *f = peer_next(p, WIRE_DELIVER);

	assert_int_equal(f->deliver.tickets_n, 1);
	assert_int_equal(wire_ticket(f, 0), ticket);
	if (!memmem(f->deliver.body.p, f->deliver.body.len, what, strlen(what)))
		fail_msg("no %s in %.*s", what, (int)f->deliver.body.len, f->deliver.body.p);
}

static struct session *session(struct peer *p, const char *sid)
{
	return session_find(p->world->hub->sessions, text(sid));
}

/* Joined, and its client has got the answer. Tickets below 10 are used. */
static void begin_joined(struct peer *p)
{
	open_session(p, 1, SID);
	assert_int_equal(done(p, 1), WIRE_DONE_OK);
	join(p, 2, SID, PID, OPS_FROM_NOW);
	assert_int_equal(done(p, 2), WIRE_DONE_OK);
	poll_for(p, 3, SID, 103, 0);
	told(p, 3, "40{\"sid\":\"" SID "\",\"pid\":\"" PID "\"}");
}

static void until_held(struct peer *p, const char *sid)
{
	while (!session(p, sid)->poll)
		world_turn(p->world);
}

static int begin(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct world *w = calloc(1, sizeof(*w));

	world_begin(w, (const char *const[]){"socketio.list_wait_ms=0", NULL});
	peer_begin(p, w, 1);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct peer *p = *state;
	struct world *w = p->world;

	peer_end(p);
	world_end(w);
	free(w);
	free(p);
	return 0;
}

static void test_told_of_events(void **state)
{
	struct peer *p = *state;

	begin_joined(p);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	world_release(p->world, WORLD_TAIL + 1, 1, "servers", "");
	world_release(p->world, WORLD_TAIL + 2, 2, "websites", "");
	peer_is_silent(p);
	world_release(p->world, WORLD_TAIL + 3, 1, "websites", "");
	told(p, 10, "\"" WORLD_EPOCH ":103\"]");
	/* What comes while no GET is there waits in the ring. */
	world_release(p->world, WORLD_TAIL + 4, 1, "websites", "");
	poll_for(p, 11, SID, 111, 0);
	told(p, 11, "\"" WORLD_EPOCH ":104\"]");
	assert_int_equal(session(p, SID)->acked, WORLD_TAIL + 3);
	poll_for(p, 12, SID, 112, 0);
	until_held(p, SID);
	assert_int_equal(session(p, SID)->acked, WORLD_TAIL + 4);
	world_release(p->world, WORLD_TAIL + 5, 1, "websites", "user:7");
	told(p, 12, "told");
}

static void test_what_is_queued_goes_first(void **state)
{
	struct peer *p = *state;

	begin_joined(p);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	apply(p, 10, SID, 110,
		&(struct op){.type = OP_EMIT, .nsp = text("/"), .bytes = text("\"pong\",1")});
	assert_int_equal(done(p, 10), WIRE_DONE_OK);
	poll_for(p, 11, SID, 111, 0);
	told(p, 11,
		"42[\"pong\",1,\"" WORLD_EPOCH ":100\"]\x1e"
		"42[\"websites:update\"");
	/* To a GET that is held it goes at once. */
	poll_for(p, 12, SID, 112, 0);
	until_held(p, SID);
	apply(p, 13, SID, 113, &(struct op){.type = OP_SEND, .bytes = text("3probe")});
	assert_int_equal(done(p, 13), WIRE_DONE_OK);
	told(p, 12, "3probe");
}

static void test_a_lost_answer_is_sent_again(void **state)
{
	struct peer *p = *state, other;

	begin_joined(p);
	peer_begin(&other, p->world, 2);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	poll_for(p, 10, SID, 110, 0);
	told(p, 10, ":101\"]");
	/* Its process has died with the answer; the web server asks another one. */
	poll_for(&other, 10, SID, 110, WIRE_IS_AGAIN);
	told(&other, 10, ":101\"]");
	assert_int_equal(session(p, SID)->acked, WORLD_TAIL);
	poll_for(&other, 11, SID, 111, 0);
	until_held(p, SID);
	assert_int_equal(session(p, SID)->acked, WORLD_TAIL + 1);
	peer_end(&other);
}

static void test_a_process_dies_with_the_get(void **state)
{
	struct peer *p = *state, other;

	begin_joined(p);
	peer_begin(&other, p->world, 2);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	/* It seems to be there, so the same mark is in doubt, until it is gone. */
	poll_for(&other, 20, SID, 110, 0);
	peer_is_silent(&other);
	peer_hangs_up(p);
	while (p->world->hub->conns_n > 1)
		world_turn(p->world);
	until_held(&other, SID);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	told(&other, 20, ":101\"]");
	peer_end(&other);
}

static void test_two_gets_at_once(void **state)
{
	struct peer *p = *state;

	begin_joined(p);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	poll_for(p, 11, SID, 111, 0);
	assert_int_equal(done(p, 11), WIRE_DONE_BAD);
	told(p, 10, "1");
	assert_null(session(p, SID));
}

static void test_closed_by_its_client(void **state)
{
	struct peer *p = *state;

	begin_joined(p);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	apply(p, 11, SID, 111, &(struct op){.type = OP_CLOSE});
	assert_int_equal(done(p, 11), WIRE_DONE_OK);
	told(p, 10, "6");
	assert_null(session(p, SID));
	poll_for(p, 12, SID, 112, 0);
	assert_int_equal(done(p, 12), WIRE_DONE_UNKNOWN);
}

static void test_a_client_hangs_up(void **state)
{
	struct peer *p = *state;

	begin_joined(p);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	wire_put_cancel(p->out, 10);
	peer_send(p);
	while (session(p, SID))
		world_turn(p->world);
	peer_is_silent(p);
}

static void test_taken_over(void **state)
{
	static const char again[] = "another sid";
	struct peer *p = *state;

	begin_joined(p);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	told(p, 10, ":101\"]");
	/* Its client never got that, and comes back with what it has. */
	open_session(p, 11, again);
	assert_int_equal(done(p, 11), WIRE_DONE_OK);
	join(p, 12, again, PID, WORLD_TAIL);
	assert_int_equal(done(p, 12), WIRE_DONE_OK);
	assert_null(session(p, SID));
	poll_for(p, 13, again, 113, 0);
	told(p, 13, "40{\"sid\":\"another sid\"");
	assert_non_null(memmem(p->f.deliver.body.p, p->f.deliver.body.len, ":101\"]", 6));
}

static void test_memory_goes_at_the_safe_point(void **state)
{
	struct peer *p = *state;
	struct hub *hub = p->world->hub;
	struct session *s;

	begin_joined(p);
	poll_for(p, 10, SID, 110, 0);
	until_held(p, SID);
	s = session(p, SID);
	session_close(s, END_FORCED_CLOSE);
	/* Its memory, and that of its GET, are there still. */
	assert_null(s->poll);
	assert_true(hub->grave.n > 0);
	told(p, 10, "1");
}

static void test_connection_limit(void **state)
{
	struct peer *p = *state;

	p->world->cfg.socketio.max_per_address = 2;
	open_session(p, 1, "one");
	assert_int_equal(done(p, 1), WIRE_DONE_OK);
	open_session(p, 2, "two");
	assert_int_equal(done(p, 2), WIRE_DONE_OK);
	open_session(p, 3, "three");
	assert_int_equal(done(p, 3), WIRE_DONE_LIMIT);
	/* Asked again, it is the one that is there. */
	open_session(p, 4, "two");
	assert_int_equal(done(p, 4), WIRE_DONE_OK);
	assert_int_equal(sessions_live_n(p->world->hub->sessions), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_told_of_events),
		TEST(test_what_is_queued_goes_first),
		TEST(test_a_lost_answer_is_sent_again),
		TEST(test_a_process_dies_with_the_get),
		TEST(test_two_gets_at_once),
		TEST(test_closed_by_its_client),
		TEST(test_a_client_hangs_up),
		TEST(test_taken_over),
		TEST(test_memory_goes_at_the_safe_point),
		TEST(test_connection_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
