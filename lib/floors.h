/*
 * Up to where the log may have been pruned: a floor for each class of retention (stream.h). Events
 * of a class with an id up to its floor may be gone, so a cursor below it has expired for that
 * class's topics, and for no others: what is kept briefly costs nobody the history of what lasts.
 *
 * Pruning raises a floor, and commits that, before it deletes: who reads rows and then the floors
 * (floors_stmt) knows whether those were all. No class is kept longer than the one before it in
 * enum retention, so floors ascend: up to the first of them everything may be gone.
 */
#ifndef CMDB_FLOORS_H
#define CMDB_FLOORS_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "shm.h"
#include "stream.h"
#include "wire.h"

struct floors {
	uint64_t of[RETENTION_N];
};

/* A set of classes. */
#define FLOORS_ONE(r) (1u << (r))
#define FLOORS_ALL ((1u << RETENTION_N) - 1)

/* One row with RETENTION_N columns; no parameters. */
extern const struct db_stmt floors_stmt;
/* From a row, whose first column is the first floor. Each is raised to the one before it. */
struct floors floors_of_row(const struct db_val *row);

/* Below which id a cursor has expired for these classes; 0: never. */
uint64_t floors_min(const struct floors *f, unsigned classes);
/* Raises each floor to its counterpart. false: none was higher. */
bool floors_raise(struct floors *f, const struct floors *to);

/* The classes that an interest is promised: those of the topics and views it names, or all of
 * them if it is for all topics; what comes to its rooms whatever the topic, and to a socket by
 * right, is promised as long as it lasts: figures that it is sent unasked cost nobody the rest. */
unsigned floors_classes(const struct wire_interest *want);

/* In the page that the poller of a host shares. */
struct floors floors_of_page(const struct shm *page);
void floors_publish(struct shm *page, const struct floors *f);

#endif
