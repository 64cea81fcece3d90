#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "bytes.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define SUM_SIZE 8
#define BATCH_HEAD (4 + SUM_SIZE)
#define DUMP_BATCH (1024 * 1024) /* a rewrite writes about this much at once */
#define REWRITE_PAUSE_MS 1000

static const char magic[8] = {'c', 'm', 'd', 'b', 'j', 'r', 'n', 'l'};
static const unsigned char sum_key[crypto_shorthash_KEYBYTES] = "cmdb journal 1";

_Static_assert(crypto_shorthash_BYTES == SUM_SIZE, "the layout has a checksum of 64 bits");

/* A file being appended to (O_APPEND: one that is cut off by somebody stays too small), and what is
 * to follow. */
struct tape {
	int fd;
	size_t size;    /* whole batches end here */
	bool is_torn;   /* there may be bytes behind them: cut off before more is written */
	struct str buf; /* room for the head of a batch, then records; empty: nothing to write */
};

struct journal {
	char *path, *epoch;
	struct tape tape;
	size_t rewrite_size, rewritten_size;
	int64_t rewrite_at_ms; /* not before: the last one failed */
	bool is_failing;       /* the last write did not go through */
	bool is_broken, was_bad;
	bool is_settled;
	bool is_dumping; /* in journal_rewrite(): the tape is the new file's */
	int dump_errno;  /* of the first write of it that failed */
};

/* ---- bytes ---- */

static uint64_t sum_of(const char *p, size_t len)
{
	unsigned char sum[crypto_shorthash_BYTES];
	struct bytes b;

	crypto_shorthash(sum, (const unsigned char *)p, len, sum_key);
	b = bytes_of(sum, sizeof(sum));
	return bytes_u64(&b);
}

static void make_header(struct str *out, const char *epoch)
{
	str_add(out, magic, sizeof(magic));
	bytes_put(out, JOURNAL_VERSION, 4);
	bytes_put_blob(out, epoch, strlen(epoch));
	bytes_put(out, sum_of(out->p, out->len), SUM_SIZE);
}

/* ---- the tape ---- */

/* All or nothing counts: what a failure leaves behind size is cut off, now or before the next. */
static bool tape_append(struct tape *t, const char *p, size_t len)
{
	size_t done = 0;

	if (t->is_torn && ftruncate(t->fd, (off_t)t->size) < 0)
		return false;
	t->is_torn = false;
	while (done < len) {
		ssize_t n = pwrite(t->fd, p + done, len - done, (off_t)(t->size + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int saved = n < 0 ? errno : ENOSPC;

			t->is_torn = ftruncate(t->fd, (off_t)t->size) < 0;
			errno = saved;
			return false;
		}
		done += (size_t)n;
	}
	t->size += len;
	return true;
}

static void tape_add(struct tape *t, const void *rec, size_t len)
{
	static const char head[BATCH_HEAD];

	if (t->buf.len == 0)
		str_add(&t->buf, head, sizeof(head));
	bytes_put_blob(&t->buf, rec, len);
}

static bool tape_flush(struct tape *t)
{
	struct str head = STR_INIT;
	size_t len;

	if (t->buf.len == 0)
		return true;
	len = t->buf.len - BATCH_HEAD;
	bytes_put(&head, len, 4);
	bytes_put(&head, sum_of(t->buf.p + BATCH_HEAD, len), SUM_SIZE);
	memcpy(t->buf.p, head.p, BATCH_HEAD);
	str_fini(&head);
	if (!tape_append(t, t->buf.p, t->buf.len))
		return false;
	if (t->buf.cap > DUMP_BATCH)
		str_fini(&t->buf);
	else
		str_clear(&t->buf);
	return true;
}

static void tape_fini(struct tape *t)
{
	if (t->fd >= 0)
		close(t->fd);
	str_fini(&t->buf);
}

/* ---- opening ---- */

/* The file's bytes, or NULL with errno. */
static char *read_all(int fd, size_t size)
{
	char *p = xmalloc(size);
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, p + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int saved = n < 0 ? errno : EIO;

			free(p);
			errno = saved;
			return NULL;
		}
		done += (size_t)n;
	}
	return p;
}

