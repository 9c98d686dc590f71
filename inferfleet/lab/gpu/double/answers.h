/* What every NVML answer of the double begins with. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "cards.h"

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, LOST = 15, VERSION = 25,
};
#define EXPORT __attribute__((visibility("default")))
#define NEED(condition, error) do { if (!(condition)) return error; } while (0)

/* A handle: which card, and for a MIG device which of its instances, counted from 1. */
struct device { u32 place, mig; };

void *device_handle(u32 place, u32 mig);

/* The card of a handle with its present state; a lost one answers nothing any more. */
int device_find(void *handle, struct card **card, struct mig_device *mig);

#define CARD struct card *card; int error_ = device_find(device, &card, NULL); if (error_) return error_
#define CARD_OR_MIG struct card *card; struct mig_device mig; int error_ = device_find(device, &card, &mig); \
    if (error_) return error_
#define FULL(condition) CARD; NEED(!((struct device *)device)->mig, INVALID_ARGUMENT); NEED(condition, NOT_SUPPORTED)

#endif
