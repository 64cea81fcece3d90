#include "crud_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hostname.h"

struct json_object *fault(struct fault *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return NULL;
}

static size_t utf8_chars(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct json_object *check_text(const struct field *f, const char *text, struct fault *why)
{
	size_t n = utf8_chars(text), len = strlen(text);
	if ((int64_t)n > f->max)
		return fault(why, "must be at most %lld characters", (long long)f->max);
	if ((int64_t)n < f->min)
		return f->min == 1
			       ? fault(why, "must not be empty")
			       : fault(why, "must be at least %lld characters", (long long)f->min);
	for (const char *p = text; *p; p++)
		if (((unsigned char)*p < 0x20 || *p == 0x7f) &&
			!((f->flags & FIELD_LINES) && (*p == '\n' || *p == '\t' || *p == '\r')))
			return fault(why, "must not have control characters");
	if (!(f->flags & FIELD_LINES) && len && (is_blank(text[0]) || is_blank(text[len - 1])))
		return fault(why, "must not begin or end with a blank");
	if (f->type == FIELD_PATH && text[0] != '/' && text[0] != '*')
		return fault(why, "must begin with / or *");
	if (f->type == FIELD_PATH && strchr(text, ' '))
		return fault(why, "must not have blanks");
	return json_object_new_string(text);
}

static struct json_object *check_enum(const struct field *f, const char *text, struct fault *why)
{
	size_t at;
	fault(why, "must be one of");
	for (const char *const *v = f->values; *v; v++) {
		if (strcmp(text, *v) == 0)
			return json_object_new_string(text);
		at = strlen(why->text);
		snprintf(why->text + at, sizeof(why->text) - at, "%s %s", v == f->values ? "" : ",",
			*v);
	}
	return NULL;
}

static struct json_object *check_int(const struct field *f, int64_t n, struct fault *why)
{
	char text[24];
	int64_t min = f->type == FIELD_REF ? 1 : f->min;
	int64_t max = f->type == FIELD_REF ? INT64_MAX : f->max;
	if (f->values) {
		snprintf(text, sizeof(text), "%lld", (long long)n);
		struct json_object *is_one = check_enum(f, text, why);
		if (!is_one)
			return NULL;
		json_object_put(is_one);
	}
	if (f->type == FIELD_REF && n < min)
		return fault(why, "must be an id, an integer from 1");
	if (n < min || n > max)
		return fault(why, "must be an integer from %lld to %lld", (long long)min,
			(long long)max);
	return json_object_new_int64(n);
}

static struct json_object *check_net(const struct field *f, const char *text, struct fault *why)
{
	char out[HOSTNAME_SIZE];
	struct str url = STR_INIT;
	struct json_object *v = NULL;
	const char *bad = NULL;
	switch (f->type) {
	case FIELD_IP:
		bad = hostname_ip(text, out);
		break;
	case FIELD_HOST:
		bad = hostname_normalize(text, f->flags & FIELD_WILDCARD, out);
		break;
	case FIELD_ADDRESS:
		bad = hostname_address(text, out);
		break;
	default:
		bad = hostname_url(text, &url);
		break;
	}
	v = bad ? fault(why, "%s", bad)
		: json_object_new_string(f->type == FIELD_URL ? str_c(&url) : out);
	str_fini(&url);
	return v;
}

static struct json_object *check_string(const struct field *f, const char *text, struct fault *why)
{
	switch (f->type) {
	case FIELD_TEXT:
	case FIELD_PATH:
		return check_text(f, text, why);
	case FIELD_ENUM:
		return check_enum(f, text, why);
	default:
		return check_net(f, text, why);
	}
}

struct json_object *value_check(const struct field *f, struct json_object *given, struct fault *why)
{
	switch (f->type) {
	case FIELD_INT:
	case FIELD_REF:
		if (!json_object_is_type(given, json_type_int))
			return fault(why, "must be an integer");
		return check_int(f, json_object_get_int64(given), why);
	case FIELD_BOOL:
		if (!json_object_is_type(given, json_type_boolean))
			return fault(why, "must be true or false");
		return json_object_new_boolean(json_object_get_boolean(given));
	default:
		if (!json_object_is_type(given, json_type_string))
			return fault(why, "must be a string");
		return check_string(f, json_object_get_string(given), why);
	}
}

struct json_object *value_from_text(const struct field *f, const char *text, struct fault *why)
{
	uint64_t n;
	switch (f->type) {
	case FIELD_INT:
	case FIELD_REF:
		if (!parse_u64(text, 0, INT64_MAX, &n))
			return fault(why, "must be an integer");
		return check_int(f, (int64_t)n, why);
	case FIELD_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return fault(why, "must be true or false");
		return json_object_new_boolean(text[0] == 't');
	default:
		return check_string(f, text, why);
	}
}

struct json_object *value_default(const struct field *f)
{
	return f->def ? json_tokener_parse(f->def) : NULL;
}

struct db_val value_bind(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_null:
		return DBV_NULL;
	case json_type_boolean:
		return DBV_I(json_object_get_boolean(v));
	case json_type_int:
		return DBV_I(json_object_get_int64(v));
	default:
		return dbv_b(json_object_get_string(v), (size_t)json_object_get_string_len(v));
	}
}
