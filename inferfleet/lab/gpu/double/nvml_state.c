/* Second part of the NVML double: the state of a card, its errors, NVLink and the fabric. */
#include "answers.h"

#include <string.h>

/* --- how it is ------------------------------------------------------------------------------------------------------- */

struct utilization { u32 gpu, memory; };
EXPORT int nvmlDeviceGetUtilizationRates(void *device, struct utilization *into) { FULL(1); *into = (struct utilization){0, 0}; return SUCCESS; }
EXPORT int nvmlDeviceGetTemperature(void *device, u32 sensor, u32 *celsius) { FULL(sensor == 0); *celsius = card->temperature; return SUCCESS; }
EXPORT int nvmlDeviceGetPowerUsage(void *device, u32 *milliwatt) { FULL(1); *milliwatt = card->power_limit_w * 100; return SUCCESS; }
EXPORT int nvmlDeviceGetEnforcedPowerLimit(void *device, u32 *milliwatt) { FULL(1); *milliwatt = card->power_limit_w * 1000; return SUCCESS; }
EXPORT int nvmlDeviceGetPerformanceState(void *device, u32 *state) { FULL(1); *state = 8; return SUCCESS; }
EXPORT int nvmlDeviceGetComputeMode(void *device, u32 *mode) { FULL(1); *mode = 0; return SUCCESS; }
EXPORT int nvmlDeviceGetPersistenceMode(void *device, u32 *mode) { FULL(1); *mode = card->persistence; return SUCCESS; }
EXPORT int nvmlDeviceGetDisplayMode(void *device, u32 *mode) { FULL(1); *mode = 0; return SUCCESS; }

EXPORT int nvmlDeviceGetEccMode(void *device, u32 *current, u32 *pending) { FULL(card->has_ecc); *current = *pending = 1; return SUCCESS; }
/* type: 0 corrected, 1 uncorrected; counter: 0 since the driver was loaded, 1 in the card's life. */
EXPORT int nvmlDeviceGetTotalEccErrors(void *device, u32 type, u32 counter, u64 *count) {
    FULL(card->has_ecc);
    NEED(type <= 1 && counter <= 1, INVALID_ARGUMENT);
    *count = type ? card->ecc_uncorrected : card->ecc_corrected;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetMemoryErrorCounter(void *device, u32 type, u32 counter, u32 location, u64 *count) {
    u64 total = 0;
    int error = nvmlDeviceGetTotalEccErrors(device, type, counter, &total);
    *count = location == 2 ? total : 0; /* NVML_MEMORY_LOCATION_DRAM */
    return error;
}
/* Rows are remapped since Ampere; before, pages are retired (NVML, "Page retirement"). */
EXPORT int nvmlDeviceGetRemappedRows(void *device, u32 *correctable, u32 *uncorrectable, u32 *pending, u32 *failed) {
    FULL(card->has_ecc && card->arch >= 7);
    *correctable = *failed = 0;
    *uncorrectable = *pending = card->remap_pending;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetRetiredPages(void *device, u32 cause, u32 *count, u64 *addresses) {
    FULL(card->has_ecc && card->arch < 7);
    u32 many = cause == 1 ? card->remap_pending : 0, room = *count; /* 1: double bit errors */
    *count = many;
    NEED(many == 0 || (addresses && many <= room), INSUFFICIENT_SIZE);
    for (u32 i = 0; i < many; i++)
        addresses[i] = 0x1f3000ULL + i;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetRetiredPagesPendingStatus(void *device, u32 *pending) {
    FULL(card->has_ecc && card->arch < 7);
    *pending = card->remap_pending != 0;
    return SUCCESS;
}

/* --- NVLink and fabric ------------------------------------------------------------------------------------------------- */

EXPORT int nvmlDeviceGetNvLinkState(void *device, u32 link, u32 *active) {
    FULL(card->nvlinks);
    NEED(link < card->nvlinks, INVALID_ARGUMENT);
    *active = 1;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetNvLinkVersion(void *device, u32 link, u32 *version) {
    FULL(card->nvlinks);
    NEED(link < card->nvlinks, INVALID_ARGUMENT);
    *version = card->arch >= 10 ? 5 : card->arch == 9 ? 4 : card->arch == 7 ? 3 : 2;
    return SUCCESS;
}
/* At the other end: 0 a card, 2 a switch. */
EXPORT int nvmlDeviceGetNvLinkRemoteDeviceType(void *device, u32 link, u32 *type) {
    FULL(card->nvlinks);
    NEED(link < card->nvlinks, INVALID_ARGUMENT);
    *type = card->nvswitch ? 2 : 0;
    return SUCCESS;
}

struct fabric { unsigned char cluster[16]; int status; u32 clique; unsigned char state; };
struct fabric_v2 { u32 version; unsigned char cluster[16]; int status; u32 clique; unsigned char state; u32 health; };
struct fabric_v3 { struct fabric_v2 v2; unsigned char summary; };

/* Cards register with the fabric since Hopper; an A100 behind NVSwitch says "not supported" here. */
EXPORT int nvmlDeviceGetGpuFabricInfo(void *device, struct fabric *into) {
    FULL(1);
    memset(into, 0, sizeof *into);
    into->state = (unsigned char)(card->nvswitch && card->arch >= 9 ? fabric_state : 0);
    return SUCCESS;
}
EXPORT int nvmlDeviceGetGpuFabricInfoV(void *device, struct fabric_v2 *into) {
    struct fabric v1;
    u32 version = into->version >> 24;
    NEED(version == 2 || version == 3, VERSION);
    int error = nvmlDeviceGetGpuFabricInfo(device, &v1);
    NEED(!error, error);
    into->status = SUCCESS;
    into->clique = into->health = 0;
    into->state = v1.state;
    memset(into->cluster, 0, sizeof into->cluster);
    if (version == 3)
        ((struct fabric_v3 *)into)->summary = v1.state == 3 ? 1 : 0; /* healthy : not supported */
    return SUCCESS;
}
