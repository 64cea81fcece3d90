/*
 * Devices of which nothing has come for logs.offline_s. Their rows tell when they were seen, but
 * for those that send lines the newest line tells it better (schema: devices): whoever has one
 * since is not silent, and gets the time of it. What is locked is being written to by somebody who
 * has just heard of it; the next time will tell. While the database was away nobody could be heard,
 * so for as long after it has come up nobody is silent.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "chore.h"
#include "clock.h"
#include "device.h"
#include "figure.h"
#include "log.h"
#include "mem.h"

#define EVERY_S 5
#define STEP_DEVICES 200 /* of one unit of work */
#define TURN_STEPS 10

#define SILENT " < NOW(3) - INTERVAL ? SECOND"

static const struct db_stmt offline_find = {"offline.find",
	"SELECT d.tenant_id, d.device_id, d.status, " DB_MS_OF(
		"d.last_seen_at") ","
				  " (SELECT " DB_MS_OF(
					  "l.received_at") " FROM logs l WHERE l.tenant_id = "
							   "d.tenant_id"
							   " AND l.device_id = d.device_id ORDER "
							   "BY l.id DESC LIMIT 1),"
							   " " DB_MS_OF(
								   "NOW(3)") " FROM devices d "
									     "WHERE d.is_online "
									     "AND "
									     "d.last_seen_at" SILENT
									     " ORDER BY "
									     "d.last_seen_at LIMIT "
									     "? FOR UPDATE SKIP "
									     "LOCKED",
	2, 6};
static const struct db_stmt offline_set = {"offline.set",
	"UPDATE devices SET is_online = ?, last_seen_at = GREATEST(last_seen_at, ?)"
	" WHERE tenant_id = ? AND device_id = ?",
	4, 0};

static const struct db_stmt offline_uptime = {"offline.uptime",
	"SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS"
	" WHERE VARIABLE_NAME = 'UPTIME'",
	0, 1};

struct silent {
	uint32_t tenant_id;
	char id[DEVICE_ID_MAX], seen[CLOCK_RFC3339_SIZE];
	size_t id_len; /* a row that came by SQL may have a NUL in it */
	bool is_online;
};

struct offline_step {
	struct chores *chores;
	struct silent *v;
	size_t n, silent_n;
};

static int64_t offline_every_s(const struct config *cfg)
{
	return cfg->logs.offline_s ? EVERY_S : 0;
}

static void offline_take(struct offline_step *s, struct txn *t, const struct db_val *row)
{
	struct silent *one = &s->v[s->n++];
	int64_t seen_ms = dbv_i(&row[3]), line_ms = dbv_i(&row[4]), now_ms = dbv_i(&row[5]);
	struct slice id = dbv_slice(&row[1]);

	if (line_ms > seen_ms)
		seen_ms = line_ms;
	*one = (struct silent){.tenant_id = (uint32_t)dbv_u(&row[0]), .id_len = id.len};
	assert(id.len <= DEVICE_ID_MAX);
	memcpy(one->id, id.p, id.len);
	clock_sql(seen_ms, one->seen);
	one->is_online = seen_ms >= now_ms - chores_cfg(s->chores)->logs.offline_s * 1000;
	if (one->is_online)
		return;
	s->silent_n++;
	device_emit_flip(
		t, one->tenant_id, &(const struct device){id, false, dbv_slice(&row[2]), seen_ms});
}

static enum err offline_write(struct db *db, const struct offline_step *s)
{
	struct db_val *in = xcalloc(s->n * 4 + 1, sizeof(*in)), *v = in;
	enum err e;

	for (size_t i = 0; i < s->n; i++) {
		*v++ = DBV_U(s->v[i].is_online);
		*v++ = dbv_s(s->v[i].seen);
		*v++ = DBV_U(s->v[i].tenant_id);
		*v++ = dbv_b(s->v[i].id, s->v[i].id_len);
	}
	e = db_exec_rows(db, &offline_set, in, s->n);
	free(in);
	return e;
}

static enum err offline_is_fair(struct txn *t, int64_t offline_s, bool *is_fair)
{
	const struct db_val *row;
	enum err e = db_one(t->db, &offline_uptime, NULL, 0, &row);

	*is_fair = e == ERR_OK && row && dbv_i(&row[0]) >= offline_s;
	return e;
}

static enum err offline_work(struct txn *t, void *arg)
{
	struct offline_step *s = arg;
	const struct db_val in[] = {
		DBV_I(chores_cfg(s->chores)->logs.offline_s), DBV_U(STEP_DEVICES)};
	const struct db_val *row;
	bool is_fair;
	enum err e = offline_is_fair(t, dbv_i(&in[0]), &is_fair);

	s->n = s->silent_n = 0;
	if (e == ERR_OK && is_fair)
		e = db_query(t->db, &offline_find, in, 2);
	if (e != ERR_OK || !is_fair)
		return e;
	while ((row = db_fetch(t->db)))
		offline_take(s, t, row);
	db_done(t->db);
	return offline_write(t->db, s);
}

static enum err offline_run(struct chores *cs)
{
	struct offline_step s = {
		.chores = cs, .v = xcalloc(STEP_DEVICES, sizeof(*s.v)), .n = STEP_DEVICES};
	enum err e = ERR_OK;

	for (int i = 0; i < TURN_STEPS && e == ERR_OK && s.n == STEP_DEVICES; i++) {
		if (chores_is_stopping(cs))
			break;
		e = chore_unit(cs, offline_work, &s);
		if (e != ERR_OK)
			break;
		figure_add(chores_figures(cs), FIGURE_DEVICES_SILENT, s.silent_n);
		if (s.silent_n)
			log_info("devices", "%zu went offline", s.silent_n);
	}
	if (e == ERR_OK && s.n == STEP_DEVICES)
		chore_goes_on(cs);
	free(s.v);
	return e;
}

const struct chore chore_offline = {
	.name = "offline", .every_s = offline_every_s, .run = offline_run};
