#include "event.h"
#include "people.h"
#include "rows.h"

static const struct db_stmt list_tenants = {
	.name = "tenant.list",
	.sql = "SELECT t.id, t.name, t.status, "
	       " (SELECT COUNT(*) FROM users u WHERE u.tenant_id = t.id),"
	       " (SELECT COUNT(*) FROM api_keys k "
	       "  WHERE k.tenant_id = t.id AND k.status = 'active'),"
	       " t.created_at FROM tenants t ORDER BY t.id LIMIT 10000",
	.cols_n = 6,
};
static const struct db_stmt add_tenant = {
	.name = "tenant.add",
	.sql = "INSERT INTO tenants (name) VALUES (?)",
	.params_n = 1,
};
static const struct db_stmt set_status = {
	.name = "tenant.status",
	.sql = "UPDATE tenants SET status = ? WHERE id = ?",
	.params_n = 2,
};
static const struct db_set sql = {
	.name = "cmd_tenant",
	.stmts = (const struct db_stmt *const[]){&list_tenants, &add_tenant, &set_status, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

static enum ctl_exit tenant_list(struct call *call)
{
	return rows_list(call, sets, &list_tenants, NULL, 0,
		"id:u name:s status:s users:u api_keys:u created_at:t");
}

static enum err cmd_tenant_add(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[1] = {dbv_s(name)};
	uint64_t id = 0;
	enum err e = db_exec(ch->db, &add_tenant, in, 1, NULL, &id);

	if (e == ERR_DB_DUP)
		return change_problem(
			ch, ERR_DUPLICATE, "there is a tenant named \"%s\" already", name);
	if (e != ERR_OK)
		return e;
	ch->result = rows_object("id:u name:s", (const struct db_val[]){DBV_U(id), in[0]}, 2);
	return change_did(ch, (uint32_t)id, "tenant.add", name, "tenant %s added", name);
}

static enum ctl_exit tenant_add(struct call *call)
{
	if (!people_name_is_valid("tenant", call->args.v[0]))
		return CTL_USAGE;
	return change_run(call, sets, cmd_tenant_add, NULL);
}

static enum err cmd_tenant_disable(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[2] = {dbv_s("disabled")};
	uint32_t id;
	enum err e;

	if ((e = people_tenant(ch, name, &id)))
		return e;
	in[1] = DBV_U(id);
	if ((e = db_exec(ch->db, &set_status, in, 2, NULL, NULL)))
		return e;
	change_tell(ch, CHANGE_TENANT_USERS, id);
	change_tell(ch, CHANGE_TENANT_KEYS, id);
	return change_did(ch, id, "tenant.disable", name,
		"tenant %s disabled: its users and keys are shut out", name);
}

static enum err cmd_tenant_enable(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[2] = {dbv_s("active")};
	uint32_t id;
	enum err e;

	if ((e = people_tenant(ch, name, &id)))
		return e;
	in[1] = DBV_U(id);
	if ((e = db_exec(ch->db, &set_status, in, 2, NULL, NULL)))
		return e;
	change_tell_more(ch, CHANGE_TENANT_USERS, id);
	change_tell_more(ch, CHANGE_TENANT_KEYS, id);
	return change_did(ch, id, "tenant.enable", name, "tenant %s enabled", name);
}

static enum ctl_exit tenant_disable(struct call *call)
{
	return change_run(call, sets, cmd_tenant_disable, NULL);
}

static enum ctl_exit tenant_enable(struct call *call)
{
	return change_run(call, sets, cmd_tenant_enable, NULL);
}

const struct cmd cmd_tenant = {
	"tenant",
	"who shares this installation without seeing each other",
	(const struct verb[]){
		{"list", "", 0, 0, NULL, tenant_list, "show all tenants", false},
		{"add", "NAME", 1, 1, NULL, tenant_add, "make a tenant", false},
		{"disable", "NAME", 1, 1, NULL, tenant_disable, "shut its users and keys out",
			false},
		{"enable", "NAME", 1, 1, NULL, tenant_enable, "let them in again", false},
		{0},
	},
};
