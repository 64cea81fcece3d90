#include "user.h"

#include "event.h"
#include "people.h"
#include "rows.h"

static const struct db_stmt take_role = {
	.name = "user.revoke_role",
	.sql = "DELETE FROM user_roles WHERE user_id = ? AND role_id = ?",
	.params_n = 2,
};
static const struct db_stmt leave_department = {
	.name = "user.remove_department",
	.sql = "DELETE ud FROM user_departments ud JOIN departments d ON d.id = ud.department_id"
	       " WHERE ud.user_id = ? AND d.name = ?",
	.params_n = 2,
};
static const struct db_set sql = {
	.name = "user_access",
	.stmts = (const struct db_stmt *const[]){&take_role, &leave_department, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

static enum err user_access_take(struct change *ch, const struct person *who, const char *role)
{
	struct db_val in[2] = {DBV_U(who->id)};
	uint64_t n = 0;
	uint32_t id;
	enum err e = people_role(ch, role, &id);

	if (e != ERR_OK)
		return e;
	in[1] = DBV_U(id);
	e = db_exec(ch->db, &take_role, in, 2, &n, NULL);
	if (e == ERR_OK && n == 0)
		return change_problem(ch, ERR_NOT_FOUND, "%s does not have the role %s",
			ch->call->args.v[0], role);
	return e;
}

static enum err give(struct change *ch, const struct person *who, const char *role)
{
	return people_grant_role(ch, who->id, role);
}

static enum err leave(struct change *ch, const struct person *who, const char *department)
{
	struct db_val in[2] = {DBV_U(who->id), dbv_s(department)};
	uint64_t n = 0;
	enum err e = db_exec(ch->db, &leave_department, in, 2, &n, NULL);

	if (e == ERR_OK && n == 0)
		return change_problem(ch, ERR_NOT_FOUND, "%s is not in the department %s",
			ch->call->args.v[0], department);
	return e;
}

/* What the four verbs differ in. */
struct access {
	const char *action, *done;
	enum err (*each)(struct change *ch, const struct person *who, const char *name);
	void (*tell)(struct change *ch, enum change_whom whom, uint64_t id);
};

static enum err change_access(struct change *ch)
{
	const struct access *a = ch->arg;
	const struct strlist *args = &ch->call->args;
	struct str names = STR_INIT, target = STR_INIT;
	struct person who;
	enum err e = people_user(ch, args->v[0], &who);

	for (size_t i = 1; e == ERR_OK && i < args->n; i++) {
		e = a->each(ch, &who, args->v[i]);
		str_addf(&names, "%s%s", i > 1 ? ", " : "", args->v[i]);
	}
	if (e == ERR_OK) {
		a->tell(ch, CHANGE_USER, who.id);
		str_addf(&target, "%s %s", args->v[0], str_c(&names));
		e = change_did(ch, who.tenant_id, a->action, str_c(&target), "user %s %s %s",
			args->v[0], a->done, str_c(&names));
	}
	str_fini(&names);
	str_fini(&target);
	return e;
}

enum ctl_exit user_grant_role(struct call *call)
{
	return change_run(call, sets, change_access,
		&(const struct access){
			"user.grant-role", "now has the role", give, change_tell_more});
}

enum ctl_exit user_revoke_role(struct call *call)
{
	return change_run(call, sets, change_access,
		&(const struct access){"user.revoke-role", "no longer has the role",
			user_access_take, change_tell});
}

enum ctl_exit user_add_department(struct call *call)
{
	for (size_t i = 1; i < call->args.n; i++)
		if (!people_name_is_valid("department", call->args.v[i]))
			return CTL_USAGE;
	return change_run(call, sets, change_access,
		&(const struct access){"user.add-department", "is now in", people_join_department,
			change_tell_more});
}

enum ctl_exit user_remove_department(struct call *call)
{
	return change_run(call, sets, change_access,
		&(const struct access){
			"user.remove-department", "is no longer in", leave, change_tell});
}
