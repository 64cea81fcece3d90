#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "log.h"

/* Where standard error goes while a test looks at it. */
static int capture_fd = -1, saved_fd = -1;

static void capture(void)
{
	char name[] = "/tmp/cmdb-log-XXXXXX";
	fflush(stderr);
	capture_fd = mkstemp(name);
	assert_true(capture_fd >= 0);
	unlink(name);
	saved_fd = dup(STDERR_FILENO);
	dup2(capture_fd, STDERR_FILENO);
}

static void captured(struct str *out)
{
	ssize_t n;
	dup2(saved_fd, STDERR_FILENO);
	close(saved_fd);
	lseek(capture_fd, 0, SEEK_SET);
	str_clear(out);
	do {
		str_reserve(out, 4096);
		n = read(capture_fd, out->p + out->len, 4096);
		assert_true(n >= 0);
		out->len += (size_t)n;
		out->p[out->len] = '\0';
	} while (n > 0);
	close(capture_fd);
}

/* What stands between the first ": " and the line end; that there is no other line end. */
static char *message_of(struct str *line)
{
	assert_true(line->len > 0 && line->p[line->len - 1] == '\n');
	line->p[line->len - 1] = '\0';
	assert_null(strchr(line->p, '\n'));
	char *p = strstr(line->p, ": ");
	assert_non_null(p);
	return p + 2;
}

static void text_line(void **state)
{
	struct str line = STR_INIT;
	char head[64];

	log_init("cmdb-test", LOG_INFO, LOG_TEXT);
	capture();
	log_info("connect", "user %d from %s", 7, "::1");
	captured(&line);
	snprintf(head, sizeof(head), " INFO  cmdb-test[%d] connect: ", (int)getpid());
	assert_int_equal(strspn(line.p, "0123456789-T:.Z"), 24);
	assert_memory_equal(line.p + 24, head, strlen(head));
	assert_string_equal(message_of(&line), "user 7 from ::1");
	str_fini(&line);
}

static void nobody_forges_a_line(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"a\nERROR b", "a\\nERROR b"},
		{"a\r\x1b[2J\x7f\t", "a\\u000d\\u001b[2J\\u007f\\u0009"},
		{"\xc2\x9b"
		 "2J \xc2\x85",
			"\\u009b2J \\u0085"},
		{"\xc3\xa4 \xc2\xa0 \xe2\x82\xac", "\xc3\xa4 \xc2\xa0 \xe2\x82\xac"},
		{"bad \xff\xc3\xa4", "bad \\u00ff\\u00c3\\u00a4"},
		{"cut \xc2", "cut \\u00c2"},
		{"a\xe2\x80\xaetxt.exe", "a\\u202etxt.exe"},
		{"\xf3\xa0\x80\x81", "\\udb40\\udc01"},
		{"\"quoted\" \\", "\"quoted\" \\"},
		{"", ""},
	};
	struct str line = STR_INIT;
	log_init("cmdb-test", LOG_INFO, LOG_TEXT);
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		capture();
		log_warn("x", "%s", rows[i].in);
		captured(&line);
		assert_string_equal(message_of(&line), rows[i].out);
	}
	str_fini(&line);
}

static void json_line(void **state)
{
	static const char *const messages[] = {
		"plain", "\"quoted\" \\ \n\r\x01\x7f", "bad \xff\"", "\xc2\x9b \xe2\x82\xac", ""};
	struct str line = STR_INIT;

	log_init("cmdb-test", LOG_DEBUG, LOG_JSON);
	for (size_t i = 0; i < ARRAY_N(messages); i++) {
		const char *why;
		size_t offset;
		capture();
		log_debug("login", "%s", messages[i]);
		captured(&line);
		assert_ptr_equal(strchr(line.p, '\n'), line.p + line.len - 1);
		struct json_object *o = json_parse(line.p, line.len, &why, &offset);
		if (!o)
			fail_msg("%s: %s", line.p, why);
		assert_string_equal(json_get_str(o, "level"), "debug");
		assert_string_equal(json_get_str(o, "program"), "cmdb-test");
		assert_string_equal(json_get_str(o, "event"), "login");
		assert_int_equal(json_object_get_int(json_get(o, "pid")), getpid());
		assert_int_equal(strlen(json_get_str(o, "time")), 24);
		if (i == 0)
			assert_string_equal(json_get_str(o, "message"), "plain");
		json_object_put(o);
	}
	str_fini(&line);
}

/* The worst there is: every byte becomes an escape; and a character across the cut. */
static void long_messages_are_cut(void **state)
{
	static const struct row {
		const char *unit;
		enum log_format format;
	} rows[] = {{"\x01", LOG_TEXT}, {"\xff", LOG_JSON}, {"\xe2\x82\xac", LOG_TEXT},
		{"\xe2\x82\xac", LOG_JSON}, {"x", LOG_TEXT}};
	struct str line = STR_INIT, text = STR_INIT;

	for (size_t i = 0; i < 3 * ARRAY_N(rows); i++) {
		const struct row *row = &rows[i % ARRAY_N(rows)];
		str_clear(&text);
		str_add(&text, "xx", i / ARRAY_N(rows)); /* so that the cut falls on each byte */
		while (text.len < 10000)
			str_adds(&text, row->unit);
		log_init("cmdb-test", LOG_INFO, row->format);
		capture();
		log_info("x", "%s", text.p);
		captured(&line);
		assert_true(line.len > 4000);
		assert_ptr_equal(strchr(line.p, '\n'), line.p + line.len - 1);
		assert_non_null(strstr(line.p, row->format == LOG_JSON ? "...\"}\n" : "...\n"));
		assert_true(json_is_utf8(line.p, line.len));
		assert_null(strstr(line.p, "\\u00e2"));
	}
	str_fini(&line);
	str_fini(&text);
}

static void levels(void **state)
{
	struct str line = STR_INIT;
	int evaluated = 0;

	log_init("cmdb-test", LOG_WARN, LOG_TEXT);
	capture();
	log_debug("x", "%d", ++evaluated);
	log_info("x", "hidden");
	log_warn("x", "shown");
	captured(&line);
	assert_int_equal(evaluated, 0);
	assert_string_equal(message_of(&line), "shown");
	assert_true(log_is_on(LOG_ERROR));
	assert_false(log_is_on(LOG_INFO));
	str_fini(&line);
}

static void fatal_says_all_and_exits(void **state)
{
	struct str out = STR_INIT;
	int status;

	log_init("cmdb-test", LOG_ERROR, LOG_TEXT);
	capture();
	pid_t pid = fork();
	if (pid == 0)
		log_fatal(78, "%s", "one: cure\n\ntwo\r: cure\n");
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	captured(&out);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 78);
	char *second = strchr(out.p, '\n');
	assert_non_null(second);
	assert_non_null(strstr(out.p, " fatal: one: cure\n"));
	assert_non_null(strstr(second, " ERROR cmdb-test["));
	assert_non_null(strstr(second, " fatal: two\\u000d: cure\n"));
	assert_ptr_equal(strchr(second + 1, '\n'), out.p + out.len - 1);
	str_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_line),
		cmocka_unit_test(nobody_forges_a_line),
		cmocka_unit_test(json_line),
		cmocka_unit_test(long_messages_are_cut),
		cmocka_unit_test(levels),
		cmocka_unit_test(fatal_says_all_and_exits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
