/*
 * Allocation that cannot fail. Any process of cmdb may die at any time and nothing is lost by it,
 * so running out of memory on a small allocation ends the process with a line in the log; what a
 * peer can make large is bounded by a limit before it is allocated. Any thread.
 */
#ifndef CMDB_MEM_H
#define CMDB_MEM_H

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull, alloc_size(2)));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* n * size with an overflow check. */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));

#endif
