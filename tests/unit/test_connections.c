/* The question "connections": pages of any size, put together, are all that match, in order; and
 * lag counts the tenant's events alone. */
#include "unit.h"

#include "abroad.h"
#include "ask.h"
#include "errand.h"
#include "hub.h"
#include "mem.h"
#include "session.h"
#include "session_poll.h"
#include "sessions.h"

#define N_MAX 500
#define TENANTS 2
#define NAMES 7

static struct sessions all;
static const struct config cfg = {.poller = {.node_id = 7}};
static struct hub hub = {.sessions = &all, .cfg = &cfg};
static struct session sessions[N_MAX];
static struct caller people[TENANTS][NAMES];
static char addresses[][16] = {"192.0.2.1", "192.0.2.2"};
static char main_nsp[] = "/", socket_id[] = "socket";

/* ---- what the question needs of the poller ---- */

struct errand *errand_new(struct hub *h, const struct errand_kind *kind, size_t size)
{
	struct errand *e = xcalloc(1, size);

	e->hub = h;
	e->kind = kind;
	return e;
}

void ask_problem(struct ask *a, const char *field, const char *fmt, ...)
{
	str_adds(&a->problems, field);
	str_addc(&a->problems, ' ');
}

void ask_number(struct ask *a, const char *field, const char *value, uint64_t min, uint64_t max,
	uint64_t *out)
{
	if (!parse_u64(value, min, max, out))
		ask_problem(a, field, "%s", "");
}

bool abroad_ask(struct errand *e, const struct connection_filter *f, bool by_user, bool is_down,
	uint64_t limit)
{
	return false;
}

void abroad_free(struct abroad *a)
{
	assert_null(a);
}

struct session *sessions_at(const struct sessions *ss, uint32_t num)
{
	return &sessions[num];
}

uint64_t session_cursor(const struct session *s)
{
	return s->cursor;
}

uint32_t sock_tenant(const struct sock *k)
{
	return k->caller ? k->caller->tenant_id : 0;
}

/* ---- the world ---- */

static void make_people(void)
{
	for (uint32_t t = 0; t < TENANTS; t++) {
		for (uint32_t i = 0; i < NAMES; i++) {
			struct str name = STR_INIT;

			str_addf(&name, "user%u", i);
			people[t][i] = (struct caller){.refs = 1,
				.tenant_id = t + 1,
				.user_id = t * NAMES + i + 1,
				.username = str_take(&name)};
		}
	}
}

static void make_sessions(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct session *s = &sessions[i];
		struct str id = STR_INIT;

		free(s->client_id);
		str_addf(&id, "%zu", i);
		*s = (struct session){.hub = &hub,
			.num = (uint32_t)i,
			.state = random() % 8 ? SESSION_JOINED : SESSION_OPEN,
			.client_id = str_take(&id),
			.address = addresses[random() % 2],
			.opened_wall_ms = random() % 20,
			.cursor = (uint64_t)(random() % 12),
			.heard_n = (uint64_t)(random() % 4),
			.sent_n = (uint64_t)(random() % 4)};
		s->caller = &people[random() % TENANTS][random() % NAMES];
		s->socks[0] = (struct sock){.nsp = main_nsp, .id = socket_id, .caller = s->caller};
		s->socks_n = s->state == SESSION_JOINED;
	}
}

/* Events 1 to 10, those with an even id the first tenant's. */
static void make_ring(void)
{
	ring_init(&hub.ring, 16, 1 << 20, 0);
	for (uint64_t id = 1; id <= 10; id++) {
		const struct db_val row[RECORD_COLUMNS_N] = {DBV_U(id), DBV_U(1 + id % 2),
			dbv_s("websites"), dbv_s("update"), dbv_s("{}"), dbv_s(""), dbv_s(""),
			dbv_s("2026-01-01 00:00:00.000")};

		ring_push(&hub.ring, record_new(row));
	}
	hub.tail = 10;
}

static uint64_t expected_lag(const struct session *s, uint32_t tenant)
{
	uint64_t lag = 0;

	for (uint64_t id = s->cursor + 1; id <= 10; id++)
		lag += !tenant || 1 + id % 2 == tenant;
	return lag;
}

/* ---- asking ---- */

static struct json_object *ask(size_t n, uint32_t tenant, const char *args)
{
	struct ask a = {.hub = &hub, .tenant_id = tenant};
	struct str json = STR_INIT;
	struct json_object *o;
	const char *why;
	size_t offset;

	a.args = json_parse(args, strlen(args), &why, &offset);
	ask_connections(&a);
	assert_int_equal(a.problems.len, 0);
	for (size_t i = 0; i < n; i++)
		a.errand->kind->visit(a.errand, &sessions[i]);
	a.errand->kind->finish(a.errand, &json);
	a.errand->kind->fini(a.errand);
	free(a.errand);
	o = json_parse(str_c(&json), json.len, &why, &offset);
	assert_non_null(o);
	str_fini(&json);
	json_object_put(a.args);
	return o;
}

