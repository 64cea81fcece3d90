#include "password.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

#define GENERATED_LEN 20 /* of 64 symbols: 120 bits */

static enum ctl_exit read_line(struct password *p)
{
	size_t len;

	if (!fgets(p->text, sizeof(p->text), stdin))
		return cmd_fail(CTL_USAGE, "no password on standard input");
	len = strcspn(p->text, "\r\n");
	if (!p->text[len] && !feof(stdin))
		return cmd_fail(
			CTL_USAGE, "the password is longer than %d bytes", SECRET_PASSWORD_MAX - 1);
	p->text[len] = '\0';
	if (len < PASSWORD_MIN)
		return cmd_fail(CTL_USAGE, "the password has fewer than %d bytes", PASSWORD_MIN);
	if (!json_is_utf8(p->text, len))
		return cmd_fail(CTL_USAGE, "the password is not UTF-8, so no client could send it");
	return CTL_OK;
}

static void make_up(struct password *p)
{
	char token[64];

	secret_random_token(token, "");
	memcpy(p->text, token, GENERATED_LEN);
	p->text[GENERATED_LEN] = '\0';
	p->is_generated = true;
	secret_wipe(token, sizeof(token));
}

enum ctl_exit password_take(const struct call *call, bool from_stdin, struct password *p)
{
	enum ctl_exit status;

	*p = (struct password){0};
	if (!from_stdin)
		make_up(p);
	else if ((status = read_line(p)) != CTL_OK)
		return status;
	if (!secret_password_hash(p->phc, p->text, strlen(p->text),
		    (uint64_t)call->cfg->auth.argon2_passes,
		    (uint64_t)call->cfg->auth.argon2_memory_kib))
		return cmd_fail(CTL_FAILED,
			"hashing the password failed: is there memory for "
			"auth.argon2_memory_kib = %lld?",
			(long long)call->cfg->auth.argon2_memory_kib);
	if (!p->is_generated)
		secret_wipe(p->text, sizeof(p->text));
	return CTL_OK;
}

void password_wipe(struct password *p)
{
	secret_wipe(p, sizeof(*p));
}
