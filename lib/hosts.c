#include "hosts.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"

_Static_assert(HOSTS_SEEN_S == 60, "as HOSTS_IS_THERE says it");

static const struct db_stmt sql_others = {"hosts.others",
	"SELECT COUNT(*) FROM ws_pollers WHERE node_id <> ? AND " HOSTS_IS_THERE, 1, 1};
static const struct db_stmt sql_find = {"hosts.find",
	"SELECT s.node_id FROM ws_sessions s JOIN ws_pollers p ON p.node_id = s.node_id"
	" WHERE s.client_id = ? AND s.node_id <> ? AND (s.tenant_id = ? OR ? = 0)"
	" AND s.ended_at IS NULL AND s.is_over = 0 AND p." HOSTS_IS_THERE " LIMIT 1",
	4, 1};

const struct db_set hosts_sql = {
	"hosts", (const struct db_stmt *const[]){&sql_others, &sql_find, NULL}, true};

void hosts_put_disconnect(struct str *out, int64_t node_id, struct slice id)
{
	str_adds(out, "{\"disconnect\":");
	str_add_json_n(out, id.p, id.len);
	str_addf(out, ",\"node\":%lld}", (long long)node_id);
}

void hosts_put_cast(struct str *out, int64_t node_id, const char *room, struct slice args)
{
	str_adds(out, "{\"cast\":[");
	str_add(out, args.p, args.len);
	str_adds(out, "],\"room\":");
	str_add_json(out, room);
	str_addf(out, ",\"node\":%lld}", (long long)node_id);
}

/* The inside of the array. */
static void read_args(struct str *args, struct json_object *array)
{
	struct str text = STR_INIT;

	json_print(&text, array);
	if (text.len > 2)
		str_add(args, text.p + 1, text.len - 2);
	str_fini(&text);
}

bool hosts_event_read(struct hosts_event *e, const char *json, size_t len)
{
	const char *why, *id, *room;
	size_t at;
	struct json_object *o = json_parse(json, len, &why, &at), *cast = json_get(o, "cast");

	*e = (struct hosts_event){.node_id = json_object_get_int64(json_get(o, "node"))};
	id = json_get_str(o, "disconnect");
	room = json_get_str(o, "room");
	if (id) {
		e->what = HOSTS_DISCONNECT;
		e->id = xstrdup(id);
	} else if (json_object_is_type(cast, json_type_array) && room) {
		e->what = HOSTS_CAST;
		e->room = xstrdup(room);
		read_args(&e->args, cast);
	}
	json_object_put(o);
	return e->what != 0;
}

void hosts_event_fini(struct hosts_event *e)
{
	free(e->id);
	free(e->room);
	str_fini(&e->args);
}

enum err hosts_are_several(struct db *db, int64_t node_id, bool *are)
{
	const struct db_val *row;
	enum err e = db_one(db, &sql_others, &DBV_I(node_id), 1, &row);

	*are = e == ERR_OK && row && dbv_u(&row[0]) > 0;
	return e;
}

enum err hosts_find(
	struct db *db, int64_t node_id, uint32_t tenant_id, struct slice id, int64_t *where)
{
	const struct db_val in[] = {
		dbv_b(id.p, id.len), DBV_I(node_id), DBV_U(tenant_id), DBV_U(tenant_id)};
	const struct db_val *row;
	enum err e = db_one(db, &sql_find, in, 4, &row);

	*where = e == ERR_OK && row ? dbv_i(&row[0]) : 0;
	return e;
}