/* Do the bytes of a batch come out even as records? */
static bool are_records(struct slice batch)
{
	struct bytes b = bytes_of(batch.p, batch.len);

	while (b.p < b.end)
		bytes_blob(&b);
	return batch.len > 0 && bytes_are_done(&b);
}

/* Replays whole batches; returns where they end. */
static size_t replay_batches(const char *p, size_t at, size_t size,
	void (*replay)(const void *rec, size_t len, void *arg), void *arg, size_t *records_n)
{
	for (;;) {
		struct bytes b = bytes_of(p + at, size - at);
		uint32_t len = bytes_u32(&b);
		uint64_t sum = bytes_u64(&b);
		struct slice batch = bytes_take(&b, len);

		if (b.is_bad || sum_of(batch.p, batch.len) != sum || !are_records(batch))
			return at;
		at += BATCH_HEAD + batch.len;
		for (b = bytes_of(batch.p, batch.len); b.p < b.end; ++*records_n) {
			struct slice rec = bytes_blob(&b);

			replay(rec.p, rec.len, arg);
		}
	}
}

/* Why these bytes are none of ours to go on with, NULL if they are. is_other: they are a journal
 * all the same. */
static const char *check_header(const char *p, size_t size, const struct str *want, bool *is_other)
{
	struct bytes b = bytes_of(p, size);
	struct slice is = bytes_take(&b, sizeof(magic));
	uint32_t version = bytes_u32(&b);
	struct slice epoch = bytes_blob(&b);
	size_t len = sizeof(magic) + 8 + epoch.len;
	uint64_t sum = bytes_u64(&b);

	/* Whoever began it did not come to the end of its header: there was nothing in it. */
	*is_other = size < want->len && memcmp(p, want->p, size) == 0;
	if (is.len == 0 || memcmp(is.p, magic, sizeof(magic)) != 0)
		return "it was no journal";
	if (b.is_bad || sum_of(p, len) != sum)
		return "it had no whole header";
	*is_other = true;
	if (version != JOURNAL_VERSION)
		return "it was of another version";
	if (len + SUM_SIZE != want->len || memcmp(p, want->p, want->len) != 0)
		return "it was of another epoch";
	return NULL;
}

static bool start_anew(struct tape *t, const struct str *header)
{
	if (ftruncate(t->fd, 0) < 0)
		return false;
	t->size = 0;
	return tape_append(t, header->p, header->len);
}

/* ---- what cannot be read ---- */

static struct str beside(const struct journal *j, const char *suffix)
{
	struct str path = STR_INIT;

	str_addf(&path, "%s.%s", j->path, suffix);
	return path;
}

/* How many have opened it and not come far; one more from now on. */
static unsigned count_try(const struct journal *j)
{
	struct str path = beside(j, "tries");
	int fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	char digit = '0';

	str_fini(&path);
	if (fd < 0)
		return 0;
	if (pread(fd, &digit, 1, 0) != 1 || digit < '0' || digit > '9')
		digit = '0';
	digit = (char)(digit + (digit < '9'));
	if (pwrite(fd, &digit, 1, 0) != 1)
		digit = '1';
	close(fd);
	return (unsigned)(digit - '1');
}

void journal_settled(struct journal *j)
{
	struct str path = STR_INIT;

	if (!j || j->is_settled)
		return;
	j->is_settled = true;
	path = beside(j, "tries");
	unlink(path.p);
	str_fini(&path);
}

bool journal_was_bad(const struct journal *j)
{
	return j->was_bad;
}

/* A new file in its place; the old one is <path>.bad. */
static bool set_aside(struct journal *j, const struct str *header)
{
	struct str bad = beside(j, "bad");
	int fd = -1;

	j->was_bad = true;
	if (rename(j->path, bad.p) == 0)
		fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			0600);
	str_fini(&bad);
	if (fd < 0)
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return false;
	}
	close(j->tape.fd);
	j->tape.fd = fd;
	journal_settled(j); /* the new one has harmed nobody */
	return start_anew(&j->tape, header);
}

