#include "unit.h"

#include "err.h"

static void every_error_has_its_row(void **state)
{
	for (int e = ERR_OK; e < ERR_N; e++) {
		int status = err_status((enum err)e);
		assert_true(e == ERR_OK ? status == 200 : status >= 400 && status < 600);
		const char *code = err_code((enum err)e);
		assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz_"), strlen(code));
		const char *text = err_text((enum err)e);
		assert_int_equal(text[strlen(text) - 1], '.');
		/* it goes into a body as it is, and names nothing of the inside */
		assert_null(strpbrk(text, "\"\\\n"));
		assert_null(strstr(text, "MariaDB"));
		assert_null(strstr(text, "SQL"));
	}
}

/* The same code with two statuses would leave a client guessing. */
static void one_code_one_status(void **state)
{
	for (int a = 1; a < ERR_N; a++)
		for (int b = a + 1; b < ERR_N; b++)
			if (strcmp(err_code((enum err)a), err_code((enum err)b)) == 0)
				assert_int_equal(err_status((enum err)a), err_status((enum err)b));
}

static void as_the_header_says(void **state)
{
	static const struct {
		enum err e;
		int status;
		const char *code;
	} rows[] = {
		{ERR_BAD_JSON, 400, "malformed_json"},
		{ERR_TOKEN_EXPIRED, 401, "token_expired"},
		{ERR_STALE, 409, "stale_version"},
		{ERR_IDEMPOTENCY, 409, "idempotency_key_reused"},
		{ERR_UPGRADE, 426, "upgrade_not_supported"},
		{ERR_BUSY, 503, "busy"},
		{ERR_DB_DUP, 409, "duplicate"},
		{ERR_DB_REF_USED, 409, "in_use"},
		{ERR_DB_REF_NONE, 422, "validation_failed"},
		{ERR_DB_LOST, 503, "unavailable"},
		{ERR_DB_DENIED, 503, "unavailable"},
		{ERR_DB, 500, "internal_error"},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		assert_int_equal(err_status(rows[i].e), rows[i].status);
		assert_string_equal(err_code(rows[i].e), rows[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_row),
		cmocka_unit_test(one_code_one_status),
		cmocka_unit_test(as_the_header_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
