/*
 * The index of logs: whatever matches is in a block that is looked at. Lines and filters by chance,
 * against the filter itself, over signatures and over turned ones.
 */
#include "unit.h"

#include <stdlib.h>

#include "log_entry.h"
#include "log_filter.h"
#include "log_index.h"

#define BLOCKS 24
#define LINES 40 /* of a block */
#define FILTERS 2000

static unsigned seed = 7;

static unsigned any(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static const char *const words[] = {"timeout", "Straße", "ÄRGER", "disk", "error", "0x7f", "conn",
	"user", "50%", "a_b", "réseau", "ok", "ping", "10.0.0.", "STRAẞE", "é", "x"};
#define WORDS_N (sizeof(words) / sizeof(words[0]))

static void put_message(struct str *out)
{
	unsigned n = 1 + any(6);

	for (unsigned i = 0; i < n; i++) {
		if (any(4))
			str_adds(out, words[any(WORDS_N)]);
		else
			str_addu(out, any(100000));
		str_adds(out, any(3) ? " " : "");
	}
	if (!out->len)
		str_addc(out, 'x');
}

struct line {
	struct str digest;
	uint32_t tenant_id;
};

static struct line make_line(void)
{
	struct line l = {.tenant_id = 1 + any(3)};
	struct str message = STR_INIT, device = STR_INIT;
	struct log_entry e = {.level = (enum entry_level)(1 + any(5))};

	put_message(&message);
	str_addf(&device, "dev-%u", any(30));
	e.device = slice_str(&device);
	e.message = slice_str(&message);
	if (any(2))
		e.tags = slice_of(any(2) ? "[\"net\",\"räck\"]" : "[\"disk\"]");
	log_filter_digest(&l.digest, &e);
	str_fini(&message);
	str_fini(&device);
	return l;
}

static void add_value(struct log_filter *f, enum log_dimension d, const char *text)
{
	const char *problem;

	assert_true(log_filter_add(f, d, slice_of(text), &problem));
}

/* A part of what is in messages, of any length, that is UTF-8. */
static void add_keyword(struct log_filter *f)
{
	struct str text = STR_INIT;
	const char *problem;
	size_t from, to;

	put_message(&text);
	from = any((unsigned)text.len);
	to = from + 1 + any((unsigned)(text.len - from));
	while (from > 0 && (text.p[from] & 0xc0) == 0x80)
		from--;
	while (to < text.len && (text.p[to] & 0xc0) == 0x80)
		to++;
	assert_true(log_filter_add(
		f, LOG_KEYWORDS, (struct slice){text.p + from, to - from}, &problem));
	str_fini(&text);
}

static struct str make_filter(void)
{
	static const char *const levels[] = {"DEBUG", "info", "WARN", "ERROR", "FATAL"};
	static const char *const tags[] = {"net", "räck", "disk", "none"};
	struct log_filter f = {0};
	struct str out = STR_INIT, device = STR_INIT;

	for (unsigned n = any(3); n > 0; n--) {
		str_clear(&device);
		str_addf(&device, "dev-%u", any(32));
		add_value(&f, LOG_DEVICES, str_c(&device));
	}
	for (unsigned n = any(2); n > 0; n--)
		add_value(&f, LOG_LEVELS, levels[any(5)]);
	for (unsigned n = any(2); n > 0; n--)
		add_value(&f, LOG_TAGS, tags[any(4)]);
	for (unsigned n = any(3); n > 0; n--)
		add_keyword(&f);
	assert_true(log_filter_put(&f, &out));
	log_filter_fini(&f);
	str_fini(&device);
	return out;
}

struct fixture {
	struct line lines[BLOCKS][LINES];
	uint8_t *signatures, *pages; /* of the blocks at 3, 24, 45, ... of a superblock */
};

static unsigned place_of(unsigned block)
{
	return 3 + block * 21;
}

static struct fixture *make_lines(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->signatures = calloc(BLOCKS, LOG_SIGNATURE_SIZE);
	f->pages = calloc(1, LOG_SUPER_SIZE);
	for (unsigned b = 0; b < BLOCKS; b++) {
		for (unsigned i = 0; i < LINES; i++) {
			f->lines[b][i] = make_line();
			log_index_add(f->signatures + b * LOG_SIGNATURE_SIZE,
				f->lines[b][i].tenant_id, slice_str(&f->lines[b][i].digest));
		}
		log_index_turn(f->pages, place_of(b), f->signatures + b * LOG_SIGNATURE_SIZE);
	}
	return f;
}

static void free_lines(struct fixture *f)
{
	for (unsigned b = 0; b < BLOCKS; b++)
		for (unsigned i = 0; i < LINES; i++)
			str_fini(&f->lines[b][i].digest);
	free(f->signatures);
	free(f->pages);
	free(f);
}

static bool has_match(
	const struct fixture *f, unsigned block, uint32_t tenant_id, struct slice filter)
{
	for (unsigned i = 0; i < LINES; i++)
		if (f->lines[block][i].tenant_id == tenant_id &&
			log_filter_matches(filter, slice_str(&f->lines[block][i].digest)))
			return true;
	return false;
}

static void ask_super(const struct fixture *f, const struct log_ask *a, uint8_t *out)
{
	size_t n;
	const uint16_t *wanted = log_ask_pages(a, &n);
	uint8_t *pages = calloc(n, LOG_PAGE_SIZE);

	for (size_t i = 0; i < n; i++)
		memcpy(pages + i * LOG_PAGE_SIZE, f->pages + (size_t)wanted[i] * LOG_PAGE_SIZE,
			LOG_PAGE_SIZE);
	log_ask_super(a, pages, out);
	free(pages);
}

static void test_what_matches_is_looked_at(void **state)
{
	struct fixture *f = make_lines();
	uint8_t found[LOG_BITMAP_SIZE];
	size_t matching = 0, looked_at = 0;

	for (unsigned i = 0; i < FILTERS; i++) {
		struct str filter = make_filter();
		uint32_t tenant_id = 1 + any(3);
		struct log_ask *a = log_ask_new(tenant_id, slice_str(&filter));

		ask_super(f, a, found);
		for (unsigned b = 0; b < BLOCKS; b++) {
			bool is_candidate =
				log_ask_signature(a, f->signatures + b * LOG_SIGNATURE_SIZE);

			assert_int_equal(is_candidate, log_bit(found, place_of(b)));
			if (has_match(f, b, tenant_id, slice_str(&filter))) {
				assert_true(is_candidate);
				matching++;
			}
			looked_at += is_candidate;
		}
		for (unsigned b = 0; b < LOG_BLOCKS; b++)
			if (b < 3 || (b - 3) % 21)
				assert_false(log_bit(found, b));
		log_ask_free(a);
		str_fini(&filter);
	}
	/* It is worth something, too. */
	assert_true(matching > FILTERS);
	assert_true(looked_at < FILTERS * BLOCKS / 2);
	free_lines(f);
}

static void test_nothing_wanted_is_the_tenants_blocks(void **state)
{
	struct fixture *f = make_lines();
	struct log_ask *mine = log_ask_new(1, (struct slice){NULL, 0}),
		       *nobodys = log_ask_new(99, (struct slice){NULL, 0});

	assert_true(log_ask_signature(mine, f->signatures));
	assert_false(log_ask_signature(nobodys, f->signatures));
	log_ask_free(mine);
	log_ask_free(nobodys);
	free_lines(f);
}

static void test_many_values_ask_for_little(void **state)
{
	struct log_filter f = {0};
	struct str filter = STR_INIT, text = STR_INIT;
	struct log_ask *a;
	size_t n;

	for (unsigned i = 0; i < LOG_FILTER_KEYWORDS_MAX; i++) {
		str_clear(&text);
		str_addf(&text, "keyword number %u", i);
		add_value(&f, LOG_KEYWORDS, str_c(&text));
	}
	assert_true(log_filter_put(&f, &filter));
	a = log_ask_new(1, slice_str(&filter));
	log_ask_pages(a, &n);
	assert_true(n <= 600);
	log_ask_free(a);
	log_filter_fini(&f);
	str_fini(&filter);
	str_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_matches_is_looked_at),
		cmocka_unit_test(test_nothing_wanted_is_the_tenants_blocks),
		cmocka_unit_test(test_many_values_ask_for_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
