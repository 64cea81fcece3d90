#define _GNU_SOURCE /* pthread_cond_clockwait */
#include "password.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "clock.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	int64_t running_n;
} places = {.lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER};

/* A hash of a random password, made anew when the parameters change. */
static struct {
	pthread_mutex_t lock;
	char phc[SECRET_PHC_SIZE];
} nobody = {.lock = PTHREAD_MUTEX_INITIALIZER};

enum err password_enter(const struct config *cfg)
{
	int64_t until_ms = clock_ms() + PASSWORD_WAIT_MS;
	const struct timespec until = {
		.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
	enum err e = ERR_OK;

	pthread_mutex_lock(&places.lock);
	while (places.running_n >= cfg->auth.argon2_parallel && e == ERR_OK)
		if (pthread_cond_clockwait(&places.freed, &places.lock, CLOCK_MONOTONIC, &until) ==
			ETIMEDOUT)
			e = ERR_BUSY;
	if (e == ERR_OK)
		places.running_n++;
	pthread_mutex_unlock(&places.lock);
	return e;
}

void password_leave(void)
{
	pthread_mutex_lock(&places.lock);
	places.running_n--;
	pthread_cond_signal(&places.freed);
	pthread_mutex_unlock(&places.lock);
}

static void nobody_phc(const struct config *cfg, char out[SECRET_PHC_SIZE])
{
	uint64_t passes = (uint64_t)cfg->auth.argon2_passes;
	uint64_t memory_kib = (uint64_t)cfg->auth.argon2_memory_kib;
	char password[33];

	pthread_mutex_lock(&nobody.lock);
	if (secret_password_is_stale(nobody.phc, passes, memory_kib)) {
		secret_random_hex(password, 16);
		if (!secret_password_hash(nobody.phc, password, 32, passes, memory_kib))
			nobody.phc[0] = '\0';
	}
	memcpy(out, nobody.phc, SECRET_PHC_SIZE);
	pthread_mutex_unlock(&nobody.lock);
}

bool password_is_right(const struct config *cfg, const char *phc, const char *password, size_t len)
{
	char other[SECRET_PHC_SIZE];
	bool is_right;

	/* Looked up for known users as well: the first call takes the time of a hash, whoever it
	 * is. */
	nobody_phc(cfg, other);
	is_right = secret_password_verify(*phc ? phc : other, password, len);
	return is_right && *phc;
}
