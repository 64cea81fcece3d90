/*
 * The page the poller of a host shares with its cmdb-fcgi processes: a file beside the poller's
 * socket, mapped by all. A restarted poller goes on with the same file, so that a mapping stays
 * good; only another epoch (another database) gets a new one. It answers without a message what
 * would otherwise cost one per request: where the log's tail is, and whether something cached is
 * still true.
 *
 * Freshness of cached answers: each (tenant, topic) has a generation, a slot of gen[] by hash (a
 * collision only costs a miss). Whoever commits a change raises the generation after COMMIT and
 * before it answers its client; the poller raises it for each event it releases, whoever wrote it.
 * A reader notes the generation *before* its SELECT and may serve the result as long as the
 * generation is the same and the lease is good. So on one host a client reads its own writes, and
 * writes from elsewhere show as soon as the poller has seen them. Without a poller the lease runs
 * out and nothing is served from caches.
 *
 * All fields but magic, version and epoch are atomics; any thread; nothing here blocks.
 */
#ifndef CMDB_SHM_H
#define CMDB_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "figure.h"
#include "stream.h"

#define SHM_MAGIC 0x62646d63u
#define SHM_VERSION 4u
#define SHM_GEN_N 4096u
#define SHM_EPOCH_SIZE 33
#define SHM_LEASE_MS 1500

/* The last try whether the database can be written to, of whichever process made it; times are
 * monotonic, 0: never. fcgi/probe.h */
struct shm_probe {
	_Atomic int64_t begun_ms, read_ms, done_ms;
	_Atomic uint32_t is_written;
};

struct shm {
	uint32_t magic, version;
	char epoch[SHM_EPOCH_SIZE];
	/* Monotonic; renewed by the poller while its tail follows the table. */
	_Atomic int64_t lease_until_ms;
	_Atomic uint64_t tail;               /* last released id */
	_Atomic uint64_t floor[RETENTION_N]; /* ids up to here may be pruned: floors.h */
	/* The event at the tail, and the digits of the date it was created: by it the next poller
	 * tells the log from another one with the same ids. id 0: none. */
	_Atomic uint64_t mark_id, mark_stamp;
	_Atomic uint64_t mark_table; /* when that table was made, in such digits too */
	_Atomic uint32_t gen[SHM_GEN_N];
	_Atomic uint64_t
		figures[FIGURE_N]; /* the poller's, brought up to date a few times a second */
	struct shm_probe probe;
	uint64_t inode; /* of the file, written by its creator */
};

/* The poller: maps path (mode 0660), going on with an existing page of the same version and epoch
 * (its lease is ended and every generation raised), else replacing it by a new file. NULL with
 * errno set on failure. */
struct shm *shm_create(const char *path, const char *epoch);
/* Others: maps an existing file. NULL if it is not there or of another version. */
struct shm *shm_attach(const char *path);
/* Is path still the file that shm maps? */
bool shm_is_current(const struct shm *shm, const char *path);
void shm_detach(struct shm *shm); /* takes NULL */

bool shm_is_fresh(const struct shm *shm); /* is the lease good? false for NULL */
uint32_t shm_gen(const struct shm *shm, uint32_t tenant_id, const char *topic);
void shm_raise(struct shm *shm, uint32_t tenant_id, const char *topic); /* takes NULL */

#endif
