/* Observers: each is told what it has a function for; of single events only while anybody watches.
 */
#include "unit.h"

#include "group.h"
#include "hub.h"
#include "observer.h"

static struct told {
	int joined, left, heard, sent, answered, ticks;
	char rooms[256];
} told;

static void *start(struct hub *hub)
{
	return &told;
}

static void stop(void *me)
{
	assert_ptr_equal(me, &told);
}

static void on_tick(void *me, int64_t now)
{
	told.ticks++;
}

static void on_joined(void *me, struct session *s, struct sock *k)
{
	told.joined++;
}

static void on_left(void *me, struct session *s, struct sock *k, enum session_end how)
{
	told.left++;
}

static void on_room(void *me, struct session *s, struct sock *k, const char *room, bool is_in)
{
	assert_ptr_equal(k, &s->socks[0]);
	snprintf(told.rooms + strlen(told.rooms), sizeof(told.rooms) - strlen(told.rooms), "%c%s ",
		is_in ? '+' : '-', room);
}

static void on_heard(void *me, struct session *s, struct sock *k, struct slice args)
{
	told.heard++;
}

static void on_sent(void *me, struct session *s, struct sock *k, struct slice args)
{
	told.sent++;
}

static void on_answered(void *me, struct session *s, const struct body *b)
{
	told.answered++;
}

static const struct observer all = {.start = start,
	.stop = stop,
	.tick = on_tick,
	.joined = on_joined,
	.left = on_left,
	.room = on_room,
	.heard = on_heard,
	.sent = on_sent,
	.answered = on_answered};
static const struct observer little = {.start = start, .stop = stop};
static const struct observer *const table[] = {&little, &all, NULL};

static char nsp[] = "/";
static struct hub hub;
static struct session session = {
	.hub = &hub, .socks = {{.nsp = nsp}}, .socks_n = 1, .state = SESSION_JOINED};

static int begin(void **state)
{
	told = (struct told){0};
	hub.observers = observers_new(&hub, table);
	return 0;
}

static int end(void **state)
{
	observers_free(hub.observers);
	return 0;
}

static void say(void)
{
	static const struct slice args = {"\"x\"", 3};

	observe_heard(&session, &session.socks[0], args);
	observe_sent(&session, &session.socks[0], args);
	observe_answered(&session, NULL);
}

static void test_events_are_told_to_who_watches(void **state)
{
	struct observers *os = hub.observers;

	assert_false(observers_are_watched(os));
	say();
	assert_int_equal(told.heard + told.sent + told.answered, 0);
	observers_watch(os);
	observers_watch(os);
	observers_unwatch(os);
	assert_true(observers_are_watched(os));
	say();
	assert_int_equal(told.heard, 1);
	assert_int_equal(told.sent, 1);
	assert_int_equal(told.answered, 1);
	observers_unwatch(os);
	assert_false(observers_are_watched(os));
	say();
	assert_int_equal(told.heard, 1);
}

static void test_coming_and_going_is_told_always(void **state)
{
	observe_adopted(&session);
	observe_joined(&session, &session.socks[0]);
	observe_left(&session, &session.socks[0], END_FORCED_CLOSE);
	observers_tick(hub.observers, 1);
	assert_int_equal(told.joined, 1);
	assert_int_equal(told.left, 1);
	assert_int_equal(told.ticks, 1);
}

static void test_rooms(void **state)
{
	struct group was = {0}, now = {0};

	strlist_add(&was.want.rooms, "user:7", 6);
	strlist_add(&was.want.rooms, "role:admin", 10);
	strlist_add(&now.want.rooms, "user:7", 6);
	strlist_add(&now.want.rooms, "ticket:1", 8);
	session.group = &now;
	observe_regrouped(&session, &was);
	assert_string_equal(told.rooms, "-role:admin +ticket:1 ");
	observe_regrouped(&session, &now);
	assert_string_equal(told.rooms, "-role:admin +ticket:1 ");
	strlist_fini(&was.want.rooms);
	strlist_fini(&now.want.rooms);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_events_are_told_to_who_watches),
		TEST(test_coming_and_going_is_told_always),
		TEST(test_rooms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
