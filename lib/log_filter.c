#include "log_filter.h"

#include <string.h>

#include "fold.h"
#include "json.h"
#include "json_walk.h"

#define VERSION 1
#define TAGS_MAX UINT16_MAX
#define GRAM 3
#define GRAM_BITS_MIN 6 /* log2 */
#define GRAM_BITS_MAX 17

const struct log_dimension_name log_dimensions[LOG_DIMENSIONS_N] = {
	[LOG_DEVICES] = {"deviceIds", "device", true},
	[LOG_LEVELS] = {"levels", "level", true},
	[LOG_TAGS] = {"tags", "tag", false},
	[LOG_KEYWORDS] = {"keywords", "keyword", false},
};

/* ---- making one ---- */

static const char *add_level(struct log_filter *f, struct slice value)
{
	enum entry_level level = entry_level_find(value);

	f->levels |= 1u << level;
	return level ? NULL : "a level is one of DEBUG, INFO, WARN, ERROR, FATAL";
}

static const char *add_text(struct strlist *l, struct slice value)
{
	if (l->n == LOG_FILTER_VALUES_MAX)
		return "there may be at most 256 devices, and 256 tags";
	strlist_add(l, value.p, value.len);
	return NULL;
}

static const char *add_keyword(struct log_filter *f, struct slice value)
{
	struct str folded = STR_INIT;
	const char *problem;

	if (f->keywords.n == LOG_FILTER_KEYWORDS_MAX)
		return "there may be at most 16 keywords";

	fold_add(&folded, value);
	problem = add_text(&f->keywords, slice_str(&folded));
	str_fini(&folded);
	return problem;
}

bool log_filter_add(
	struct log_filter *f, enum log_dimension d, struct slice value, const char **problem)
{
	if (!value.len || value.len > LOG_FILTER_VALUE_MAX || !json_is_utf8(value.p, value.len))
		*problem = "a value has 1 to 256 bytes of UTF-8";
	else if (d == LOG_LEVELS)
		*problem = add_level(f, value);
	else if (d == LOG_KEYWORDS)
		*problem = add_keyword(f, value);
	else
		*problem = add_text(d == LOG_DEVICES ? &f->devices : &f->tags, value);
	return !*problem;
}

int log_filter_add_parameter(
	struct log_filter *f, const char *key, const char *value, const char **problem)
{
	enum log_dimension d = 0;

	while (d < LOG_DIMENSIONS_N && strcmp(log_dimensions[d].parameter, key) != 0)
		d++;
	if (d == LOG_DIMENSIONS_N)
		return -1;
	for (;;) {
		size_t len = log_dimensions[d].is_list ? strcspn(value, ",") : strlen(value);

		if (!log_filter_add(f, d, (struct slice){value, len}, problem))
			return 0;
		if (!value[len])
			return 1;
		value += len + 1;
	}
}

bool log_filter_put(struct log_filter *f, struct str *out)
{
	struct strlist *lists[] = {&f->devices, &f->tags, &f->keywords};
	size_t from = out->len, values_n = 0;

	bytes_put(out, VERSION, 1);
	bytes_put(out, f->levels, 1);
	for (size_t i = 0; i < 3; i++) {
		strlist_normalize(lists[i]);
		strlist_put(out, lists[i]);
		values_n += lists[i]->n;
	}
	if (!f->levels && !values_n)
		str_truncate(out, from);
	return out->len - from <= LOG_FILTER_MAX;
}

void log_filter_fini(struct log_filter *f)
{
	strlist_fini(&f->devices);
	strlist_fini(&f->tags);
	strlist_fini(&f->keywords);
}

/* ---- from what a client asks for ---- */

