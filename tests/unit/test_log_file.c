/* The file of log lines without a server: its name's day, what a write that is cut short leaves,
 * and several writers. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "day_file.h"
#include "log_file.h"
#include "stats.h"

#define DAY_MS 86400000
#define NOON_MS 1795348800000 /* 2026-11-22T12:00:00Z */

static char dir[64];
static struct config cfg;
static _Atomic uint64_t stats[STAT_N];

static int set_up(void **state)
{
	char file[128];

	strcpy(dir, "/tmp/cmdb-log-file-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/%%Y-%%m-%%d.jsonl", dir);
	cfg = (struct config){0};
	cfg.logs.file = strdup(file);
	cfg.logs.fsync = strdup("never");
	memset((void *)stats, 0, sizeof(stats));
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	free(cfg.logs.file);
	free(cfg.logs.fsync);
	return system(command);
}

static char *slurp(const char *name)
{
	char path[128];
	FILE *in;
	char *text = calloc(1, 1 << 20);

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	in = fopen(path, "re");
	assert_non_null(in);
	text[fread(text, 1, (1 << 20) - 1, in)] = '\0';
	fclose(in);
	return text;
}

static void assert_file(const char *name, const char *text)
{
	char *is = slurp(name);

	assert_string_equal(is, text);
	free(is);
}

static void write_one(struct log_file *f, int64_t at_ms, const char *entry)
{
	struct log_lines *l = log_lines_new(1, at_ms);

	log_lines_add(l, 7, slice_of(entry));
	log_file_write(f, &cfg, l);
	log_lines_free(l);
}

static void names(void **state)
{
	static const struct {
		const char *pattern, *name;
	} rows[] = {
		{"/a/b", "/a/b"},
		{"%Y-%m-%d", "2026-11-22"},
		{"%%Y%H.%d%%", "%Y12.22%"},
		{"%q", NULL},
		{"%", NULL},
		{"a%", NULL},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str name = STR_INIT;

		assert_int_equal(
			day_file_name(&name, rows[i].pattern, NOON_MS), rows[i].name != NULL);
		if (rows[i].name)
			assert_string_equal(str_c(&name), rows[i].name);
		str_fini(&name);
	}
}

static void a_day_has_a_file(void **state)
{
	struct log_file *f = log_file_new(stats);

	write_one(f, NOON_MS, "{\"id\":1}");
	write_one(f, NOON_MS + DAY_MS / 2 - 1, "{\"id\":2}");
	write_one(f, NOON_MS + DAY_MS / 2, "{\"id\":3}");
	write_one(f, NOON_MS, "{\"id\":4}");
	log_file_free(f);
	assert_file("2026-11-22.jsonl",
		"{\"tenant\":7,\"id\":1}\n{\"tenant\":7,\"id\":2}\n{\"tenant\":7,\"id\":4}\n");
	assert_file("2026-11-23.jsonl", "{\"tenant\":7,\"id\":3}\n");
	assert_int_equal(stats[STAT_LOG_LINES], 4);
}

/* RLIMIT_FSIZE cuts a write short as a full disk does. */
static void what_is_cut_short_is_taken_back(void **state)
{
	struct log_file *f = log_file_new(stats);
	struct rlimit was, small;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &was);
	small = (struct rlimit){40, was.rlim_max};
	write_one(f, NOON_MS, "{\"id\":1}");
	setrlimit(RLIMIT_FSIZE, &small);
	write_one(f, NOON_MS, "{\"message\":\"does not fit\"}");
	assert_file("2026-11-22.jsonl", "{\"tenant\":7,\"id\":1}\n");
	assert_int_equal(stats[STAT_LOG_FILE_FAILING], 1);
	write_one(f, NOON_MS, "{}");
	setrlimit(RLIMIT_FSIZE, &was);
	assert_int_equal(stats[STAT_LOG_FILE_FAILING], 0);
	assert_int_equal(stats[STAT_LOG_LINES_FAILED], 1);
	assert_file("2026-11-22.jsonl", "{\"tenant\":7,\"id\":1}\n{\"tenant\":7,}\n");
	log_file_free(f);
}

