/* A payload is refused with a reason, or encodes to one that says the same, and to no other. */
#include "fuzz.h"

#include <string.h>

#include "payload.h"

/* Appends the packets of a body to again; returns how the walk ended. */
static enum payload_got walk(struct slice body, struct str *again)
{
	struct payload it = payload_of(body);
	struct payload_packet packet;
	enum payload_got got;
	const char *why;

	while ((got = payload_next(&it, &packet, &why)) == PAYLOAD_PACKET) {
		MUST(!why);
		MUST(packet.type < PAYLOAD_TYPES_N);
		MUST(packet.data.len <= 3 * body.len);
		MUST(!packet.is_binary || packet.type == PAYLOAD_MESSAGE);
		if (packet.is_binary)
			payload_put_binary(again, packet.data.p, packet.data.len);
		else
			payload_put(again, packet.type, packet.data.p, packet.data.len);
	}
	MUST((got == PAYLOAD_BAD) == (why != NULL));
	MUST(payload_next(&it, &packet, &why) == got);
	payload_fini(&it);
	return got;
}

bool fuzz_payload(const uint8_t *p, size_t len)
{
	struct str once = STR_INIT, twice = STR_INIT;
	enum payload_got got = walk((struct slice){(const char *)p, len}, &once);

	if (got == PAYLOAD_END) {
		MUST(walk((struct slice){once.p, once.len}, &twice) == PAYLOAD_END);
		MUST(once.len == twice.len);
		MUST(memcmp(once.p, twice.p, once.len) == 0);
	}
	str_fini(&once);
	str_fini(&twice);
	return got == PAYLOAD_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	fuzz_payload(p, len);
	return 0;
}
