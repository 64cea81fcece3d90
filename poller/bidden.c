#include "bidden.h"

#include "ask.h"
#include "casting.h"
#include "hosts.h"
#include "hub.h"
#include "log.h"
#include "record.h"

void bidden_obey(struct hub *hub, const struct record *r)
{
	int64_t own = hub->cfg->poller.node_id;
	struct hosts_event e;

	if (!hosts_event_read(&e, r->json, r->json_len)) {
		log_warn("hosts", "event %llu of topic " EVENT_TOPIC_HOSTS " says nothing known",
			(unsigned long long)r->item.id);
		return;
	}
	if (e.what == HOSTS_DISCONNECT && e.node_id == own)
		connection_end(hub, r->tenant_id, e.id);
	else if (e.what == HOSTS_CAST && e.node_id != own && hub->is_ready)
		cast_carry(hub, r->tenant_id, e.room, (struct slice){e.args.p, e.args.len});
	hosts_event_fini(&e);
}
