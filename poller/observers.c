#include "observers.h"

#include <stddef.h>

#include "admin.h"
#include "census.h"

const struct observer *const observers[] = {&admin_observer, &census_observer, NULL};
