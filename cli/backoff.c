#include "backoff.h"

#include "rest.h"
#include "secret.h"

#define FIRST_MS 250
#define MAX_MS 10000

void backoff_reset(struct backoff *b)
{
	b->ms = 0;
}

int64_t backoff_next_ms(struct backoff *b, unsigned retry_after_s)
{
	uint16_t dice;
	int64_t ms;

	b->ms = b->ms ? b->ms * 2 : FIRST_MS;
	if (b->ms > MAX_MS)
		b->ms = MAX_MS;
	secret_random(&dice, sizeof(dice));
	ms = b->ms - b->ms / 2 * dice / UINT16_MAX;
	return ms < (int64_t)retry_after_s * 1000 ? (int64_t)retry_after_s * 1000 : ms;
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
