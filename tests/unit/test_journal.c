/* The poller's journal: what a file gives back after damage, full disks and kill -9. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal.h"
#include "log.h"
#include "secret.h"

#define EPOCH "0123456789abcdef0123456789abcdef"
#define LIMIT (1024 * 1024)

static char dir[64], path[96], new_path[104], bad_path[104], tries_path[104];
static struct str note;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/cmdb-journal-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/journal", dir);
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	snprintf(bad_path, sizeof(bad_path), "%s.bad", path);
	snprintf(tries_path, sizeof(tries_path), "%s.tries", path);
	return 0;
}

/* rmdir() fails if a test has left a file besides the journal and one that was set aside. */
static int teardown(void **state)
{
	unlink(path);
	unlink(bad_path);
	str_fini(&note);
	return rmdir(dir);
}

/* Records joined by blanks. */
static void collect(const void *rec, size_t len, void *arg)
{
	struct str *s = arg;

	if (s->len)
		str_addc(s, ' ');
	str_add(s, rec, len);
}

static struct journal *open_into(struct str *got)
{
	str_clear(got);
	str_clear(&note);
	return journal_open(path, EPOCH, LIMIT, collect, got, &note);
}

static void assert_replays(const char *expected)
{
	struct str got = STR_INIT;
	struct journal *j = open_into(&got);

	assert_non_null(j);
	assert_string_equal(str_c(&got), expected);
	journal_close(j);
	str_fini(&got);
}

static void add(struct journal *j, const char *rec)
{
	journal_add(j, rec, strlen(rec));
}

static size_t file_size(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

/* The file "a" "bb" | "ccc" | "dddd", and where its batches end. */
static char *make_file(size_t ends[4])
{
	struct str got = STR_INIT;
	struct journal *j = open_into(&got);
	char *bytes;

	ends[0] = journal_size(j);
	add(j, "a");
	add(j, "bb");
	assert_true(journal_flush(j));
	ends[1] = journal_size(j);
	add(j, "ccc");
	assert_true(journal_flush(j));
	ends[2] = journal_size(j);
	add(j, "dddd");
	journal_close(j);
	ends[3] = file_size();
	str_fini(&got);
	bytes = malloc(ends[3]);
	int fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, bytes, ends[3]), ends[3]);
	close(fd);
	return bytes;
}

static void put_file(const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void test_replay(void **state)
{
	struct str got = STR_INIT;
	struct journal *j = open_into(&got);
	struct stat st;
	size_t ends[4];

	assert_non_null(j);
	assert_string_equal(str_c(&note), "a new one");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	size_t size = journal_size(j);
	assert_true(journal_flush(j));
	assert_int_equal(file_size(), size);
	journal_close(j);
	assert_replays("");
	free(make_file(ends));
	assert_replays("a bb ccc dddd");
	str_clear(&got);
	str_addf(&got, "4 records in %zu bytes", ends[3]);
	assert_string_equal(str_c(&note), got.p);

	/* An empty record is one; and what was opened is gone on with. */
	j = open_into(&got);
	add(j, "");
	add(j, "e");
	journal_close(j);
	assert_replays("a bb ccc dddd  e");
	str_fini(&got);
}

static const char *whole(const size_t ends[4], size_t len)
{
	return len >= ends[3]   ? "a bb ccc dddd"
	       : len >= ends[2] ? "a bb ccc"
	       : len >= ends[1] ? "a bb"
				: "";
}

static void test_torn_at_every_byte(void **state)
{
	struct str got = STR_INIT, expected = STR_INIT;
	size_t ends[4];
	char *bytes = make_file(ends);

	for (size_t len = 0; len <= ends[3]; len++) {
		put_file(bytes, len);
		assert_replays(whole(ends, len));
		assert_int_equal(!!strstr(str_c(&note), "torn"),
			len > ends[0] && len != ends[1] && len != ends[2] && len != ends[3]);
		/* What is added behind the cut is there with the rest. */
		struct journal *j = open_into(&got);
		add(j, "x");
		journal_close(j);
		str_clear(&expected);
		str_adds(&expected, whole(ends, len));
		str_adds(&expected, expected.len ? " x" : "x");
		assert_replays(expected.p);
	}
	free(bytes);
	str_fini(&got);
	str_fini(&expected);
}

static void test_flipped_bits(void **state)
{
	size_t ends[4];
	char *bytes = make_file(ends);

	for (size_t bit = 0; bit < ends[3] * 8; bit++) {
		size_t at = bit / 8, good = at < ends[0]   ? 0
					    : at < ends[1] ? ends[0]
					    : at < ends[2] ? ends[1]
							   : ends[2];
		bytes[at] = (char)(bytes[at] ^ 1 << bit % 8);
		put_file(bytes, ends[3]);
		assert_replays(whole(ends, good));
		assert_int_equal(file_size(), good ? good : ends[0]);
		bytes[at] = (char)(bytes[at] ^ 1 << bit % 8);
	}
	/* Zeros, which a file may end in when the host went down. */
	memset(bytes + ends[2], 0, ends[3] - ends[2]);
	put_file(bytes, ends[3]);
	assert_replays("a bb ccc");
	free(bytes);
}

static void test_other_epoch(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4];

	free(make_file(ends));
	struct journal *j = journal_open(path, "another", LIMIT, collect, &got, &note);
	assert_non_null(j);
	assert_int_equal(got.len, 0);
	assert_non_null(strstr(str_c(&note), "another epoch"));
	add(j, "z");
	journal_close(j);
	assert_replays("");
	assert_non_null(strstr(str_c(&note), "another epoch"));
	str_fini(&got);
}

