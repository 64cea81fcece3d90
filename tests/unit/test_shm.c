#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "shm.h"

#define EPOCH_A "0123456789abcdef0123456789abcdef"
#define EPOCH_B "ffffffffffffffffffffffffffffffff"

static char dir[64], path[96];

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/cmdb-shm-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/p.sock.page", dir);
	return 0;
}

/* rmdir() fails if a test has left a file besides the page. */
static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void everyone_sees_the_page(void **state)
{
	struct stat st;
	assert_null(shm_attach(path));
	assert_int_equal(errno, ENOENT);
	umask(077);
	struct shm *poller = shm_create(path, EPOCH_A);
	assert_non_null(poller);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	struct shm *fcgi = shm_attach(path);
	assert_non_null(fcgi);
	assert_string_equal(fcgi->epoch, EPOCH_A);
	assert_true(shm_is_current(fcgi, path));

	uint32_t gen = shm_gen(poller, 1, "websites");
	pid_t pid = fork();
	if (pid == 0) {
		shm_raise(fcgi, 1, "websites");
		atomic_store(&fcgi->tail, 77);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(shm_gen(poller, 1, "websites"), gen + 1);
	assert_int_equal(poller->tail, 77);
	shm_detach(fcgi);
	shm_detach(poller);
}

static void generations_differ_by_tenant_and_topic(void **state)
{
	struct shm *shm = shm_create(path, EPOCH_A);
	assert_non_null(shm);
	uint32_t other_tenant = shm_gen(shm, 2, "websites"), other_topic = shm_gen(shm, 1, "nodes");
	shm_raise(shm, 1, "websites");
	assert_int_equal(shm_gen(shm, 2, "websites"), other_tenant);
	assert_int_equal(shm_gen(shm, 1, "nodes"), other_topic);
	shm_raise(NULL, 1, "websites");
	shm_detach(shm);
}

static void fresh_while_the_lease_is_good(void **state)
{
	struct shm *shm = shm_create(path, EPOCH_A);
	assert_false(shm_is_fresh(NULL));
	assert_false(shm_is_fresh(shm));
	atomic_store(&shm->lease_until_ms, clock_ms() + 60000);
	assert_true(shm_is_fresh(shm));
	atomic_store(&shm->lease_until_ms, clock_ms());
	assert_false(shm_is_fresh(shm));
	shm_detach(shm);
}

static void a_restarted_poller_goes_on_with_the_page(void **state)
{
	struct shm *before = shm_create(path, EPOCH_A);
	struct shm *fcgi = shm_attach(path);
	atomic_store(&before->lease_until_ms, clock_ms() + 60000);
	atomic_store(&before->tail, 5);
	uint32_t gen = shm_gen(fcgi, 3, "logs");
	shm_detach(before);

	struct shm *after = shm_create(path, EPOCH_A);
	assert_non_null(after);
	assert_true(shm_is_current(fcgi, path));
	assert_false(shm_is_fresh(fcgi));
	assert_int_not_equal(shm_gen(fcgi, 3, "logs"), gen);
	assert_int_equal(fcgi->tail, 5);
	shm_raise(after, 3, "logs");
	assert_int_equal(shm_gen(fcgi, 3, "logs"), shm_gen(after, 3, "logs"));
	shm_detach(after);
	shm_detach(fcgi);
}

static void another_epoch_gets_another_page(void **state)
{
	struct shm *old = shm_create(path, EPOCH_A);
	atomic_store(&old->lease_until_ms, clock_ms() + 60000);
	atomic_store(&old->tail, 5);
	struct shm *new = shm_create(path, EPOCH_B);
	assert_non_null(new);
	assert_false(shm_is_fresh(old));
	assert_false(shm_is_current(old, path));
	assert_true(shm_is_current(new, path));
	assert_string_equal(new->epoch, EPOCH_B);
	assert_int_equal(new->tail, 0);
	shm_detach(old);
	shm_detach(new);
}

static void put_file(const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), (ssize_t)len);
	close(fd);
}

static void what_is_no_page_is_refused_and_replaced(void **state)
{
	static struct shm page;
	struct {
		uint32_t magic, version;
		size_t size;
	} rows[] = {
		{SHM_MAGIC, SHM_VERSION, sizeof(page) - 1},
		{SHM_MAGIC, SHM_VERSION, 0},
		{SHM_MAGIC, SHM_VERSION + 1, sizeof(page)},
		{SHM_MAGIC + 1, SHM_VERSION, sizeof(page)},
	};
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		page.magic = rows[i].magic;
		page.version = rows[i].version;
		put_file(&page, rows[i].size);
		assert_null(shm_attach(path));
		assert_int_equal(errno, ESTALE);
		struct shm *shm = shm_create(path, EPOCH_A);
		assert_non_null(shm);
		assert_string_equal(shm->epoch, EPOCH_A);
		shm_detach(shm);
		unlink(path);
	}
}

static void links_are_not_followed(void **state)
{
	char target[128];
	struct stat st;

	snprintf(target, sizeof(target), "%s.target", path);
	assert_int_equal(symlink(target, path), 0);
	struct shm *shm = shm_create(target, EPOCH_A);
	assert_null(shm_attach(path));
	struct shm *own = shm_create(path, EPOCH_A);
	assert_non_null(own);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_true(own->inode != shm->inode);
	shm_detach(own);
	shm_detach(shm);
	unlink(target);
}

static void failures_say_why(void **state)
{
	char no_dir[160];

	snprintf(no_dir, sizeof(no_dir), "%s/none/page", dir);
	assert_null(shm_create(no_dir, EPOCH_A));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_null(shm_create(path, EPOCH_A));
	assert_int_equal(errno, EISDIR);
	assert_null(shm_attach(path));
	rmdir(path);
	assert_null(shm_create(path, EPOCH_A "0"));
	assert_int_equal(errno, EINVAL);
	shm_detach(NULL);
}

int main(void)
{
#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		IN_DIR(everyone_sees_the_page),
		IN_DIR(generations_differ_by_tenant_and_topic),
		IN_DIR(fresh_while_the_lease_is_good),
		IN_DIR(a_restarted_poller_goes_on_with_the_page),
		IN_DIR(another_epoch_gets_another_page),
		IN_DIR(what_is_no_page_is_refused_and_replaced),
		IN_DIR(links_are_not_followed),
		IN_DIR(failures_say_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
