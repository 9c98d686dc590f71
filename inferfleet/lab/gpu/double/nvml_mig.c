/* Third part of the NVML double: cards divided by MIG. */
#include "answers.h"

#include <string.h>

/* A GPU instance and the one compute instance in it share a handle: number 1 up, as in `struct device`. */
static struct device instances[MAX_CARDS][MAX_MIG + 1];

EXPORT int nvmlDeviceGetMigMode(void *device, u32 *current, u32 *pending) {
    FULL(card->mig_slices);
    *current = *pending = card->mig[0] != 0;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, u32 *count) { FULL(1); *count = card->mig_slices; return SUCCESS; }
EXPORT int nvmlDeviceIsMigDeviceHandle(void *device, u32 *is) { CARD; *is = ((struct device *)device)->mig != 0; return SUCCESS; }

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, u32 index, void **into) {
    struct mig_device all[MAX_MIG];
    FULL(card->mig_slices);
    NEED(index < card->mig_slices, INVALID_ARGUMENT);
    NEED(index < mig_devices(card, all), NOT_FOUND);
    *into = device_handle(((struct device *)device)->place, index + 1);
    return SUCCESS;
}
EXPORT int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **into) {
    CARD_OR_MIG;
    NEED(mig.slices, INVALID_ARGUMENT);
    *into = device_handle(((struct device *)device)->place, 0);
    return SUCCESS;
}
EXPORT int nvmlDeviceGetGpuInstanceId(void *device, u32 *id) { CARD_OR_MIG; NEED(mig.slices, NOT_SUPPORTED); *id = mig.gi; return SUCCESS; }
EXPORT int nvmlDeviceGetComputeInstanceId(void *device, u32 *id) { CARD_OR_MIG; NEED(mig.slices, NOT_SUPPORTED); *id = 0; return SUCCESS; }

struct attributes { u32 processors, copy, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices; u64 memory_mib; };
EXPORT int nvmlDeviceGetAttributes_v2(void *device, struct attributes *into) {
    CARD_OR_MIG;
    NEED(mig.slices, NOT_SUPPORTED);
    *into = (struct attributes){14 * mig.slices, mig.slices, mig.slices / 2, 0, 0, 0, mig.slices, mig.slices, mig.memory_mib};
    return SUCCESS;
}
EXPORT int nvmlDeviceGetAttributes(void *device, struct attributes *into) { return nvmlDeviceGetAttributes_v2(device, into); }

/* Profiles by number of slices: NVML_GPU_INSTANCE_PROFILE_{1,2,3,4,7}_SLICE are 0 to 4. */
static const u32 SLICES[] = {1, 2, 3, 4, 7};

struct gi_profile {
    u32 id, p2p, slices, instances, processors, copy, decoders, encoders, jpeg, ofa;
    u64 memory_mib;
};
EXPORT int nvmlDeviceGetGpuInstanceProfileInfo(void *device, u32 profile, struct gi_profile *into) {
    FULL(card->mig_slices);
    NEED(profile < sizeof SLICES / sizeof *SLICES, NOT_SUPPORTED);
    u32 slices = SLICES[profile], total = card->mig_slices;
    NEED(slices <= total && !(total == 4 && slices == 3), NOT_SUPPORTED);
    memset(into, 0, sizeof *into);
    into->id = slices == total ? 0 : total == 4 ? (slices == 1 ? 14 : 5) : slices == 1 ? 19 : slices == 2 ? 14 : slices == 3 ? 9 : 5;
    into->slices = slices;
    into->instances = total / slices;
    into->processors = 14 * slices;
    into->memory_mib = card->memory_mib * slices / (total == 7 ? 8 : total);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetGpuInstanceById(void *device, u32 id, void **into) {
    struct mig_device all[MAX_MIG];
    FULL(card->mig_slices);
    for (u32 k = mig_devices(card, all); k > 0; k--)
        if (all[k - 1].gi == id) {
            struct device *one = &instances[((struct device *)device)->place][k];
            *one = (struct device){((struct device *)device)->place, k};
            *into = one;
            return SUCCESS;
        }
    return NOT_FOUND;
}

static int of_instance(void *instance, struct mig_device *mig) {
    struct device *one = instance;
    struct card *card;
    NEED(one >= &instances[0][0] && one <= &instances[MAX_CARDS - 1][MAX_MIG], INVALID_ARGUMENT);
    return device_find(device_handle(one->place, one->mig), &card, mig);
}

struct gi_info { void *device; u32 id, profile_id, start, size; };
EXPORT int nvmlGpuInstanceGetInfo(void *instance, struct gi_info *into) {
    struct mig_device mig;
    int error = of_instance(instance, &mig);
    NEED(!error, error);
    *into = (struct gi_info){device_handle(((struct device *)instance)->place, 0), mig.gi, mig.profile_id, 0, mig.slices};
    return SUCCESS;
}
EXPORT int nvmlGpuInstanceGetComputeInstanceById(void *instance, u32 id, void **into) {
    NEED(id == 0, NOT_FOUND);
    *into = instance;
    return SUCCESS;
}

struct ci_info { void *device, *instance; u32 id, profile_id, start, size; };
/* The compute instance takes all of its GPU instance; its profile has the number that its slices have above. */
static u32 ci_profile(u32 slices) { return slices == 7 ? 4 : slices - 1; }
EXPORT int nvmlComputeInstanceGetInfo_v2(void *instance, struct ci_info *into) {
    struct mig_device mig;
    int error = of_instance(instance, &mig);
    NEED(!error, error);
    void *card = device_handle(((struct device *)instance)->place, 0);
    *into = (struct ci_info){card, instance, 0, ci_profile(mig.slices), 0, mig.slices};
    return SUCCESS;
}
EXPORT int nvmlComputeInstanceGetInfo(void *instance, struct ci_info *into) { return nvmlComputeInstanceGetInfo_v2(instance, into); }

struct ci_profile_info { u32 id, slices, instances, processors, copy, decoders, encoders, jpeg, ofa; };
EXPORT int nvmlGpuInstanceGetComputeInstanceProfileInfo(void *instance, u32 profile, u32 engine, struct ci_profile_info *into) {
    struct mig_device mig;
    int error = of_instance(instance, &mig);
    NEED(!error, error);
    NEED(engine == 0 && profile < sizeof SLICES / sizeof *SLICES && SLICES[profile] <= mig.slices, NOT_SUPPORTED);
    memset(into, 0, sizeof *into);
    into->id = profile;
    into->slices = SLICES[profile];
    into->instances = mig.slices / into->slices;
    into->processors = 14 * into->slices;
    return SUCCESS;
}
