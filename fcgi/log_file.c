#include "log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "day_file.h"
#include "log.h"
#include "mem.h"
#include "stats.h"

#define LOCK_MS 1000
#define LOCK_AGAIN_MS 5000 /* after that was in vain */
#define LOCK_NAP_NS 200000
#define SYNC_MS 1000 /* logs.fsync = second */
#define BACK_SIZE 4096
#define WHY_SIZE (PATH_MAX + 128)

struct log_file {
	_Atomic uint64_t *stats;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t cond;  /* is_dirty or is_ending */
	char path[PATH_MAX];  /* of fd */
	int fd;               /* -1: none is open */
	bool is_dirty;        /* written since the thread has synced */
	bool is_ending, has_thread;
	int64_t lock_again_ms; /* not before: whoever has the lock holds up nobody for long */
	pthread_t thread;      /* syncs once a second */
	char why[WHY_SIZE];    /* the last failure, while it lasts */
	uint64_t missing_n;    /* lines that were not written since */
};

/* ---- lines ---- */

struct log_lines *log_lines_new(size_t n, int64_t received_ms)
{
	struct log_lines *l = xcalloc(1, sizeof(*l));

	l->n = n;
	l->received_ms = received_ms;
	return l;
}

void log_lines_free(struct log_lines *l)
{
	if (!l)
		return;
	str_fini(&l->text);
	free(l);
}

void log_lines_add(struct log_lines *l, uint32_t tenant_id, struct slice entry)
{
	str_addf(&l->text, "{\"tenant\":%u,", (unsigned)tenant_id);
	str_add(&l->text, entry.p + 1, entry.len - 1); /* its brace is there */
	str_addc(&l->text, '\n');
}

/* ---- what went wrong ---- */

static bool log_file_fail(struct log_file *f, const char *path, const char *what, int error)
{
	char why[WHY_SIZE];

	snprintf(why, sizeof(why), "%s: %s: %s", path, what, strerror(error));
	if (strcmp(why, f->why) != 0)
		log_error("log_file", "%s; the lines are in the database alone", why);
	memcpy(f->why, why, sizeof(f->why));
	return false;
}

static void count_lines(struct log_file *f, size_t n, bool is_written)
{
	figure_add(f->stats, is_written ? STAT_LOG_LINES : STAT_LOG_LINES_FAILED, n);
	atomic_store(&f->stats[STAT_LOG_FILE_FAILING], !is_written);
	f->missing_n += is_written ? 0 : n;
	if (!is_written || !f->why[0])
		return;
	log_info("log_file", "%s is written again; %llu lines are missing in it", f->path,
		(unsigned long long)f->missing_n);
	f->why[0] = '\0';
	f->missing_n = 0;
}

/* ---- opening ---- */

static void close_file(struct log_file *f)
{
	if (f->fd < 0)
		return;
	if (f->is_dirty)
		fdatasync(f->fd);
	close(f->fd);
	f->fd = -1;
	f->is_dirty = false;
}

/* For reading, too: how it ends is looked at. */
static bool open_file(struct log_file *f, const char *path)
{
	struct stat st;

	close_file(f);
	f->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (f->fd < 0)
		return log_file_fail(f, path, "cannot be opened", errno);
	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close_file(f);
		return log_file_fail(f, path, "is no ordinary file", EINVAL);
	}
	snprintf(f->path, sizeof(f->path), "%s", path);
	return true;
}

/* Somebody has removed it: what is written to it nobody sees any more. */
static bool is_gone(const struct log_file *f)
{
	struct stat st;

	return fstat(f->fd, &st) == 0 && st.st_nlink == 0;
}

/* ---- writing ---- */

