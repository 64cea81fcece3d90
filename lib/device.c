#include "device.h"

#include "clock.h"
#include "text.h"

bool device_is_id(struct slice id)
{
	return id.len <= DEVICE_ID_MAX && text_is_segment(id.p, id.len);
}

struct slice device_status(const struct device *d)
{
	return !d->is_online ? slice_of("offline") : d->said.len ? d->said : slice_of("online");
}

void device_put(struct str *out, const struct device *d)
{
	struct slice status = device_status(d);
	char seen[CLOCK_RFC3339_SIZE];

	clock_rfc3339(d->seen_ms, seen);
	str_adds(out, "{\"deviceId\":");
	str_add_json_n(out, d->id.p, d->id.len);
	str_adds(out, d->is_online ? ",\"online\":true" : ",\"online\":false");
	str_adds(out, ",\"status\":");
	str_add_json_n(out, status.p, status.len);
	str_addf(out, ",\"lastSeen\":\"%s\"}", seen);
}

static void device_emit(struct txn *t, uint32_t tenant_id, const struct device *d, const char *name)
{
	struct str payload = STR_INIT;

	device_put(&payload, d);
	txn_emit(t, &(struct event_out){.tenant_id = tenant_id,
			    .topic = "devices",
			    .type = EVENT_UPDATE,
			    .payload = str_c(&payload),
			    .name = name});
	str_fini(&payload);
}

void device_emit_flip(struct txn *t, uint32_t tenant_id, const struct device *d)
{
	device_emit(t, tenant_id, d, d->is_online ? "device:online" : "device:offline");
	device_emit(t, tenant_id, d, "device:status");
}

void device_emit_status(struct txn *t, uint32_t tenant_id, const struct device *d)
{
	device_emit(t, tenant_id, d, "device:status");
}