static bool add_field(struct log_filter *f, enum log_dimension d, struct json_object *values,
	const char **problem)
{
	static const char *const not_texts[LOG_DIMENSIONS_N] = {
		[LOG_DEVICES] = "deviceIds must be an array of texts",
		[LOG_LEVELS] = "levels must be an array of texts",
		[LOG_TAGS] = "tags must be an array of texts",
		[LOG_KEYWORDS] = "keywords must be an array of texts",
	};

	if (!json_object_is_type(values, json_type_array)) {
		*problem = not_texts[d];
		return false;
	}
	for (size_t i = 0; i < json_object_array_length(values); i++) {
		struct json_object *o = json_object_array_get_idx(values, i);
		struct slice value;

		if (!json_object_is_type(o, json_type_string)) {
			*problem = not_texts[d];
			return false;
		}
		value = (struct slice){
			json_object_get_string(o), (size_t)json_object_get_string_len(o)};
		if (!log_filter_add(f, d, value, problem))
			return false;
	}
	return true;
}

static bool add_fields(struct log_filter *f, struct json_object *ask, const char **problem)
{
	json_object_object_foreach (ask, key, values) {
		enum log_dimension d = 0;

		while (d < LOG_DIMENSIONS_N && strcmp(log_dimensions[d].field, key) != 0)
			d++;
		if (d == LOG_DIMENSIONS_N) {
			*problem =
				"a filter has deviceIds, levels, tags, keywords, and nothing else";
			return false;
		}
		if (values && !add_field(f, d, values, problem))
			return false;
	}
	return true;
}

static bool log_filter_parse(struct json_object *ask, struct str *filter, const char **problem)
{
	struct log_filter f = {0};
	bool ok = true;

	*problem = NULL;
	if (ask && !json_object_is_type(ask, json_type_object)) {
		*problem = "the filter must be an object";
		return false;
	}
	if (ask)
		ok = add_fields(&f, ask, problem);
	if (ok && !log_filter_put(&f, filter)) {
		*problem = "the filter is too long: it may have 8,192 bytes";
		ok = false;
	}
	log_filter_fini(&f);
	return ok;
}

/* ---- grams ---- */

/* Of n bytes, up to GRAM. */
static uint32_t gram_at(const char *p, size_t n, unsigned bits)
{
	uint32_t gram = (uint32_t)n << 24;

	for (size_t i = 0; i < n; i++)
		gram |= (uint32_t)(unsigned char)p[i] << 8 * i;
	return gram * 2654435761u >> (32 - bits);
}

/* Of the message that begins there in out, which is moved behind them: eight bits for each of its
 * bytes. */
static void put_grams(struct str *out, size_t at)
{
	size_t len = out->len - at, size;
	unsigned bits = GRAM_BITS_MIN;
	unsigned char *set;
	const char *p;

	while (bits < GRAM_BITS_MAX && (size_t)1 << bits < 8 * len)
		bits++;
	size = ((size_t)1 << bits) / 8;
	str_reserve(out, 1 + size);
	memmove(out->p + at + 1 + size, out->p + at, len + 1);
	out->len += 1 + size;
	out->p[at] = (char)bits;
	set = (unsigned char *)out->p + at + 1;
	memset(set, 0, size);
	p = out->p + at + 1 + size;
	for (size_t i = 0; i < len; i++) {
		for (size_t n = 1; n <= GRAM && i + n <= len; n++) {
			uint32_t gram = gram_at(p + i, n, bits);

			set[gram / 8] |= (unsigned char)(1u << gram % 8);
		}
	}
}

static bool has_grams(const unsigned char *set, unsigned bits, struct slice keyword)
{
	size_t n = keyword.len < GRAM ? keyword.len : GRAM;

	for (size_t i = 0; i + n <= keyword.len; i++) {
		uint32_t gram = gram_at(keyword.p + i, n, bits);

		if (!(set[gram / 8] & 1u << gram % 8))
			return false;
	}
	return true;
}

/* ---- digests ---- */

