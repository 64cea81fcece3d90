#define _GNU_SOURCE /* memmem */
#include "fold.h"

#include <string.h>

#include <unicase.h>
#include <unistr.h>
