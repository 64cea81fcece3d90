/* A payload is refused with a reason, or encodes again to the very same bytes. */
#include "fuzz.h"

#include <string.h>

#include "json.h"
#include "payload.h"

bool fuzz_payload(const uint8_t *p, size_t len)
{
	struct payload it = payload_of((struct slice){(const char *)p, len});
	struct payload_packet packet;
	struct str again = STR_INIT;
	enum payload_got got;
	const char *why;

	while ((got = payload_next(&it, &packet, &why)) == PAYLOAD_PACKET) {
		MUST(!why);
		MUST(packet.type < PAYLOAD_TYPES_N);
		MUST(packet.data.len <= len);
		if (packet.is_binary) {
			payload_put_binary(&again, packet.data.p, packet.data.len);
			continue;
		}
		MUST(json_is_utf8(packet.data.p, packet.data.len));
		payload_put(&again, packet.type, packet.data.p, packet.data.len);
	}
	MUST((got == PAYLOAD_BAD) == (why != NULL));
	MUST(payload_next(&it, &packet, &why) == got);
	if (got == PAYLOAD_END) {
		MUST(again.len == len);
		MUST(memcmp(again.p, p, len) == 0);
	}
	str_fini(&again);
	payload_fini(&it);
	return got == PAYLOAD_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	fuzz_payload(p, len);
	return 0;
}
