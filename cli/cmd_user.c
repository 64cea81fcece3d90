/* Who may log in, and with what password. Roles and departments: user_access.c. */
#include "user.h"

#include <string.h>

#include "event.h"
#include "password.h"
#include "people.h"
#include "rows.h"

#define USER_COLS \
	"id:u username:s display_name:s tenant:s status:s roles:l departments:l created_at:t"

#define SELECT_USER                                                                             \
	"SELECT u.id, u.username, u.display_name, t.name, u.status,"                            \
	" (SELECT GROUP_CONCAT(r.name ORDER BY r.name SEPARATOR '\n') FROM user_roles ur"       \
	"  JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id),"                         \
	" (SELECT GROUP_CONCAT(d.name ORDER BY d.name SEPARATOR '\n') FROM user_departments ud" \
	"  JOIN departments d ON d.id = ud.department_id WHERE ud.user_id = u.id),"             \
	" u.created_at FROM users u JOIN tenants t ON t.id = u.tenant_id "

static const struct db_stmt list_users = {
	.name = "user.list",
	.sql = SELECT_USER "WHERE ? IS NULL OR t.name = ? ORDER BY u.id LIMIT 100000",
	.params_n = 2,
	.cols_n = 8,
};
static const struct db_stmt show_user = {
	.name = "user.show",
	.sql = SELECT_USER "WHERE u.username = ?",
	.params_n = 1,
	.cols_n = 8,
};
static const struct db_stmt add_user = {
	.name = "user.add",
	.sql = "INSERT INTO users (tenant_id, username, display_name, password_hash)"
	       " VALUES (?, ?, ?, ?)",
	.params_n = 4,
};
static const struct db_stmt set_password = {
	.name = "user.passwd",
	.sql = "UPDATE users SET password_hash = ? WHERE id = ?",
	.params_n = 2,
};
static const struct db_stmt set_status = {
	.name = "user.status",
	.sql = "UPDATE users SET status = ? WHERE id = ?",
	.params_n = 2,
};
/* Access tokens that came with a refresh token and may still be taken: auth.leeway_s is at most
 * 300. */