static void test_set_aside(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4];

	put_file("what is this", 12);
	struct journal *j = open_into(&got);
	assert_non_null(j);
	assert_true(journal_was_bad(j));
	assert_non_null(strstr(str_c(&note), "it was no journal"));
	assert_int_equal(access(bad_path, F_OK), 0);
	add(j, "new");
	journal_close(j);
	assert_replays("new");
	j = open_into(&got);
	assert_false(journal_was_bad(j));
	journal_close(j);
	unlink(path);
	free(make_file(ends));
	str_fini(&got);
}

/* Processes that die before they say that they can live with it. */
static void test_nobody_survives(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4];

	free(make_file(ends));
	for (int i = 0; i <= JOURNAL_TRIES; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			struct journal *j = open_into(&got);

			_exit(j && journal_was_bad(j) == (i == JOURNAL_TRIES) ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_int_equal(access(bad_path, F_OK), 0);
	assert_replays("");
	assert_int_equal(access(tries_path, F_OK), -1);

	/* Who has gone on for a while counts no more. */
	for (int i = 0; i <= JOURNAL_TRIES; i++) {
		struct journal *j = open_into(&got);

		journal_settled(j);
		assert_false(journal_was_bad(j));
		assert_int_equal(access(tries_path, F_OK), -1);
		journal_close(j);
	}
	str_fini(&got);
}

static void assert_refused(const char *why)
{
	struct str got = STR_INIT;

	assert_null(open_into(&got));
	if (!strstr(str_c(&note), why))
		fail_msg("%s is not: %s", str_c(&note), why);
	str_fini(&got);
}

static void test_refused(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4];

	assert_int_equal(symlink("/dev/null", path), 0);
	assert_refused("symbolic link");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused("no plain file");
	unlink(path);
	free(make_file(ends));
	chmod(path, 0620);
	assert_refused("others may write");
	chmod(path, 0600);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 1, 1), 0);
		assert_refused("another account");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	struct journal *j = open_into(&got);
	assert_refused("another process");
	journal_close(j);
	assert_replays("a bb ccc dddd");
	str_fini(&got);
}

/* ---- rewriting ---- */

static void dump_all(struct journal *j, void *arg)
{
	add(j, "all");
}

static void dump_none(struct journal *j, void *arg)
{
}

static void test_rewrite(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4];

	free(make_file(ends));
	struct journal *j = open_into(&got);
	add(j, "buffered"); /* in the dump, were it a real one */
	assert_true(journal_rewrite(j, dump_all, NULL));
	assert_int_equal(journal_size(j), file_size());
	assert_refused("another process");
	add(j, "more");
	assert_true(journal_flush(j));
	journal_close(j);
	assert_replays("all more");

	j = open_into(&got);
	assert_true(journal_rewrite(j, dump_none, NULL));
	journal_close(j);
	assert_replays("");
	str_fini(&got);
}

static void dump_large(struct journal *j, void *arg)
{
	char block[1000];

	memset(block, 'x', sizeof(block));
	for (size_t n = *(size_t *)arg; n > 0; n--)
		journal_add(j, block, sizeof(block));
}

static void count(const void *rec, size_t len, void *arg)
{
	assert_int_equal(len, 1000);
	++*(size_t *)arg;
}

static void test_wants_rewrite(void **state)
{
	struct str got = STR_INIT;
	size_t n = 3000, seen = 0;
	struct journal *j = open_into(&got);

	assert_false(journal_wants_rewrite(j));
	dump_large(j, &n);
	assert_true(journal_flush(j));
	assert_true(journal_wants_rewrite(j));
	assert_true(journal_rewrite(j, dump_large, &n));
	assert_true(journal_size(j) > LIMIT);
	assert_false(journal_wants_rewrite(j));
	dump_large(j, &n);
	assert_true(journal_flush(j));
	assert_false(journal_wants_rewrite(j));
	add(j, "x");
	n = 3;
	dump_large(j, &n);
	assert_true(journal_flush(j));
	assert_true(journal_wants_rewrite(j));
	n = 5000;
	assert_true(journal_rewrite(j, dump_large, &n));
	journal_close(j);
	j = journal_open(path, EPOCH, LIMIT, count, &seen, &note);
	assert_int_equal(seen, n);
	journal_close(j);
	str_fini(&got);
}

