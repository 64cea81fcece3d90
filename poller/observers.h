/* The table of those who observe sessions (observer.h), which ends with NULL. */
#ifndef CMDB_OBSERVERS_H
#define CMDB_OBSERVERS_H

#include "observer.h"

extern const struct observer *const observers[];

#endif