static bool lock_file(struct log_file *f)
{
	int64_t from = clock_ms();

	while (flock(f->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return log_file_fail(f, f->path, "cannot be locked", errno);
		if (from < f->lock_again_ms || clock_ms() > from + LOCK_MS) {
			if (from >= f->lock_again_ms)
				f->lock_again_ms = clock_ms() + LOCK_AGAIN_MS;
			return log_file_fail(
				f, f->path, "another process keeps it locked", ETIMEDOUT);
		}
		nanosleep(&(struct timespec){.tv_nsec = LOCK_NAP_NS}, NULL);
	}
	return true;
}

/* Where the last whole line ends, in a file of `size` bytes; -1: it cannot be read. */
static off_t end_of_lines(int fd, off_t size)
{
	char back[BACK_SIZE];

	while (size > 0) {
		size_t n = size < BACK_SIZE ? (size_t)size : BACK_SIZE;

		if (pread(fd, back, n, size - (off_t)n) != (ssize_t)n)
			return -1;
		for (; n > 0; n--, size--)
			if (back[n - 1] == '\n')
				return size;
	}
	return 0;
}

/* Finds the end of the file, and makes it that of a line. */
static bool mend_end(struct log_file *f, off_t *end)
{
	struct stat st;
	char last = '\n';

	if (fstat(f->fd, &st) < 0 ||
		(st.st_size > 0 && pread(f->fd, &last, 1, st.st_size - 1) != 1))
		return log_file_fail(f, f->path, "cannot be read", errno);
	*end = st.st_size;
	if (last == '\n')
		return true;
	*end = end_of_lines(f->fd, st.st_size);
	if (*end < 0 || ftruncate(f->fd, *end) < 0)
		return log_file_fail(f, f->path, "a torn line at its end cannot be cut off", errno);
	log_warn("log_file", "%s: cut off %lld bytes of a line that somebody was killed over",
		f->path, (long long)(st.st_size - *end));
	return true;
}

/* All of it or nothing. */
static bool append(struct log_file *f, const struct str *text)
{
	size_t done = 0;
	off_t end = 0;

	if (!mend_end(f, &end))
		return false;
	while (done < text->len) {
		ssize_t n = write(f->fd, text->p + done, text->len - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		n = n < 0 ? errno : ENOSPC;
		/* What cannot be taken back here, the next one does as far as it is torn. */
		if (done > 0 && ftruncate(f->fd, end) < 0)
			log_warn(
				"log_file", "%s: cannot be cut back: %s", f->path, strerror(errno));
		return log_file_fail(f, f->path, "cannot be written", (int)n);
	}
	return true;
}

/* ---- on the disk ---- */

static void *sync_main(void *arg)
{
	struct log_file *f = arg;

	pthread_mutex_lock(&f->lock);
	while (!f->is_ending) {
		struct timespec at = clock_at(clock_ms() + SYNC_MS);
		int fd;

		if (!f->is_dirty) {
			pthread_cond_wait(&f->cond, &f->lock);
			continue;
		}
		while (!f->is_ending && pthread_cond_timedwait(&f->cond, &f->lock, &at) == 0)
			;
		fd = f->is_dirty ? fcntl(f->fd, F_DUPFD_CLOEXEC, 0) : -1;
		f->is_dirty = false;
		pthread_mutex_unlock(&f->lock);
		if (fd >= 0) {
			if (fdatasync(fd) < 0)
				log_error("log_file", "fdatasync: %s", strerror(errno));
			close(fd);
		}
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void sync_soon(struct log_file *f)
{
	f->is_dirty = true;
	if (!f->has_thread)
		f->has_thread = pthread_create(&f->thread, NULL, sync_main, f) == 0;
	pthread_cond_signal(&f->cond);
}

/* ---- the file ---- */

struct log_file *log_file_new(_Atomic uint64_t *stats)
{
	struct log_file *f = xcalloc(1, sizeof(*f));

	f->stats = stats;
	f->fd = -1;
	pthread_mutex_init(&f->lock, NULL);
	clock_cond_init(&f->cond);
	return f;
}

void log_file_free(struct log_file *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->is_ending = true;
	pthread_cond_signal(&f->cond);
	pthread_mutex_unlock(&f->lock);
	if (f->has_thread)
		pthread_join(f->thread, NULL);
	close_file(f);
	pthread_cond_destroy(&f->cond);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void log_file_reopen(struct log_file *f)
{
	pthread_mutex_lock(&f->lock);
	close_file(f);
	pthread_mutex_unlock(&f->lock);
}

static bool write_lines(struct log_file *f, const struct config *cfg, const struct log_lines *l)
{
	struct str path = STR_INIT;
	bool is_good = day_file_name(&path, cfg->logs.file, l->received_ms);

	if (!is_good)
		log_file_fail(f, cfg->logs.file, "has a % that means nothing", EINVAL);
	else if (f->fd < 0 || strcmp(str_c(&path), f->path) != 0 || is_gone(f))
		is_good = open_file(f, str_c(&path));
	str_fini(&path);
	if (!is_good || !lock_file(f))
		return false;
	is_good = append(f, &l->text);
	flock(f->fd, LOCK_UN);
	return is_good;
}

void log_file_write(struct log_file *f, const struct config *cfg, const struct log_lines *l)
{
	bool is_written, is_at_once = strcmp(cfg->logs.fsync, "write") == 0;
	int fd = -1;

	figure_add(f->stats, STAT_LOG_ENTRIES, l->n);
	if (!l->text.len)
		return;
	pthread_mutex_lock(&f->lock);
	is_written = write_lines(f, cfg, l);
	if (is_written && is_at_once)
		fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	else if (is_written && strcmp(cfg->logs.fsync, "second") == 0)
		sync_soon(f);
	/* Others write meanwhile. */
	if (fd >= 0) {
		pthread_mutex_unlock(&f->lock);
		is_written = fdatasync(fd) == 0;
		pthread_mutex_lock(&f->lock);
		if (!is_written)
			log_file_fail(f, f->path, "fdatasync", errno);
		close(fd);
	}
	count_lines(f, l->n, is_written);
	pthread_mutex_unlock(&f->lock);
}