static void log_filter_put_tags(struct str *out, struct slice tags)
{
	size_t at = out->len, n = 0;
	struct json_walk walk;
	struct slice tag;

	bytes_put(out, 0, 2);
	if (!json_walk_into(&walk, tags, '['))
		return;
	while (n < TAGS_MAX && json_walk_element(&walk, &tag)) {
		struct str text = STR_INIT;

		if (json_walk_text(tag, &text)) {
			bytes_put_slice(out, slice_str(&text));
			n++;
		}
		str_fini(&text);
	}
	out->p[at] = (char)(n & 0xff);
	out->p[at + 1] = (char)(n >> 8);
}

void log_filter_digest(struct str *out, const struct log_entry *e)
{
	size_t at;

	bytes_put(out, e->id, 8);
	bytes_put(out, e->level, 1);
	bytes_put_slice(out, e->device);
	log_filter_put_tags(out, e->tags);
	at = out->len;
	fold_add(out, e->message);
	put_grams(out, at);
}

static void digest_entry(struct str *out, const struct event_row *row, struct slice entry)
{
	struct str device = STR_INIT, level = STR_INIT, message = STR_INIT;
	struct log_entry e = {0};
	struct slice key, value;
	struct json_walk walk;

	if (json_walk_into(&walk, entry, '{')) {
		while (json_walk_member(&walk, &key, &value)) {
			if (slice_is(key, "\"id\""))
				e.id = json_walk_u64(value);
			else if (slice_is(key, "\"deviceId\""))
				json_walk_text(value, &device);
			else if (slice_is(key, "\"level\""))
				json_walk_text(value, &level);
			else if (slice_is(key, "\"message\""))
				json_walk_text(value, &message);
			else if (slice_is(key, "\"tags\""))
				e.tags = value;
		}
	}
	e.device = slice_str(&device);
	e.level = entry_level_find(slice_str(&level));
	e.message = slice_str(&message);
	log_filter_digest(out, &e);
	str_fini(&device);
	str_fini(&level);
	str_fini(&message);
}

/* ---- matching ---- */

struct digest {
	uint64_t id;
	unsigned level;
	struct slice device, tags, message; /* tags: n and texts */
	const unsigned char *grams;
	unsigned gram_bits;
};

static struct digest digest_of(struct slice bytes)
{
	struct bytes b = bytes_of(bytes.p, bytes.len);
	struct digest d = {.id = bytes_u64(&b), .level = bytes_u8(&b), .device = bytes_text(&b)};
	const char *from = (const char *)b.p;

	for (uint16_t n = bytes_u16(&b); n > 0 && !b.is_bad; n--)
		bytes_text(&b);
	d.tags = (struct slice){from, (size_t)((const char *)b.p - from)};
	d.gram_bits = bytes_u8(&b);
	d.grams = b.p;
	bytes_take(&b, ((size_t)1 << d.gram_bits) / 8);
	d.message = (struct slice){(const char *)b.p, (size_t)(b.end - b.p)};
	return d;
}

static bool has_tag(const struct digest *d, struct slice tag)
{
	struct bytes b = bytes_of(d->tags.p, d->tags.len);

	for (uint16_t n = bytes_u16(&b); n > 0 && !b.is_bad; n--)
		if (slice_same(bytes_text(&b), tag))
			return true;
	return false;
}

static bool is_of_device(const struct digest *d, struct slice device)
{
	return slice_same(d->device, device);
}

static bool has_keyword(const struct digest *d, struct slice keyword)
{
	return has_grams(d->grams, d->gram_bits, keyword) && fold_has(d->message, keyword);
}

/* Of one dimension, in the order of the filter's bytes: is there none, or one that matches? Reads
 * all of them. */
static bool any_matches(struct bytes *b, const struct digest *d,
	bool (*matches)(const struct digest *d, struct slice value))
{
	uint16_t n = bytes_u16(b);
	bool is_found = n == 0;

	for (; n > 0 && !b->is_bad; n--) {
		struct slice value = bytes_text(b);

		is_found = is_found || matches(d, value);
	}
	return is_found && !b->is_bad;
}

