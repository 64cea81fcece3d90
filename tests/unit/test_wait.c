#define _GNU_SOURCE /* memmem */
/* Blocked requests: parked, delivered, timed out, cancelled, ahead of the tail; each is answered
 * once or not at all, and its memory goes at the safe point. */
#include "unit.h"

#include "group.h"
#include "wait.h"
#include "world.h"

#define LONG_MS 60000

static void put_interest(struct str *out, uint32_t tenant_id, const char *topic)
{
	struct wire_interest want = {.tenant_id = tenant_id, .format = WIRE_JSON, .limit = 10};

	strlist_add(&want.topics, topic, strlen(topic));
	wire_interest_put(out, &want);
	wire_interest_fini(&want);
}

static void ask(
	struct peer *p, uint64_t ticket, uint64_t since, uint32_t timeout_ms, const char *topic)
{
	static const struct wire_holder holder = {.who = "u1", .address = "192.0.2.1"};
	struct str want = STR_INIT;

	put_interest(&want, 1, topic);
	wire_put_wait(p->out, ticket, since, timeout_ms, WORLD_EPOCH, want.p, want.len, &holder);
	peer_send(p);
	str_fini(&want);
}

static const struct wire_frame *answer(struct peer *p, uint64_t ticket)
{
	const struct wire_frame *f = peer_next(p, WIRE_DELIVER);

	assert_int_equal(f->deliver.tickets_n, 1);
	assert_int_equal(wire_ticket(f, 0), ticket);
	return f;
}

static void assert_says(const struct wire_frame *f, const char *text)
{
	if (!memmem(f->deliver.body.p, f->deliver.body.len, text, strlen(text)))
		fail_msg("no %s in %.*s", text, (int)f->deliver.body.len, f->deliver.body.p);
}

static void until_parked(struct world *w, size_t n)
{
	struct group *g;
	size_t parked;

	do {
		const struct waiter *x;

		parked = 0;
		for (g = w->hub->groups; g; g = g->hh.next)
			TAILQ_FOREACH (x, &g->parked, entry)
				parked++;
		if (parked < n)
			world_turn(w);
	} while (parked < n);
}

static int begin(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct world *w = calloc(1, sizeof(*w));

	world_begin(w, (const char *const[]){"events.max_per_user=3", NULL});
	peer_begin(p, w, 1);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct peer *p = *state;
	struct world *w = p->world;

	peer_end(p);
	while (!TAILQ_EMPTY(&w->hub->conns))
		world_turn(w);
	assert_int_equal(w->hub->waiters_n, 0);
	assert_int_equal(w->hub->clients.held_n, 0);
	assert_null(w->hub->clients.tallies);
	groups_sweep(w->hub);
	world_end(w);
	free(w);
	free(p);
	return 0;
}

static void test_parked_and_delivered(void **state)
{
	struct peer *p = *state;

	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	until_parked(p->world, 1);
	world_release(p->world, WORLD_TAIL + 1, 1, "servers", "");
	world_release(p->world, WORLD_TAIL + 2, 2, "websites", "");
	peer_is_silent(p);
	world_release(p->world, WORLD_TAIL + 3, 1, "websites", "");
	assert_int_equal(answer(p, 1)->deliver.cursor, WORLD_TAIL + 3);
	assert_says(&p->f, "\"id\":103");
	assert_int_equal(p->world->hub->waiters_n, 0);
}

static void test_out_of_the_ring(void **state)
{
	struct peer *p = *state;

	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	world_release(p->world, WORLD_TAIL + 2, 1, "websites", "");
	ask(p, 1, WORLD_TAIL + 1, LONG_MS, "websites");
	assert_int_equal(answer(p, 1)->deliver.cursor, WORLD_TAIL + 2);
	assert_null(memmem(p->f.deliver.body.p, p->f.deliver.body.len, "\"id\":101", 8));
	assert_says(&p->f, "\"id\":102");
}

static void test_one_body_for_all_who_wait(void **state)
{
	struct peer *p = *state;
	const struct wire_frame *f;

	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	ask(p, 2, WORLD_TAIL, LONG_MS, "websites");
	ask(p, 3, WORLD_TAIL, LONG_MS, "servers");
	until_parked(p->world, 3);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	f = peer_next(p, WIRE_DELIVER);
	assert_int_equal(f->deliver.tickets_n, 2);
	assert_int_equal(wire_ticket(f, 0) + wire_ticket(f, 1), 3);
	peer_is_silent(p);
	assert_int_equal(p->world->hub->waiters_n, 1);
}

static void test_timed_out(void **state)
{
	struct peer *p = *state;

	world_release(p->world, WORLD_TAIL + 1, 1, "servers", "");
	ask(p, 1, WORLD_TAIL, 0, "websites");
	assert_int_equal(answer(p, 1)->deliver.cursor, WORLD_TAIL + 1);
	assert_says(&p->f, "\"events\":[]");
	ask(p, 2, WORLD_TAIL, 10, "websites");
	assert_int_equal(answer(p, 2)->deliver.cursor, WORLD_TAIL + 1);
}

static void test_cancelled(void **state)
{
	struct peer *p = *state;

	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	until_parked(p->world, 1);
	wire_put_cancel(p->out, 1);
	wire_put_cancel(p->out, 77);
	peer_send(p);
	while (p->world->hub->waiters_n)
		world_turn(p->world);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	peer_is_silent(p);
	/* The ticket may be used again. */
	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	answer(p, 1);
}

