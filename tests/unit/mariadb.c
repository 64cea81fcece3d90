#define _GNU_SOURCE /* nftw */
#include "mariadb.h"

#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define START_TIMEOUT_MS 60000
#define TEST_TIMEOUT_S 300

struct db_login mariadb_login(const struct mariadb *m, const char *name)
{
	return (struct db_login){.socket = m->socket,
		.name = name,
		.connect_timeout_ms = 5000,
		.io_timeout_ms = 30000};
}

static pid_t spawn(const struct mariadb *m, const char *const argv[])
{
	char log[96];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(log, sizeof(log), "%s/log", m->dir);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A starting server deletes the temporary tables it finds, those of a running one too. */
	setenv("TMPDIR", m->dir, 1);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static void give_up(struct mariadb *m, const char *what)
{
	fprintf(stderr, "mariadb: %s; its log is %s/log\n", what, m->dir);
	exit(1);
}

static void install(struct mariadb *m)
{
	char data[96], user[96];
	const struct passwd *pw = getpwuid(geteuid());
	int status = 0;

	snprintf(data, sizeof(data), "--datadir=%s/data", m->dir);
	snprintf(user, sizeof(user), "--auth-root-socket-user=%s", pw ? pw->pw_name : "root");
	const char *argv[] = {"mariadb-install-db", "--no-defaults", data,
		"--auth-root-authentication-method=socket", user, "--skip-test-db", NULL};
	waitpid(spawn(m, argv), &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		fprintf(stderr, "SKIP: mariadb-install-db is not installed\n");
		mariadb_stop(m);
		exit(TEST_SKIPPED);
	}
	if (status)
		give_up(m, "mariadb-install-db failed");
}

static void wait_until_up(struct mariadb *m)
{
	struct db_login login = mariadb_login(m, NULL);
	struct db *db = db_new(&login, NULL);
	int64_t until = clock_ms() + START_TIMEOUT_MS;

	while (db_ensure(db) != ERR_OK) {
		if (waitpid(m->pid, NULL, WNOHANG) == m->pid)
			give_up(m, "mariadbd ended");
		if (clock_ms() > until)
			give_up(m, "mariadbd does not answer");
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	db_free(db);
}

void mariadb_start(struct mariadb *m)
{
	const char *tmp = getenv("TMPDIR"), *path = getenv("PATH");
	char dirs[4096], data[96], sock[96], binlog[96], pid_file[96];

	alarm(TEST_TIMEOUT_S); /* a test that waits for what never comes ends all the same */
	memset(m, 0, sizeof(*m));
	snprintf(dirs, sizeof(dirs), "%s:/usr/sbin:/usr/local/sbin", path ? path : "/usr/bin:/bin");
	setenv("PATH", dirs, 1);
	snprintf(m->dir, sizeof(m->dir), "%s/cmdb-test-XXXXXX",
		tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!mkdtemp(m->dir)) {
		perror(m->dir);
		exit(1);
	}
	snprintf(m->socket, sizeof(m->socket), "%s/db.sock", m->dir);
	install(m);
	snprintf(data, sizeof(data), "--datadir=%s/data", m->dir);
	snprintf(sock, sizeof(sock), "--socket=%s", m->socket);
	snprintf(binlog, sizeof(binlog), "--log-bin=%s/data/binlog", m->dir);
	snprintf(pid_file, sizeof(pid_file), "--pid-file=%s/db.pid", m->dir);
	const char *argv[] = {"mariadbd", "--no-defaults", data, sock, "--skip-networking", binlog,
		"--binlog-format=ROW", "--server-id=1", "--innodb-buffer-pool-size=64M", pid_file,
		geteuid() == 0 ? "--user=root" : NULL, NULL};
	m->pid = spawn(m, argv);
	wait_until_up(m);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

void mariadb_stop(struct mariadb *m)
{
	if (m->pid > 0) {
		kill(m->pid, SIGKILL);
		waitpid(m->pid, NULL, 0);
	}
	nftw(m->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