bool log_filter_matches(struct slice filter, struct slice digest)
{
	struct bytes b = bytes_of(filter.p, filter.len);
	struct digest d;
	unsigned levels;

	if (!filter.len)
		return true;
	if (bytes_u8(&b) != VERSION)
		return false;
	levels = bytes_u8(&b);
	d = digest_of(digest);
	return (!levels || (levels & (1u << d.level) & ~1u)) && any_matches(&b, &d, is_of_device) &&
	       any_matches(&b, &d, has_tag) && any_matches(&b, &d, has_keyword);
}

/* ---- keys ---- */

/* A filter is found by the narrowest that it has: by device, and level with it where these are not
 * too many pairs; or by tag; or by three bytes of each keyword, if all are that long; or by level.
 * A key begins with its kind. */
#define PAIRS_MAX 64

enum key_kind { OF_PAIR = 'P', OF_DEVICE = 'D', OF_TAG = 'T', OF_GRAM = 'G', OF_LEVEL = 'L' };

typedef void key_visit(struct slice key, void *arg);

static void visit_named(
	enum key_kind kind, unsigned level, struct slice name, key_visit *visit, void *arg)
{
	char bytes[2 + LOG_FILTER_VALUE_MAX] = {(char)kind, (char)level};
	size_t len = name.len < LOG_FILTER_VALUE_MAX ? name.len : LOG_FILTER_VALUE_MAX;

	memcpy(bytes + 2, name.p, len);
	visit((struct slice){bytes, len + 2}, arg);
}

static unsigned levels_n(unsigned levels)
{
	unsigned n = 0;

	for (unsigned l = ENTRY_DEBUG; l < ENTRY_LEVEL_N; l++)
		n += levels >> l & 1;
	return n;
}

static void visit_levels(
	enum key_kind kind, unsigned levels, struct slice name, key_visit *visit, void *arg)
{
	for (unsigned l = ENTRY_DEBUG; l < ENTRY_LEVEL_N; l++)
		if (levels >> l & 1)
			visit_named(kind, l, name, visit, arg);
}

/* How rarely a byte comes in messages. */
static unsigned rarity(char c)
{
	static const char common[] = " etaoinsrhldcumfpg.wy0b1v2=:k-_/3x4j5q6z7,89";
	const char *at = memchr(common, c, sizeof(common) - 1);

	return at ? (unsigned)(at - common) : (unsigned)sizeof(common);
}

/* The rarest that the keyword has. */
static struct slice gram_of(struct slice keyword)
{
	struct slice best = {keyword.p, GRAM};
	unsigned most = 0;

	for (size_t i = 0; i + GRAM <= keyword.len; i++) {
		unsigned of =
			rarity(keyword.p[i]) + rarity(keyword.p[i + 1]) + rarity(keyword.p[i + 2]);

		if (of < most)
			continue;
		most = of;
		best.p = keyword.p + i;
	}
	return best;
}

/* false: one is too short, or there is none. */
static bool visit_grams(struct bytes values, key_visit *visit, void *arg)
{
	struct bytes b = values;
	uint16_t n = bytes_u16(&b);
	bool are_long = n > 0;

	for (uint16_t i = 0; i < n; i++)
		are_long = bytes_text(&b).len >= GRAM && are_long;
	b = values;
	bytes_u16(&b);
	for (uint16_t i = 0; are_long && i < n; i++)
		visit_named(OF_GRAM, 0, gram_of(bytes_text(&b)), visit, arg);
	return are_long;
}