static uint64_t key(const struct session *s, const char *sort, uint32_t tenant)
{
	switch (sort[0]) {
	case 'c':
		return (uint64_t)s->opened_wall_ms;
	case 'l':
		return expected_lag(s, tenant);
	case 'm':
		return s->heard_n + s->sent_n;
	default:
		return (uint64_t)s->caller->username[4];
	}
}

/* The place of s among those that match: how many of them come before it. */
static size_t place(const struct session *s, size_t n, uint32_t tenant, const char *sort, bool down)
{
	uint64_t own = key(s, sort, tenant);
	size_t before = 0;

	for (size_t i = 0; i < n; i++) {
		const struct session *o = &sessions[i];
		uint64_t other = key(o, sort, tenant);

		if (!tenant || o->caller->tenant_id == tenant)
			before += other == own ? o->num < s->num : down ? other > own : other < own;
	}
	return before;
}

static void look_through(size_t n, uint32_t tenant, const char *sort, bool down, size_t page_size)
{
	size_t total = 0, seen = 0, on_page = 1;

	for (size_t i = 0; i < n; i++)
		total += !tenant || sessions[i].caller->tenant_id == tenant;
	for (size_t page = 1; on_page > 0; page++) {
		struct str args = STR_INIT;
		struct json_object *o, *items;

		str_addf(&args, "{\"sort\":\"%s%s\",\"page\":%zu,\"page_size\":\"%zu\"}",
			down ? "-" : "", sort, page, page_size);
		o = ask(n, tenant, str_c(&args));
		items = json_get(o, "items");
		on_page = json_object_array_length(items);
		assert_int_equal(json_object_get_uint64(json_get(o, "total")), total);
		for (size_t i = 0; i < on_page; i++, seen++) {
			struct json_object *item = json_object_array_get_idx(items, i);
			const struct session *s = &sessions[atoi(json_get_str(item, "id"))];

			assert_int_equal(place(s, n, tenant, sort, down), seen);
			assert_int_equal(json_object_get_uint64(json_get(item, "lag")),
				expected_lag(s, tenant));
		}
		json_object_put(o);
		str_fini(&args);
	}
	assert_int_equal(seen, total);
}

static void pages_are_the_whole(void **state)
{
	static const char *const sorts[] = {"connectedAt", "lag", "messageCount", "user"};
	static const size_t counts[] = {0, 1, 2, 61, N_MAX}, sizes[] = {1, 7, 200};

	srandom(1);
	for (size_t i = 0; i < ARRAY_N(counts); i++) {
		make_sessions(counts[i]);
		for (size_t j = 0; j < ARRAY_N(sorts); j++)
			for (size_t k = counts[i] > 100 ? 1 : 0; k < ARRAY_N(sizes); k++)
				for (uint32_t tenant = 0; tenant <= TENANTS; tenant++) {
					look_through(counts[i], tenant, sorts[j], false, sizes[k]);
					look_through(counts[i], tenant, sorts[j], true, sizes[k]);
				}
	}
	for (size_t t = 0; t < TENANTS; t++)
		for (size_t i = 0; i < NAMES; i++)
			assert_int_equal(people[t][i].refs, 1);
}

static void filters_count(void **state)
{
	size_t by_ip = 0, behind = 0;
	struct json_object *o;

	srandom(2);
	make_sessions(N_MAX);
	for (size_t i = 0; i < N_MAX; i++) {
		bool is_own = sessions[i].caller->tenant_id == 2;

		by_ip += is_own && sessions[i].address == addresses[0];
		behind += is_own && expected_lag(&sessions[i], 2) >= 3;
	}
	o = ask(N_MAX, 2, "{\"ip\":\"192.0.2.1\"}");
	assert_int_equal(json_object_get_uint64(json_get(o, "total")), by_ip);
	json_object_put(o);
	o = ask(N_MAX, 2, "{\"min_lag\":3}");
	assert_int_equal(json_object_get_uint64(json_get(o, "total")), behind);
	json_object_put(o);
}

static void who_went_meanwhile_is_left_out(void **state)
{
	struct ask a = {.hub = &hub, .tenant_id = 1};
	struct str json = STR_INIT;

	srandom(3);
	make_sessions(10);
	ask_connections(&a);
	for (size_t i = 0; i < 10; i++)
		a.errand->kind->visit(a.errand, &sessions[i]);
	for (size_t i = 0; i < 10; i++)
		sessions[i].state = SESSION_GONE;
	a.errand->kind->finish(a.errand, &json);
	assert_non_null(strstr(str_c(&json), "\"items\":[],"));
	a.errand->kind->fini(a.errand);
	free(a.errand);
	str_fini(&json);
}

static void fini(void)
{
	ring_fini(&hub.ring);
	for (size_t i = 0; i < N_MAX; i++)
		free(sessions[i].client_id);
	for (size_t t = 0; t < TENANTS; t++)
		for (size_t i = 0; i < NAMES; i++)
			free(people[t][i].username);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_the_whole),
		cmocka_unit_test(filters_count),
		cmocka_unit_test(who_went_meanwhile_is_left_out),
	};
	int failed;

	make_people();
	make_ring();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fini();
	return failed;
}
