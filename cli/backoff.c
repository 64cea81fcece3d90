#include "backoff.h"

#include "cmd.h"
#include "rest.h"
#include "secret.h"

#define FIRST_MS 250
#define MAX_MS 10000

int64_t backoff_failed(struct backoff *b, unsigned retry_after_s, const char *why)
{
	uint16_t dice;
	int64_t ms;

	if (b->ms && !b->has_told) {
		b->has_told = true;
		cmd_fail(CTL_OK, "%s: trying again", why);
	}
	b->ms = b->ms ? b->ms * 2 : FIRST_MS;
	if (b->ms > MAX_MS)
		b->ms = MAX_MS;
	secret_random(&dice, sizeof(dice));
	ms = b->ms - b->ms / 2 * dice / UINT16_MAX;
	return ms < (int64_t)retry_after_s * 1000 ? (int64_t)retry_after_s * 1000 : ms;
}

void backoff_went_well(struct backoff *b)
{
	if (b->has_told)
		cmd_fail(CTL_OK, "connected again");
	*b = (struct backoff){0};
}

/* An empty 200 is what some web servers make of a request whose process was killed. */
bool backoff_is_passing(const struct rest_answer *a)
{
	switch (a->status) {
	case 200:
		return !a->json;
	case 408:
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return true;
	default:
		return false;
	}
}