static void log_filter_keys(struct slice filter, key_visit *visit, void *arg)
{
	static const struct slice none = {"", 0};
	struct bytes b = bytes_of(filter.p, filter.len);
	unsigned levels = (bytes_u8(&b), bytes_u8(&b));
	uint16_t devices_n = bytes_u16(&b), tags_n;
	bool by_pairs = levels && devices_n * levels_n(levels) <= PAIRS_MAX;

	for (uint16_t i = 0; i < devices_n; i++) {
		struct slice device = bytes_text(&b);

		if (by_pairs)
			visit_levels(OF_PAIR, levels, device, visit, arg);
		else
			visit_named(OF_DEVICE, 0, device, visit, arg);
	}
	if (devices_n)
		return;
	tags_n = bytes_u16(&b);
	for (uint16_t i = 0; i < tags_n; i++)
		visit_named(OF_TAG, 0, bytes_text(&b), visit, arg);
	if (!tags_n && !visit_grams(b, visit, arg))
		visit_levels(OF_LEVEL, levels, none, visit, arg);
}

static void log_entry_keys(struct slice digest, key_visit *visit, void *arg)
{
	static const struct slice none = {"", 0};
	struct digest d = digest_of(digest);
	struct bytes b = bytes_of(d.tags.p, d.tags.len);
	char gram[2 + GRAM] = {OF_GRAM, 0};

	visit_named(OF_PAIR, d.level, d.device, visit, arg);
	visit_named(OF_DEVICE, 0, d.device, visit, arg);
	visit_named(OF_LEVEL, d.level, none, visit, arg);
	for (uint16_t n = bytes_u16(&b); n > 0 && !b.is_bad; n--)
		visit_named(OF_TAG, 0, bytes_text(&b), visit, arg);
	for (size_t i = 0; i + GRAM <= d.message.len; i++) {
		memcpy(gram + 2, d.message.p + i, GRAM);
		visit((struct slice){gram, sizeof(gram)}, arg);
	}
}

/* One look of its own, and one for each keyword. */
static unsigned log_filter_looks(struct slice filter)
{
	struct bytes b = bytes_of(filter.p, filter.len);

	bytes_take(&b, 2);
	for (int lists = 2; lists > 0; lists--)
		for (uint16_t n = bytes_u16(&b); n > 0 && !b.is_bad; n--)
			bytes_text(&b);
	return 1u + bytes_u16(&b);
}

/* ---- showing ---- */

static void show_values(struct str *out, const char *field, struct bytes *b)
{
	uint16_t n = bytes_u16(b);

	str_addf(out, "\"%s\":[", field);
	for (uint16_t i = 0; i < n; i++) {
		struct slice value = bytes_text(b);

		if (i)
			str_addc(out, ',');
		str_add_json_n(out, value.p, value.len);
	}
	str_addc(out, ']');
}

static void log_filter_show(struct slice filter, struct str *out)
{
	struct bytes b = bytes_of(filter.p, filter.len);
	unsigned levels = (bytes_u8(&b), bytes_u8(&b));
	const char *between = "";

	str_adds(out, "{\"levels\":[");
	for (unsigned l = ENTRY_DEBUG; l < ENTRY_LEVEL_N; l++) {
		if (!(levels >> l & 1))
			continue;
		str_addf(out, "%s\"%s\"", between, entry_level_name((enum entry_level)l));
		between = ",";
	}
	str_adds(out, "],");
	show_values(out, log_dimensions[LOG_DEVICES].field, &b);
	str_addc(out, ',');
	show_values(out, log_dimensions[LOG_TAGS].field, &b);
	str_addc(out, ',');
	show_values(out, log_dimensions[LOG_KEYWORDS].field, &b);
	str_addc(out, '}');
}

static uint64_t log_entry_id(struct slice digest)
{
	return digest_of(digest).id;
}

const struct stream_filter log_stream_filter = {
	.parse = log_filter_parse,
	.digest = digest_entry,
	.matches = log_filter_matches,
	.keys = log_filter_keys,
	.entry_keys = log_entry_keys,
	.entry_id = log_entry_id,
	.looks = log_filter_looks,
	.show = log_filter_show,
};
