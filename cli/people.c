#include "people.h"

#include <string.h>

#include "json.h"

#define NAME_MAX_CHARS 64

static const struct db_stmt find_tenant = {
	.name = "people.tenant",
	.sql = "SELECT id FROM tenants WHERE name = ?",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt find_role = {
	.name = "people.role",
	.sql = "SELECT id FROM roles WHERE name = ?",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt find_user = {
	.name = "people.user",
	.sql = "SELECT id, tenant_id, status = 'active' FROM users WHERE username = ?",
	.params_n = 1,
	.cols_n = 3,
};
static const struct db_stmt grant_role = {
	.name = "people.grant_role",
	.sql = "INSERT IGNORE INTO user_roles (user_id, role_id) VALUES (?, ?)",
	.params_n = 2,
};
static const struct db_stmt add_department = {
	.name = "people.add_department",
	.sql = "INSERT IGNORE INTO departments (tenant_id, name) VALUES (?, ?)",
	.params_n = 2,
};
static const struct db_stmt join_department = {
	.name = "people.join_department",
	.sql = "INSERT IGNORE INTO user_departments (user_id, department_id)"
	       " SELECT ?, id FROM departments WHERE tenant_id = ? AND name = ?",
	.params_n = 3,
};
const struct db_set people_sql = {
	.name = "people",
	.stmts = (const struct db_stmt *const[]){&find_tenant, &find_role, &find_user, &grant_role,
		&add_department, &join_department, NULL},
	.is_lazy = true,
};

/* The id that st finds for name. */
static enum err people_find(struct change *ch, const struct db_stmt *st, const char *what,
	const char *name, uint32_t *id)
{
	struct db_val in[1] = {dbv_s(name)};
	const struct db_val *row;
	enum err e = db_one(ch->db, st, in, 1, &row);

	if (e != ERR_OK)
		return e;
	if (!row)
		return change_problem(ch, ERR_NOT_FOUND,
			"there is no %s named \"%s\"; see cmdbctl %s list", what, name, what);
	*id = (uint32_t)dbv_u(&row[0]);
	return ERR_OK;
}

enum err people_tenant(struct change *ch, const char *name, uint32_t *id)
{
	return people_find(ch, &find_tenant, "tenant", name, id);
}

enum err people_role(struct change *ch, const char *name, uint32_t *id)
{
	return people_find(ch, &find_role, "role", name, id);
}

enum err people_user(struct change *ch, const char *name, struct person *p)
{
	struct db_val in[1] = {dbv_s(name)};
	const struct db_val *row;
	enum err e = db_one(ch->db, &find_user, in, 1, &row);

	if (e != ERR_OK)
		return e;
	if (!row)
		return change_problem(ch, ERR_NOT_FOUND,
			"there is no user named \"%s\"; see cmdbctl user list", name);
	p->id = dbv_u(&row[0]);
	p->tenant_id = (uint32_t)dbv_u(&row[1]);
	p->is_active = dbv_u(&row[2]) != 0;
	return ERR_OK;
}

enum err people_grant_role(struct change *ch, uint64_t user_id, const char *role)
{
	struct db_val in[2] = {DBV_U(user_id)};
	uint32_t role_id;
	enum err e = people_role(ch, role, &role_id);

	if (e != ERR_OK)
		return e;
	in[1] = DBV_U(role_id);
	return db_exec(ch->db, &grant_role, in, 2, NULL, NULL);
}

enum err people_join_department(struct change *ch, const struct person *p, const char *department)
{
	struct db_val in[3] = {DBV_U(p->id), DBV_U(p->tenant_id), dbv_s(department)};
	enum err e = db_exec(ch->db, &add_department, &in[1], 2, NULL, NULL);

	return e == ERR_OK ? db_exec(ch->db, &join_department, in, 3, NULL, NULL) : e;
}

static size_t people_count_chars(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Names end up in rooms ("role:<name>"), lists with commas and on terminals. */
bool people_name_is_valid(const char *what, const char *text)
{
	const char *bad = NULL;
	size_t chars = people_count_chars(text);

	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p <= ' ' || *p == 0x7f || strchr(",:;*?\"'\\/<>", *p))
			bad = "has no blanks and none of , : ; * ? \" ' \\ / < >";
	if (!json_is_utf8(text, strlen(text)))
		bad = "is UTF-8";
	if (chars < 1 || chars > NAME_MAX_CHARS)
		bad = "has 1 to 64 characters";
	if (*text == '-')
		bad = "does not begin with -";
	if (bad)
		cmd_fail(CTL_USAGE, "the name of a %s %s", what, bad);
	return !bad;
}

bool people_text_is_valid(const char *what, const char *text, size_t max)
{
	bool is_good = json_is_utf8(text, strlen(text)) && people_count_chars(text) <= max;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		is_good = is_good && *p >= ' ' && *p != 0x7f;
	if (!is_good)
		cmd_fail(CTL_USAGE,
			"%s wants at most %zu characters of UTF-8, "
			"none of them a control character",
			what, max);
	return is_good;
}

bool people_perm_is_valid(const char *text)
{
	if (strlen(text) <= 64 && perm_is_valid(text))
		return true;
	cmd_fail(CTL_USAGE,
		"\"%s\" is no permission: <resource>:<verb>, <resource>:* or *, "
		"as in websites:read",
		text);
	return false;
}