/* Takes what is in the open file. */
static bool journal_load(struct journal *j, size_t size,
	void (*replay)(const void *rec, size_t len, void *arg), void *arg, struct str *note)
{
	struct str header = STR_INIT;
	const char *why;
	bool is_other = false;
	char *p = NULL;
	size_t n = 0;
	bool ok = false;

	make_header(&header, j->epoch);
	if (size == 0) {
		str_adds(note, "a new one");
		ok = start_anew(&j->tape, &header);
		goto out;
	}
	p = read_all(j->tape.fd, size);
	if (!p)
		goto out;
	why = check_header(p, size, &header, &is_other);
	if (!why && count_try(j) >= JOURNAL_TRIES) {
		why = "no process has survived reading it";
		is_other = false;
	}
	if (why && is_other) {
		str_addf(note, "%zu bytes thrown away, %s", size, why);
		ok = start_anew(&j->tape, &header);
		goto out;
	}
	if (why) {
		str_addf(note, "%zu bytes set aside as %s.bad, %s", size, j->path, why);
		ok = set_aside(j, &header);
		goto out;
	}
	j->tape.size = replay_batches(p, header.len, size, replay, arg, &n);
	str_addf(note, "%zu records in %zu bytes", n, j->tape.size);
	if (j->tape.size < size) {
		str_addf(note, ", %zu bytes of a torn end cut off", size - j->tape.size);
		j->tape.is_torn = ftruncate(j->tape.fd, (off_t)j->tape.size) < 0;
	}
	ok = true;
out:
	free(p);
	str_fini(&header);
	return ok;
}

/* Why the open file is not to be used, NULL if it is. */
static const char *check_file(const char *path, int fd, size_t *size)
{
	struct stat st, now;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is no plain file";
	if (st.st_uid != geteuid())
		return "it belongs to another account";
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return "others may write it: chmod 600";
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? "another process has it open" : strerror(errno);
	/* It may have been replaced before we had the lock. */
	if (lstat(path, &now) < 0 || now.st_ino != st.st_ino)
		return "another process has replaced it";
	*size = (size_t)st.st_size;
	return NULL;
}

struct journal *journal_open(const char *path, const char *epoch, size_t rewrite_size,
	void (*replay)(const void *rec, size_t len, void *arg), void *arg, struct str *note)
{
	struct journal *j = xcalloc(1, sizeof(*j));
	const char *why = NULL;
	size_t size = 0;

	j->path = xstrdup(path);
	j->epoch = xstrdup(epoch);
	j->rewrite_size = rewrite_size;
	j->tape.fd =
		open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (j->tape.fd < 0)
		why = errno == ELOOP ? "it is a symbolic link" : strerror(errno);
	if (!why)
		why = check_file(path, j->tape.fd, &size);
	if (!why && journal_load(j, size, replay, arg, note))
		return j;
	if (!why)
		why = strerror(errno);
	str_clear(note);
	str_addf(note, "%s cannot be used: %s", path, why);
	tape_fini(&j->tape);
	free(j->path);
	free(j->epoch);
	free(j);
	return NULL;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	journal_flush(j);
	journal_settled(j);
	tape_fini(&j->tape);
	free(j->path);
	free(j->epoch);
	free(j);
}

/* ---- writing ---- */

static void journal_drop(struct journal *j)
{
	log_error("journal", "%s: %zu bytes could not be kept; a rewrite has to mend it", j->path,
		j->tape.buf.len);
	str_fini(&j->tape.buf);
	j->is_broken = true;
}

static void dump_flush(struct journal *j)
{
	if (!j->dump_errno && !tape_flush(&j->tape))
		j->dump_errno = errno;
}

