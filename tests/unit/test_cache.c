#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "cache.h"
#include "clock.h"
#include "secret.h"

#define EPOCH "0123456789abcdef0123456789abcdef"

static struct shm *page;

static int make_page(void **state)
{
	char dir[] = "/tmp/cmdb-cache-XXXXXX", path[64];

	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/page", dir);
	page = shm_create(path, EPOCH);
	unlink(path);
	rmdir(dir);
	return page ? 0 : -1;
}

static int drop_page(void **state)
{
	shm_detach(page);
	return 0;
}

static void renew_lease(void)
{
	atomic_store(&page->lease_until_ms, clock_ms() + SHM_LEASE_MS);
}

static struct cached *answer(const char *text)
{
	struct str body = STR_INIT;
	uint64_t tail = 42;

	str_adds(&body, text);
	return cached_new(&body, &tail);
}

static void add(struct cache *c, const char *query, const char *text)
{
	struct cache_note note;
	struct cached *a = answer(text);

	assert_true(cache_note(&note, page, 1, "websites"));
	cache_add(c, 1, "/p", query, &note, a);
	cached_put(a);
}

static bool has(struct cache *c, uint32_t tenant, const char *path, const char *query)
{
	struct cache_note now;
	struct cached *found;
	bool yes;

	if (!cache_note(&now, page, tenant, "websites"))
		return false;
	found = cache_get(c, tenant, path, query, &now);
	yes = found != NULL;
	cached_put(found);
	return yes;
}

static void answer_is_found_by_tenant_path_and_query(void **state)
{
	struct cache *c = cache_new();

	renew_lease();
	add(c, "a=1", "x");
	assert_true(has(c, 1, "/p", "a=1"));
	assert_false(has(c, 2, "/p", "a=1"));
	assert_false(has(c, 1, "/p", "a=2"));
	assert_false(has(c, 1, "/q", "a=1"));
	assert_false(has(c, 1, "/p?a=1", ""));
	cache_free(c);
}

static void change_of_the_topic_ends_it(void **state)
{
	struct cache *c = cache_new();

	renew_lease();
	add(c, "", "x");
	shm_raise(page, 1, "nodes");
	shm_raise(page, 2, "websites");
	assert_true(has(c, 1, "/p", ""));
	shm_raise(page, 1, "websites");
	assert_false(has(c, 1, "/p", ""));
	cache_free(c);
}

static void change_during_the_select_is_not_missed(void **state)
{
	struct cache *c = cache_new();
	struct cached *a = answer("old");
	struct cache_note note;

	renew_lease();
	assert_true(cache_note(&note, page, 1, "websites"));
	shm_raise(page, 1, "websites");
	cache_add(c, 1, "/p", "", &note, a);
	assert_false(has(c, 1, "/p", ""));
	cached_put(a);
	cache_free(c);
}

static void nothing_is_served_without_a_lease(void **state)
{
	struct cache *c = cache_new();
	struct cache_note note;

	renew_lease();
	add(c, "", "x");
	atomic_store(&page->lease_until_ms, clock_ms() - 1);
	assert_false(cache_note(&note, page, 1, "websites"));
	assert_false(cache_note(&note, NULL, 1, "websites"));
	renew_lease();
	assert_true(has(c, 1, "/p", ""));
	cache_free(c);
}

static void old_answer_is_not_served(void **state)
{
	struct cache *c = cache_new();
	struct cached *a = answer("x");
	struct cache_note note;

	renew_lease();
	assert_true(cache_note(&note, page, 1, "websites"));
	note.at_ms -= CACHE_MAX_AGE_MS;
	cache_add(c, 1, "/p", "", &note, a);
	assert_false(has(c, 1, "/p", ""));
	cached_put(a);
	cache_free(c);
}

/* Who has asked before it was made gets it whatever has changed since. */
static void answer_for_who_has_waited(void **state)
{
	struct cache *c = cache_new();
	struct cached *a = answer("x"), *found;
	struct cache_note note, now;

	renew_lease();
	assert_int_equal(a->tail, 42);
	assert_true(cache_note(&note, page, 1, "websites"));
	cache_add(c, 1, "/p", "", &note, a);
	shm_raise(page, 1, "websites");
	assert_true(cache_note(&now, page, 1, "websites"));
	assert_null(cache_get_since(c, 1, "/p", "", &now, note.at_ms));
	found = cache_get_since(c, 1, "/p", "", &now, note.at_ms - 1);
	assert_ptr_equal(found, a);
	cached_put(found);
	now.at_ms = note.at_ms + CACHE_MAX_AGE_MS;
	assert_null(cache_get_since(c, 1, "/p", "", &now, note.at_ms - 1));
	cached_put(a);
	cache_free(c);
}

