/* The bytes are a connection of a web server. In one piece or in many, the same comes of them; and
 * nothing grows past its bound. */
#include "fuzz.h"

#include <string.h>

#include "request.h"

#define BODY_MAX 64

struct outcome {
	enum request_got got;
	size_t used;
	struct request *r;
	struct str reply;
};

static struct outcome feed(const uint8_t *p, size_t len, size_t step)
{
	struct outcome o = {.got = REQUEST_MORE, .r = request_new(BODY_MAX)};

	for (size_t at = 0; at < len && o.got == REQUEST_MORE;) {
		size_t n = len - at < step ? len - at : step, used = 0;

		o.got = request_take(o.r, p + at, n, &used, &o.reply);
		MUST(used > 0 && used <= n);
		MUST(used == n || o.got != REQUEST_MORE);
		MUST(o.r->params.len <= REQUEST_PARAMS_MAX);
		MUST(o.r->body.len <= BODY_MAX + 1);
		MUST((o.r->body.len > BODY_MAX) == o.r->is_cut);
		at += used;
		o.used = at;
	}
	return o;
}

static void free_outcome(struct outcome *o)
{
	request_free(o->r);
	str_fini(&o->reply);
}

static bool is_same(const struct str *a, const struct str *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

bool fuzz_request(const uint8_t *p, size_t len)
{
	struct outcome whole = feed(p, len, len), pieces = feed(p, len, 1);
	bool is_whole = whole.got == REQUEST_WHOLE;

	MUST(whole.got == pieces.got);
	MUST(is_same(&whole.reply, &pieces.reply));
	/* Of what is no good, how much was looked at does not matter. */
	if (is_whole && !whole.r->is_cut)
		MUST(whole.used == pieces.used);
	if (is_whole) {
		MUST(whole.r->is_begun && whole.r->has_params);
		MUST(whole.r->id == pieces.r->id && whole.r->keeps == pieces.r->keeps);
		MUST(is_same(&whole.r->params, &pieces.r->params));
		MUST(is_same(&whole.r->body, &pieces.r->body));
	}
	free_outcome(&whole);
	free_outcome(&pieces);
	return is_whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	fuzz_request(p, len);
	return 0;
}