static void a_torn_end_is_mended(void **state)
{
	char path[128], torn[9000];
	struct log_file *f = log_file_new(stats);
	int fd;

	snprintf(path, sizeof(path), "%s/2026-11-22.jsonl", dir);
	memset(torn, 'x', sizeof(torn));
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "1\n", 2), 2);
	assert_int_equal(write(fd, torn, sizeof(torn)), sizeof(torn));
	write_one(f, NOON_MS, "{\"id\":1}");
	assert_file("2026-11-22.jsonl", "1\n{\"tenant\":7,\"id\":1}\n");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, torn, 4096, 0), 4096);
	write_one(f, NOON_MS, "{\"id\":2}");
	assert_file("2026-11-22.jsonl", "{\"tenant\":7,\"id\":2}\n");
	close(fd);
	log_file_free(f);
}

static void who_keeps_the_lock_holds_nobody_for_long(void **state)
{
	char path[128];
	struct log_file *f = log_file_new(stats);
	int fd;

	write_one(f, NOON_MS, "{\"id\":1}");
	snprintf(path, sizeof(path), "%s/2026-11-22.jsonl", dir);
	fd = open(path, O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	write_one(f, NOON_MS, "{\"id\":2}");
	assert_int_equal(stats[STAT_LOG_LINES_FAILED], 1);
	close(fd);
	write_one(f, NOON_MS, "{\"id\":3}");
	assert_file("2026-11-22.jsonl", "{\"tenant\":7,\"id\":1}\n{\"tenant\":7,\"id\":3}\n");
	log_file_free(f);
}

static void sighup_opens_anew(void **state)
{
	char path[128], moved[128];
	struct log_file *f = log_file_new(stats);

	snprintf(path, sizeof(path), "%s/2026-11-22.jsonl", dir);
	snprintf(moved, sizeof(moved), "%s/moved", dir);
	write_one(f, NOON_MS, "{\"id\":1}");
	assert_int_equal(rename(path, moved), 0);
	write_one(f, NOON_MS, "{\"id\":2}");
	log_file_reopen(f);
	write_one(f, NOON_MS, "{\"id\":3}");
	assert_file("moved", "{\"tenant\":7,\"id\":1}\n{\"tenant\":7,\"id\":2}\n");
	assert_file("2026-11-22.jsonl", "{\"tenant\":7,\"id\":3}\n");
	log_file_free(f);
}

static void *write_many(void *arg)
{
	for (int i = 0; i < 200; i++)
		write_one(arg, NOON_MS, i % 2 ? "{\"id\":1}" : "{\"id\":22}");
	return NULL;
}

/* Two processes of two threads. */
static void lines_of_many_are_whole(void **state)
{
	struct log_file *f = log_file_new(stats);
	pid_t child = fork();
	pthread_t thread;
	char *text;
	size_t n = 0;

	pthread_create(&thread, NULL, write_many, f);
	write_many(f);
	pthread_join(thread, NULL);
	log_file_free(f);
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	text = slurp("2026-11-22.jsonl");
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++)
		assert_true(!strcmp(line, "{\"tenant\":7,\"id\":1}") ||
			    !strcmp(line, "{\"tenant\":7,\"id\":22}"));
	assert_int_equal(n, 800);
	free(text);
}

static void synced_once_a_second_and_at_the_end(void **state)
{
	static const char *const policies[] = {"second", "write"};

	for (size_t i = 0; i < 2; i++) {
		struct log_file *f = log_file_new(stats);

		free(cfg.logs.fsync);
		cfg.logs.fsync = strdup(policies[i]);
		write_one(f, NOON_MS, "{\"id\":1}");
		write_one(f, NOON_MS + DAY_MS, "{\"id\":2}");
		log_file_free(f);
	}
	assert_int_equal(stats[STAT_LOG_LINES], 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		TEST(a_day_has_a_file),
		TEST(what_is_cut_short_is_taken_back),
		TEST(a_torn_end_is_mended),
		TEST(who_keeps_the_lock_holds_nobody_for_long),
		TEST(sighup_opens_anew),
		TEST(lines_of_many_are_whole),
		TEST(synced_once_a_second_and_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
