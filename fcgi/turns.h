/*
 * Of what keeps a thread for long, a look through many rows, a user or API key has few at work in a
 * process at a time: the others' looks go on beside them. Any thread; blocks for no time to speak
 * of.
 */
#ifndef CMDB_TURNS_H
#define CMDB_TURNS_H

#include <stdbool.h>
#include <stddef.h>

#include "perm.h"

struct turns;
struct turns *turns_new(void);
void turns_free(struct turns *t); /* takes NULL */

/* false: who has `most` of them already; he is to come again. Else turns_give() follows. */
bool turns_take(struct turns *t, const struct principal *who, size_t most);
void turns_give(struct turns *t, const struct principal *who);

#endif
