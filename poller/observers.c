#include "observers.h"

#include <stddef.h>

#include "admin.h"

const struct observer *const observers[] = {&admin_observer, NULL};