static const struct db_stmt revoke_access = {
	.name = "user.revoke_access",
	.sql = "INSERT IGNORE INTO revoked_tokens (jti, expires_at)"
	       " SELECT access_jti, access_expires_at FROM refresh_tokens"
	       " WHERE user_id = ? AND access_expires_at > NOW(3) - INTERVAL 5 MINUTE",
	.params_n = 1,
};
static const struct db_stmt revoke_refresh = {
	.name = "user.revoke_refresh",
	.sql = "UPDATE refresh_tokens SET revoked_at = NOW(3) WHERE user_id = ?"
	       " AND revoked_at IS NULL",
	.params_n = 1,
};
static const struct db_stmt forgive = {
	.name = "user.forgive",
	.sql = "DELETE FROM auth_failures WHERE kind = 'account' AND subject = ?",
	.params_n = 1,
};
static const struct db_stmt delete_user = {
	.name = "user.delete",
	.sql = "DELETE FROM users WHERE id = ?",
	.params_n = 1,
};
static const struct db_set sql = {
	.name = "cmd_user",
	.stmts = (const struct db_stmt *const[]){&list_users, &show_user, &add_user, &set_password,
		&set_status, &revoke_access, &revoke_refresh, &forgive, &delete_user, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

static enum ctl_exit user_list(struct call *call)
{
	const char *tenant = opt_text(call, "tenant");
	struct db_val in[2] = {dbv_s(tenant), dbv_s(tenant)};

	return rows_list(call, sets, &list_users, in, 2, USER_COLS);
}

static enum ctl_exit user_show(struct call *call)
{
	return rows_show(call, sets, &show_user, USER_COLS, "user", call->args.v[0]);
}

/* The result of a change that may have made a password up, which is shown this once. */
static struct json_object *with_password(uint64_t id, const char *name, const struct password *p)
{
	const struct db_val vals[] = {DBV_U(id), dbv_s(name), dbv_s(p->text)};

	return rows_object("id:u username:s password:s", vals, p->is_generated ? 3 : 2);
}

static enum err cmd_user_add(struct change *ch)
{
	const struct password *p = ch->arg;
	const char *name = ch->call->args.v[0], *display = opt_text(ch->call, "display-name");
	const struct strlist *roles = opt_list(ch->call, "role"),
			     *depts = opt_list(ch->call, "department");
	struct db_val in[4] = {{0}, dbv_s(name), dbv_s(display ? display : ""), dbv_s(p->phc)};
	const char *tenant = opt_text(ch->call, "tenant");
	struct person who = {.is_active = true};
	enum err e;

	if ((e = people_tenant(ch, tenant ? tenant : "default", &who.tenant_id)))
		return e;
	in[0] = DBV_U(who.tenant_id);
	e = db_exec(ch->db, &add_user, in, 4, NULL, &who.id);
	if (e == ERR_DB_DUP)
		return change_problem(ch, ERR_DUPLICATE,
			"there is a user named \"%s\" already "
			"(names are shared by all tenants)",
			name);
	for (size_t i = 0; e == ERR_OK && i < roles->n; i++)
		e = people_grant_role(ch, who.id, roles->v[i]);
	for (size_t i = 0; e == ERR_OK && i < depts->n; i++)
		e = people_join_department(ch, &who, depts->v[i]);
	if (e != ERR_OK)
		return e;
	ch->result = with_password(who.id, name, p);
	return change_did(ch, who.tenant_id, "user.add", name, "user %s added%s%s", name,
		p->is_generated ? "; password: " : "", p->is_generated ? p->text : "");
}

static enum ctl_exit user_add(struct call *call)
{
	const char *display = opt_text(call, "display-name");
	const struct strlist *depts = opt_list(call, "department");
	struct password p = {0};
	enum ctl_exit status;

	if (!people_name_is_valid("user", call->args.v[0]))
		return CTL_USAGE;
	for (size_t i = 0; i < depts->n; i++)
		if (!people_name_is_valid("department", depts->v[i]))
			return CTL_USAGE;
	if (display && !people_text_is_valid("--display-name", display, 128))
		return CTL_USAGE;
	status = password_take(call, opt_flag(call, "password-stdin"), &p);
	if (status == CTL_OK)
		status = change_run(call, sets, cmd_user_add, &p);
	password_wipe(&p);
	return status;
}

/* Ends what the user is logged in with: refresh tokens, access tokens, blocked requests. */
static enum err end_sessions(struct change *ch, uint64_t user_id)
{
	struct db_val id = DBV_U(user_id);
	enum err e;

	if ((e = db_exec(ch->db, &revoke_access, &id, 1, NULL, NULL)) ||
		(e = db_exec(ch->db, &revoke_refresh, &id, 1, NULL, NULL)))
		return e;
	change_tell(ch, CHANGE_USER, user_id);
	return ERR_OK;
}

static enum err passwd(struct change *ch)
{
	const struct password *p = ch->arg;
	const char *name = ch->call->args.v[0];
	struct db_val in[2] = {dbv_s(p->phc)}, subject = dbv_s(name);
	struct person who;
	enum err e;

	if ((e = people_user(ch, name, &who)))
		return e;
	in[1] = DBV_U(who.id);
	if ((e = db_exec(ch->db, &set_password, in, 2, NULL, NULL)) ||
		(e = db_exec(ch->db, &forgive, &subject, 1, NULL, NULL)) ||
		(e = end_sessions(ch, who.id)))
		return e;
	ch->result = with_password(who.id, name, p);
	return change_did(ch, who.tenant_id, "user.passwd", name, "user %s has a new password%s%s",
		name, p->is_generated ? ": " : "", p->is_generated ? p->text : "");
}

static enum ctl_exit user_passwd(struct call *call)
{
	struct password p = {0};
	enum ctl_exit status = password_take(call, opt_flag(call, "password-stdin"), &p);

	if (status == CTL_OK)
		status = change_run(call, sets, passwd, &p);
	password_wipe(&p);
	return status;
}

static enum err cmd_user_disable(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[2] = {dbv_s("disabled")};
	struct person who;
	enum err e;

	if ((e = people_user(ch, name, &who)))
		return e;
	in[1] = DBV_U(who.id);
	if ((e = db_exec(ch->db, &set_status, in, 2, NULL, NULL)) || (e = end_sessions(ch, who.id)))
		return e;
	return change_did(
		ch, who.tenant_id, "user.disable", name, "user %s disabled and logged out", name);
}

static enum err cmd_user_enable(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct db_val in[2] = {dbv_s("active")};
	struct person who;
	enum err e;

	if ((e = people_user(ch, name, &who)))
		return e;
	in[1] = DBV_U(who.id);
	if ((e = db_exec(ch->db, &set_status, in, 2, NULL, NULL)))
		return e;
	change_tell_more(ch, CHANGE_USER, who.id);
	return change_did(ch, who.tenant_id, "user.enable", name, "user %s enabled", name);
}

static enum err remove_user(struct change *ch)
{
	const char *name = ch->call->args.v[0];
	struct person who;
	struct db_val id;
	enum err e;

	if ((e = people_user(ch, name, &who)) || (e = end_sessions(ch, who.id)))
		return e;
	id = DBV_U(who.id);
	e = db_exec(ch->db, &delete_user, &id, 1, NULL, NULL);
	if (e == ERR_DB_REF_USED)
		return change_problem(ch, ERR_IN_USE,
			"what %s made still names its maker; disable the user instead", name);
	if (e != ERR_OK)
		return e;
	return change_did(ch, who.tenant_id, "user.delete", name, "user %s deleted", name);
}

static enum ctl_exit user_disable(struct call *call)
{
	return change_run(call, sets, cmd_user_disable, NULL);
}

static enum ctl_exit user_enable(struct call *call)
{
	return change_run(call, sets, cmd_user_enable, NULL);
}

static enum ctl_exit user_delete(struct call *call)
{
	return change_run(call, sets, remove_user, NULL);
}

static const struct opt list_opts[] = {
	{"tenant", OPT_TEXT, "NAME", "only of this tenant", 0, 0},
	{0},
};
static const struct opt add_opts[] = {
	{"role", OPT_LIST, "ROLE", "give it this role; repeatable", 0, 0},
	{"tenant", OPT_TEXT, "NAME", "it belongs to this tenant (default)", 0, 0},
	{"department", OPT_LIST, "NAME", "put it into this department; repeatable", 0, 0},
	{"display-name", OPT_TEXT, "TEXT", "how it is shown", 0, 0},
	{"password-stdin", OPT_FLAG, NULL,
		"read the password from standard input; else one is made and shown", 0, 0},
	{0},
};
static const struct opt passwd_opts[] = {
	{"password-stdin", OPT_FLAG, NULL,
		"read the password from standard input; else one is made and shown", 0, 0},
	{0},
};

const struct cmd cmd_user = {
	"user",
	"who may log in",
	(const struct verb[]){
		{"list", "", 0, 0, list_opts, user_list, "show all users", false},
		{"show", "NAME", 1, 1, NULL, user_show, "show one", false},
		{"add", "NAME", 1, 1, add_opts, user_add, "make a user", false},
		{"passwd", "NAME", 1, 1, passwd_opts, user_passwd,
			"set a new password and log it out", false},
		{"disable", "NAME", 1, 1, NULL, user_disable, "shut it out and log it out", false},
		{"enable", "NAME", 1, 1, NULL, user_enable, "let it in again", false},
		{"grant-role", "NAME ROLE...", 2, -1, NULL, user_grant_role, "give it roles",
			false},
		{"revoke-role", "NAME ROLE...", 2, -1, NULL, user_revoke_role, "take roles from it",
			false},
		{"add-department", "NAME DEPARTMENT...", 2, -1, NULL, user_add_department,
			"put it into departments", false},
		{"remove-department", "NAME DEPARTMENT...", 2, -1, NULL, user_remove_department,
			"take it out of departments", false},
		{"delete", "NAME", 1, 1, NULL, user_delete, "remove it with its tokens", false},
		{0},
	},
};
