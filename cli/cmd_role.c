#include "event.h"
#include "people.h"
#include "rows.h"

#define ROLE_COLS "id:u name:s description:s users:u permissions:l"

#define SELECT_ROLE                                                                               \
	"SELECT r.id, r.name, r.description, (SELECT COUNT(*) FROM user_roles u WHERE u.role_id " \
	"= r.id),"                                                                                \
	" (SELECT GROUP_CONCAT(p.permission ORDER BY p.permission SEPARATOR '\n') FROM "          \
	"role_permissions p"                                                                      \
	" WHERE p.role_id = r.id) FROM roles r "

static const struct db_stmt list_roles = {
	.name = "role.list",
	.sql = SELECT_ROLE "ORDER BY r.id LIMIT 10000",
	.cols_n = 5,
};
static const struct db_stmt show_role = {
	.name = "role.show",
	.sql = SELECT_ROLE "WHERE r.name = ?",
	.params_n = 1,
	.cols_n = 5,
};
static const struct db_stmt add_role = {
	.name = "role.add",
	.sql = "INSERT INTO roles (name, description) VALUES (?, ?)",
	.params_n = 2,
};
static const struct db_stmt grant_perm = {
	.name = "role.grant",
	.sql = "INSERT IGNORE INTO role_permissions (role_id, permission) VALUES (?, ?)",
	.params_n = 2,
};
static const struct db_stmt revoke_perm = {
	.name = "role.revoke",
	.sql = "DELETE FROM role_permissions WHERE role_id = ? AND permission = ?",
	.params_n = 2,
};
static const struct db_stmt delete_role = {
	.name = "role.delete",
	.sql = "DELETE FROM roles WHERE id = ?",
	.params_n = 1,
};
static const struct db_set sql = {
	.name = "cmd_role",
	.stmts = (const struct db_stmt *const[]){&list_roles, &show_role, &add_role, &grant_perm,
		&revoke_perm, &delete_role, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

static enum ctl_exit role_list(struct call *call)
{
	return rows_list(call, sets, &list_roles, NULL, 0, ROLE_COLS);
}

static enum ctl_exit role_show(struct call *call)
{
	return rows_show(call, sets, &show_role, ROLE_COLS, "role", call->args.v[0]);
}

/* Grants or revokes each permission among the arguments from `first` on. */
static enum err each_perm(struct change *ch, const struct db_stmt *st, uint32_t role_id,
	size_t first, uint64_t *changed)
{
	*changed = 0;
	for (size_t i = first; i < ch->call->args.n; i++) {
		struct db_val in[2] = {DBV_U(role_id), dbv_s(ch->call->args.v[i])};
		uint64_t n = 0;
		enum err e = db_exec(ch->db, st, in, 2, &n, NULL);

		if (e != ERR_OK)
			return e;
		*changed += n;
	}
	return ERR_OK;
}

static bool perms_are_valid(const struct call *call)
{
	for (size_t i = 1; i < call->args.n; i++)
		if (!people_perm_is_valid(call->args.v[i]))
			return false;
	return true;
}

/* "name permission permission" for the audit row. */
static void target_of(const struct call *call, struct str *out)
{
	for (size_t i = 0; i < call->args.n; i++)
		str_addf(out, "%s%s", i ? " " : "", call->args.v[i]);
}

static enum err cmd_role_add(struct change *ch)
{
	const char *name = ch->call->args.v[0], *description = opt_text(ch->call, "description");
	struct db_val in[2] = {dbv_s(name), dbv_s(description ? description : "")};
	uint64_t id = 0, n;
	enum err e = db_exec(ch->db, &add_role, in, 2, NULL, &id);

	if (e == ERR_DB_DUP)
		return change_problem(
			ch, ERR_DUPLICATE, "there is a role named \"%s\" already", name);
	if (e != ERR_OK || (e = each_perm(ch, &grant_perm, (uint32_t)id, 1, &n)))
		return e;
	ch->result = rows_object("id:u name:s", (const struct db_val[]){DBV_U(id), in[0]}, 2);
	return change_did(ch, 1, "role.add", name, "role %s added with %llu permissions", name,
		(unsigned long long)n);
}

static enum err grant(struct change *ch)
{
	struct str target = STR_INIT;
	uint64_t n;
	uint32_t id;
	enum err e;

	if ((e = people_role(ch, ch->call->args.v[0], &id)) ||
		(e = each_perm(ch, &grant_perm, id, 1, &n)))
		return e;
	change_tell_more(ch, CHANGE_ROLE, id);
	target_of(ch->call, &target);
	e = change_did(ch, 1, "role.grant", str_c(&target), "role %s: %llu permissions added",
		ch->call->args.v[0], (unsigned long long)n);
	str_fini(&target);
	return e;
}

/* Whoever has the role is told to come again, so that no blocked request goes on with what it may
 * no longer see. */
static enum err cmd_role_revoke(struct change *ch)
{
	struct str target = STR_INIT;
	uint64_t n;
	uint32_t id;
	enum err e;

	if ((e = people_role(ch, ch->call->args.v[0], &id)) ||
		(e = each_perm(ch, &revoke_perm, id, 1, &n)))
		return e;
	if (n == 0)
		return change_problem(ch, ERR_NOT_FOUND,
			"the role %s has none of these permissions; "
			"see cmdbctl role show %s",
			ch->call->args.v[0], ch->call->args.v[0]);
	change_tell(ch, CHANGE_ROLE, id);
	target_of(ch->call, &target);
	e = change_did(ch, 1, "role.revoke", str_c(&target), "role %s: %llu permissions taken",
		ch->call->args.v[0], (unsigned long long)n);
	str_fini(&target);
	return e;
}

static enum err remove_role(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[1];
	uint32_t id;
	enum err e;

	if ((e = people_role(ch, name, &id)))
		return e;
	in[0] = DBV_U(id);
	e = db_exec(ch->db, &delete_role, in, 1, NULL, NULL);
	if (e == ERR_DB_REF_USED)
		return change_problem(ch, ERR_IN_USE,
			"users have the role %s; take it from them first "
			"(cmdbctl user revoke-role)",
			name);
	if (e != ERR_OK)
		return e;
	return change_did(ch, 1, "role.delete", name, "role %s deleted", name);
}

static enum ctl_exit role_add(struct call *call)
{
	const char *description = opt_text(call, "description");

	if (!people_name_is_valid("role", call->args.v[0]) || !perms_are_valid(call) ||
		(description && !people_text_is_valid("--description", description, 255)))
		return CTL_USAGE;
	return change_run(call, sets, cmd_role_add, NULL);
}

static enum ctl_exit role_grant(struct call *call)
{
	return perms_are_valid(call) ? change_run(call, sets, grant, NULL) : CTL_USAGE;
}

static enum ctl_exit role_revoke(struct call *call)
{
	return perms_are_valid(call) ? change_run(call, sets, cmd_role_revoke, NULL) : CTL_USAGE;
}

static enum ctl_exit role_delete(struct call *call)
{
	return change_run(call, sets, remove_role, NULL);
}

static const struct opt add_opts[] = {
	{"description", OPT_TEXT, "TEXT", "what the role is for", 0, 0},
	{0},
};

const struct cmd cmd_role = {
	"role",
	"what users may do",
	(const struct verb[]){
		{"list", "", 0, 0, NULL, role_list, "show all roles", false},
		{"show", "NAME", 1, 1, NULL, role_show, "show one", false},
		{"add", "NAME [PERMISSION...]", 1, -1, add_opts, role_add, "make a role", false},
		{"grant", "NAME PERMISSION...", 2, -1, NULL, role_grant, "add permissions", false},
		{"revoke", "NAME PERMISSION...", 2, -1, NULL, role_revoke, "take permissions",
			false},
		{"delete", "NAME", 1, 1, NULL, role_delete, "remove a role that nobody has", false},
		{0},
	},
};
