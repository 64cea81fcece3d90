/*
 * A device as everybody is shown it. What it says of its state ("maintenance", "ok") counts while
 * it is online, and for one that says nothing that is "online"; a silent device is "offline",
 * whatever it said. Events of devices have the topic "devices"; all of one unit of work.
 */
#ifndef CMDB_DEVICE_H
#define CMDB_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "str.h"
#include "txn.h"

#define DEVICE_ID_MAX 64
#define DEVICE_STATUS_MAX 64   /* bytes */
#define DEVICE_TOUCH_AFTER_S 5 /* last_seen_at of an online device may lag by so much */

struct device {
	struct slice id;
	bool is_online;
	struct slice said; /* of its state; empty: nothing */
	int64_t seen_ms;   /* since 1970 */
};

/* 1 to DEVICE_ID_MAX bytes that stand in a path (text.h). */
bool device_is_id(struct slice id);
struct slice device_status(const struct device *d);
/* {"deviceId","online","status","lastSeen"}: the payload of its events. */
void device_put(struct str *out, const struct device *d);
/* It came online, or went offline: device:online or device:offline, and device:status. */
void device_emit_flip(struct txn *t, uint32_t tenant_id, const struct device *d);
/* It says another state: device:status. */
void device_emit_status(struct txn *t, uint32_t tenant_id, const struct device *d);

#endif