/* ---- a full disk ---- */

static void limit_files(rlim_t size)
{
	struct rlimit lim;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &lim), 0);
	lim.rlim_cur = size < lim.rlim_max ? size : lim.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
}

static void test_full_disk(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4], n = 1;

	free(make_file(ends));
	struct journal *j = open_into(&got);
	limit_files(ends[3] + 25); /* some of the next batch still goes */
	add(j, "eeeeeeeeeeeeeeee");
	assert_false(journal_flush(j));
	add(j, "f");
	assert_false(journal_flush(j));
	assert_int_equal(journal_size(j), ends[3]);
	assert_int_equal(file_size(), ends[3]);
	assert_false(journal_is_broken(j));
	assert_false(journal_rewrite(j, dump_large, &n));
	limit_files(RLIM_INFINITY);
	assert_int_equal(access(new_path, F_OK), -1);
	add(j, "g");
	assert_true(journal_flush(j));
	journal_close(j);
	assert_replays("a bb ccc dddd eeeeeeeeeeeeeeee f g");
	str_fini(&got);
}

static void test_full_for_too_long(void **state)
{
	struct str got = STR_INIT;
	size_t ends[4], n = JOURNAL_BUFFER_MAX / 1000 + 2;

	free(make_file(ends));
	struct journal *j = open_into(&got);
	limit_files(ends[3] + 1000);
	dump_large(j, &n);
	assert_true(journal_is_broken(j));
	assert_false(journal_flush(j));
	limit_files(RLIM_INFINITY);
	/* There is a hole: nothing goes behind it. */
	add(j, "x");
	assert_false(journal_flush(j));
	assert_int_equal(file_size(), ends[3]);
	assert_true(journal_wants_rewrite(j));
	assert_true(journal_rewrite(j, dump_all, NULL));
	assert_false(journal_is_broken(j));
	add(j, "y");
	assert_true(journal_flush(j));
	journal_close(j);
	assert_replays("all y");
	str_fini(&got);
}

/* ---- kill -9 ---- */

static void dump_number(struct journal *j, void *arg)
{
	journal_add(j, arg, sizeof(uint64_t));
}

/* Adds 1, 2, 3, ...; after each flush that went well it tells the last through the pipe. A rewrite
 * leaves the last alone. */
static void write_until_killed(int fd, uint64_t last, unsigned seed)
{
	struct str got = STR_INIT;
	struct journal *j = open_into(&got);

	while (j) {
		for (unsigned n = (seed = seed * 1103515245u + 12345u) >> 16 & 31; n > 0; n--) {
			last++;
			journal_add(j, &last, sizeof(last));
		}
		bool ok = (seed >> 24) % 16 ? journal_flush(j)
					    : journal_rewrite(j, dump_number, &last);
		if (!ok || write(fd, &last, sizeof(last)) != sizeof(last))
			break;
	}
	_exit(1);
}

static void follow(const void *rec, size_t len, void *arg)
{
	uint64_t *last = arg, number;

	assert_int_equal(len, sizeof(number));
	memcpy(&number, rec, sizeof(number));
	assert_true(*last == 0 || number == *last + 1);
	*last = number;
}

static void test_killed(void **state)
{
	uint64_t told = 0, found = 0;

	for (unsigned round = 0; round < 40; round++) {
		int fds[2], status;
		uint64_t number;

		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			close(fds[0]);
			write_until_killed(fds[1], found, round * 2654435761u);
		}
		close(fds[1]);
		for (unsigned n = 1 + round * 7; n > 0; n--) {
			assert_int_equal(read(fds[0], &number, sizeof(number)), sizeof(number));
			told = number;
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		while (read(fds[0], &number, sizeof(number)) == sizeof(number))
			told = number;
		close(fds[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));

		found = 0;
		str_clear(&note);
		struct journal *j = journal_open(path, EPOCH, LIMIT, follow, &found, &note);
		assert_non_null(j);
		assert_true(found >= told);
		journal_close(j);
		unlink(new_path);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_replay),
		TEST(test_torn_at_every_byte),
		TEST(test_flipped_bits),
		TEST(test_other_epoch),
		TEST(test_set_aside),
		TEST(test_nobody_survives),
		TEST(test_refused),
		TEST(test_rewrite),
		TEST(test_wants_rewrite),
		TEST(test_full_disk),
		TEST(test_full_for_too_long),
		TEST(test_killed),
	};

	log_init("test_journal", LOG_ERROR, LOG_TEXT);
	signal(SIGXFSZ, SIG_IGN);
	secret_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