void journal_add(struct journal *j, const void *rec, size_t len)
{
	assert(len < UINT32_MAX - JOURNAL_BUFFER_MAX - BATCH_HEAD);
	if (j->is_dumping) {
		if (j->tape.buf.len > DUMP_BATCH)
			dump_flush(j);
		if (!j->dump_errno)
			tape_add(&j->tape, rec, len);
		return;
	}
	if (j->tape.buf.len > JOURNAL_BUFFER_MAX && !journal_flush(j))
		journal_drop(j);
	if (!j->is_broken)
		tape_add(&j->tape, rec, len);
}

bool journal_flush(struct journal *j)
{
	bool ok;

	assert(!j->is_dumping);
	if (j->is_broken)
		return false;
	ok = tape_flush(&j->tape);
	if (!ok && !j->is_failing)
		log_error("journal", "cannot write %s: %s", j->path, strerror(errno));
	else if (ok && j->is_failing)
		log_info("journal", "%s can be written again", j->path);
	j->is_failing = !ok;
	return ok;
}

bool journal_is_broken(const struct journal *j)
{
	return j->is_broken;
}

void journal_check(struct journal *j)
{
	struct stat at, own;

	if (j->is_broken || fstat(j->tape.fd, &own) < 0)
		return;
	if (lstat(j->path, &at) < 0) {
		if (errno != ENOENT)
			return;
	} else if (own.st_size >= (off_t)j->tape.size) {
		return;
	}
	log_warn("journal", "%s was removed or cut off by somebody; it is written anew", j->path);
	str_fini(&j->tape.buf);
	j->is_broken = true;
	j->rewrite_at_ms = 0;
}

size_t journal_size(const struct journal *j)
{
	return j->tape.size;
}

/* ---- beginning anew ---- */

void journal_set_epoch(struct journal *j, const char *epoch)
{
	free(j->epoch);
	j->epoch = xstrdup(epoch);
	str_fini(&j->tape.buf);
	j->is_broken = true;
	j->rewrite_at_ms = 0;
}

bool journal_wants_rewrite(const struct journal *j)
{
	bool is_large = j->tape.size > j->rewrite_size && j->tape.size / 2 > j->rewritten_size;

	return (is_large || j->is_broken) && clock_ms() >= j->rewrite_at_ms;
}

/* Writes a new file on the journal's tape; errno is set on failure. */
static bool write_new(
	struct journal *j, const char *path, void (*dump)(struct journal *j, void *arg), void *arg)
{
	struct str header = STR_INIT;
	bool ok;

	if (unlink(path) < 0 && errno != ENOENT)
		return false;
	j->tape.fd =
		open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->tape.fd < 0 || flock(j->tape.fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	make_header(&header, j->epoch);
	ok = tape_append(&j->tape, header.p, header.len);
	str_fini(&header);
	if (!ok)
		return false;
	j->dump_errno = 0;
	j->is_dumping = true;
	dump(j, arg);
	j->is_dumping = false;
	dump_flush(j);
	errno = j->dump_errno;
	return !j->dump_errno && rename(path, j->path) == 0;
}

bool journal_rewrite(struct journal *j, void (*dump)(struct journal *j, void *arg), void *arg)
{
	struct tape old = j->tape;
	struct str path = STR_INIT;
	bool ok;

	str_addf(&path, "%s.new", j->path);
	j->tape = (struct tape){.fd = -1};
	ok = write_new(j, path.p, dump, arg);
	if (ok) {
		log_info("journal", "%s rewritten: %zu bytes of %zu", j->path, j->tape.size,
			old.size);
		j->rewritten_size = j->tape.size;
		j->rewrite_at_ms = 0;
		j->is_failing = j->is_broken = false;
		tape_fini(&old); /* what was buffered is in the dump */
	} else {
		if (!j->rewrite_at_ms) /* the first time, not each second */
			log_error("journal", "cannot rewrite %s: %s", j->path, strerror(errno));
		j->rewrite_at_ms = clock_ms() + REWRITE_PAUSE_MS;
		tape_fini(&j->tape);
		j->tape = old;
		unlink(path.p);
	}
	str_fini(&path);
	return ok;
}