static void test_ahead_of_the_tail(void **state)
{
	struct peer *p = *state;

	ask(p, 1, WORLD_TAIL + 2, LONG_MS, "websites");
	while (TAILQ_EMPTY(&p->world->hub->ahead))
		world_turn(p->world);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	assert_false(TAILQ_EMPTY(&p->world->hub->ahead));
	world_release(p->world, WORLD_TAIL + 2, 1, "websites", "");
	until_parked(p->world, 1);
	world_release(p->world, WORLD_TAIL + 3, 1, "websites", "");
	assert_int_equal(answer(p, 1)->deliver.cursor, WORLD_TAIL + 3);
	assert_null(memmem(p->f.deliver.body.p, p->f.deliver.body.len, "\"id\":102", 8));
	/* Nobody has released that far: it is of another log. */
	ask(p, 2, WORLD_TAIL + 1000, LONG_MS, "websites");
	answer(p, 2);
	assert_says(&p->f, "\"reason\":\"ahead\"");
}

static void test_of_another_epoch(void **state)
{
	struct peer *p = *state;
	struct str want = STR_INIT;
	static const struct wire_holder holder = {.who = "u1", .address = "192.0.2.1"};

	put_interest(&want, 1, "websites");
	wire_put_wait(p->out, 1, WORLD_TAIL, LONG_MS, "ffffffffffffffffffffffffffffffff", want.p,
		want.len, &holder);
	peer_send(p);
	str_fini(&want);
	answer(p, 1);
	assert_says(&p->f, "\"reason\":\"epoch\"");
}

static void test_regrouped(void **state)
{
	struct peer *p = *state;
	struct hub *hub = p->world->hub;
	struct conn *c = TAILQ_FIRST(&hub->conns);
	struct str want = STR_INIT;
	struct group *g;

	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	until_parked(p->world, 1);
	put_interest(&want, 1, "servers");
	g = group_get(hub, want.p, want.len);
	wait_regroup(wait_find(c, 1), g);
	str_fini(&want);
	assert_int_equal(g->waiters_n, 1);
	world_release(p->world, WORLD_TAIL + 1, 1, "websites", "");
	peer_is_silent(p);
	world_release(p->world, WORLD_TAIL + 2, 1, "servers", "");
	answer(p, 1);
	assert_says(&p->f, "\"id\":102");
	assert_int_equal(g->waiters_n, 0);
}

static void test_memory_goes_at_the_safe_point(void **state)
{
	struct peer *p = *state;
	struct hub *hub = p->world->hub;
	struct waiter *w;

	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	until_parked(p->world, 1);
	w = wait_find(TAILQ_FIRST(&hub->conns), 1);
	wait_end(w);
	assert_null(wait_find(TAILQ_FIRST(&hub->conns), 1));
	assert_null(w->list); /* it is in no list, and there still */
	assert_int_equal(hub->grave.n, 1);
	while (hub->grave.n)
		world_turn(p->world);
}

static void test_so_many_a_user(void **state)
{
	struct peer *p = *state;
	const struct wire_frame *f;

	for (uint64_t ticket = 1; ticket <= 3; ticket++)
		ask(p, ticket, WORLD_TAIL, LONG_MS, "websites");
	until_parked(p->world, 3);
	ask(p, 4, WORLD_TAIL, LONG_MS, "websites");
	f = peer_next(p, WIRE_DONE);
	assert_int_equal(f->done.ticket, 4);
	assert_int_equal(f->done.what, WIRE_DONE_LIMIT);
	assert_int_equal(p->world->hub->waiters_n, 3);
}

static void test_a_connection_goes(void **state)
{
	struct peer *p = *state, other;
	struct world *w = p->world;

	peer_begin(&other, w, 2);
	ask(&other, 1, WORLD_TAIL, LONG_MS, "websites");
	ask(p, 1, WORLD_TAIL, LONG_MS, "websites");
	until_parked(w, 2);
	peer_hangs_up(&other);
	while (w->hub->conns_n > 1)
		world_turn(w);
	assert_int_equal(w->hub->waiters_n, 1);
	world_release(w, WORLD_TAIL + 1, 1, "websites", "");
	answer(p, 1);
	peer_end(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_parked_and_delivered, begin, end),
		cmocka_unit_test_setup_teardown(test_out_of_the_ring, begin, end),
		cmocka_unit_test_setup_teardown(test_one_body_for_all_who_wait, begin, end),
		cmocka_unit_test_setup_teardown(test_timed_out, begin, end),
		cmocka_unit_test_setup_teardown(test_cancelled, begin, end),
		cmocka_unit_test_setup_teardown(test_ahead_of_the_tail, begin, end),
		cmocka_unit_test_setup_teardown(test_of_another_epoch, begin, end),
		cmocka_unit_test_setup_teardown(test_regrouped, begin, end),
		cmocka_unit_test_setup_teardown(test_memory_goes_at_the_safe_point, begin, end),
		cmocka_unit_test_setup_teardown(test_so_many_a_user, begin, end),
		cmocka_unit_test_setup_teardown(test_a_connection_goes, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