struct filling {
	struct cache *c;
	atomic_int made;
};

static void *fill(void *arg)
{
	struct filling *f = arg;

	cache_lock_fill(f->c, 1, "/p", "");
	if (!has(f->c, 1, "/p", "")) {
		add(f->c, "", "x");
		atomic_fetch_add(&f->made, 1);
	}
	cache_unlock_fill(f->c, 1, "/p", "");
	return NULL;
}

static void one_makes_what_many_want(void **state)
{
	struct filling f = {.c = cache_new()};
	pthread_t threads[8];

	renew_lease();
	for (size_t i = 0; i < ARRAY_N(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fill, &f), 0);
	for (size_t i = 0; i < ARRAY_N(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&f.made), 1);
	cache_free(f.c);
}

static void keep(struct cache *c, const char *query, size_t size)
{
	struct str body = STR_INIT;
	struct cache_note note;
	struct cached *a;

	str_reserve(&body, size);
	memset(body.p, 'x', size);
	body.len = size;
	a = cached_new(&body, NULL);
	renew_lease();
	assert_true(cache_note(&note, page, 1, "websites"));
	cache_add(c, 1, "/p", query, &note, a);
	cached_put(a);
}

/* One may have a quarter of the room, wherever its key puts it; more is not kept. */
static void large_answers(void **state)
{
	struct cache *c = cache_new();
	unsigned kept = 0;
	char query[16];

	for (int i = 0; i < 8; i++) {
		snprintf(query, sizeof(query), "n=%d", i);
		keep(c, query, CACHE_ANSWER_MAX);
		assert_true(has(c, 1, "/p", query));
	}
	keep(c, "huge", CACHE_ANSWER_MAX + 1);
	assert_false(has(c, 1, "/p", "huge"));
	for (int i = 0; i < 8; i++) {
		snprintf(query, sizeof(query), "n=%d", i);
		kept += has(c, 1, "/p", query);
	}
	assert_in_range(kept, 1, 4);
	cache_free(c);
}

/* Its memory is bounded, and an answer that is being written stays whole when it is put out. */
static void memory_is_bounded(void **state)
{
	struct cache *c = cache_new();
	struct str body = STR_INIT;
	struct cached *first = NULL;
	size_t kept = 0;

	renew_lease();
	for (int i = 0; i < 2000; i++) {
		struct cache_note note;
		struct cached *a;
		char query[16];

		str_clear(&body);
		while (body.len < 65536)
			str_adds(&body, "0123456789abcdef");
		a = cached_new(&body, NULL);
		snprintf(query, sizeof(query), "n=%d", i);
		renew_lease(); /* a slow machine takes longer than one for all of them */
		assert_true(cache_note(&note, page, 1, "websites"));
		cache_add(c, 1, "/p", query, &note, a);
		if (i == 0)
			first = a;
		else
			cached_put(a);
	}
	renew_lease();
	for (int i = 0; i < 2000; i++) {
		char query[16];

		snprintf(query, sizeof(query), "n=%d", i);
		kept += has(c, 1, "/p", query);
	}
	assert_in_range(kept, 1, CACHE_MAX_BYTES / 65536);
	assert_int_equal(first->body.len, 65536);
	assert_int_equal(first->body.p[65535], 'f');
	cached_put(first);
	str_fini(&body);
	cache_free(c);
}

static void etag_tells_bodies_apart(void **state)
{
	struct cached *a = answer("a"), *again = answer("a"), *b = answer("b");

	assert_string_equal(a->etag, again->etag);
	assert_string_not_equal(a->etag, b->etag);
	assert_int_equal(strlen(a->etag), 20);
	assert_non_null(strstr(str_c(&a->headers), "X-Last-Event-Id: 42\r\n"));
	cached_put(a);
	cached_put(again);
	cached_put(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer_is_found_by_tenant_path_and_query),
		cmocka_unit_test(change_of_the_topic_ends_it),
		cmocka_unit_test(change_during_the_select_is_not_missed),
		cmocka_unit_test(nothing_is_served_without_a_lease),
		cmocka_unit_test(old_answer_is_not_served),
		cmocka_unit_test(answer_for_who_has_waited),
		cmocka_unit_test(one_makes_what_many_want),
		cmocka_unit_test(large_answers),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(etag_tells_bodies_apart),
	};

	secret_init();
	return cmocka_run_group_tests(tests, make_page, drop_page);
}
