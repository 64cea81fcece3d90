#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
	"processes share these: a lock of one of them would not do");

static struct shm *map(int fd)
{
	void *p = mmap(NULL, sizeof(struct shm), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* Maps what is at path if it is a page of this version; else errno is ESTALE. */
static struct shm *map_existing(const char *path, bool must_be_ours)
{
	struct shm *shm = NULL;
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0)
		goto out;
	errno = ESTALE;
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof(struct shm))
		goto out;
	if (must_be_ours && (st.st_uid != geteuid() || fchmod(fd, 0660) < 0))
		goto out;
	shm = map(fd);
	if (shm && (shm->magic != SHM_MAGIC || shm->version != SHM_VERSION)) {
		shm_detach(shm);
		shm = NULL;
		errno = ESTALE;
	}
out:
	close(fd);
	return shm;
}

static void end_lease(struct shm *shm)
{
	atomic_store(&shm->lease_until_ms, 0);
	for (unsigned i = 0; i < SHM_GEN_N; i++)
		atomic_fetch_add(&shm->gen[i], 1);
}

/* Writes and maps a new page under a name of its own and renames it to path when it is complete,
 * so that nobody maps half of one. */
static struct shm *replace(const char *path, const char *epoch)
{
	struct str tmp = STR_INIT;
	struct shm *shm = NULL;
	struct stat st;
	int saved;

	str_addf(&tmp, "%s.%d", path, (int)getpid());
	unlink(tmp.p);
	int fd = open(tmp.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		goto out;
	if (ftruncate(fd, sizeof(struct shm)) < 0 || fchmod(fd, 0660) < 0 || fstat(fd, &st) < 0)
		goto fail;
	shm = map(fd);
	if (!shm)
		goto fail;
	shm->magic = SHM_MAGIC;
	shm->version = SHM_VERSION;
	snprintf(shm->epoch, sizeof(shm->epoch), "%s", epoch);
	shm->inode = st.st_ino;
	/* From a number that no earlier page is near, so that what was cached under one of its
	 * generations does not look true under this page. */
	uint32_t first = (uint32_t)clock_wall_ms();
	for (unsigned i = 0; i < SHM_GEN_N; i++)
		atomic_store(&shm->gen[i], first);
	if (rename(tmp.p, path) == 0)
		goto out;
fail:
	saved = errno;
	shm_detach(shm);
	shm = NULL;
	unlink(tmp.p);
	errno = saved;
out:
	saved = errno;
	if (fd >= 0)
		close(fd);
	str_fini(&tmp);
	errno = saved;
	return shm;
}

struct shm *shm_create(const char *path, const char *epoch)
{
	if (strlen(epoch) >= SHM_EPOCH_SIZE) {
		errno = EINVAL;
		return NULL;
	}
	struct shm *old = map_existing(path, true);
	if (old) {
		end_lease(old);
		if (strncmp(old->epoch, epoch, SHM_EPOCH_SIZE) == 0 && shm_is_current(old, path))
			return old;
	}
	/* The old page's lease has ended: who still maps it serves nothing from caches. */
	struct shm *shm = replace(path, epoch);
	shm_detach(old);
	return shm;
}

struct shm *shm_attach(const char *path)
{
	return map_existing(path, false);
}

bool shm_is_current(const struct shm *shm, const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && st.st_ino == shm->inode;
}

void shm_detach(struct shm *shm)
{
	if (shm)
		munmap(shm, sizeof(*shm));
}

bool shm_is_fresh(const struct shm *shm)
{
	return shm && atomic_load(&shm->lease_until_ms) > clock_ms();
}

/* FNV-1a. */
static uint32_t slot(uint32_t tenant_id, const char *topic)
{
	uint32_t h = 2166136261u;
	for (int i = 0; i < 4; i++)
		h = (h ^ (tenant_id >> (8 * i) & 0xff)) * 16777619u;
	for (; *topic; topic++)
		h = (h ^ (unsigned char)*topic) * 16777619u;
	return (h ^ h >> 16) % SHM_GEN_N;
}

uint32_t shm_gen(const struct shm *shm, uint32_t tenant_id, const char *topic)
{
	return atomic_load(&shm->gen[slot(tenant_id, topic)]);
}

void shm_raise(struct shm *shm, uint32_t tenant_id, const char *topic)
{
	if (shm)
		atomic_fetch_add(&shm->gen[slot(tenant_id, topic)], 1);
}
