/* A double of libnvidia-ml.so.1: NVML's answers for the declared cards of a lab host. First part: the library itself,
 * finding a card, what it is, its memory and processes.
 *
 * Functions, structures and error codes are those of nvml.h (13.x; go-nvml 0.13.4); what is not here a caller finds
 * missing, as in an older driver. */
#include "answers.h"

#include <stdio.h>
#include <string.h>

static struct device devices[MAX_CARDS][MAX_MIG + 1];
static u32 initialized;

int device_find(void *handle, struct card **card, struct mig_device *mig) {
    struct device *device = handle;
    struct mig_device all[MAX_MIG];
    NEED(initialized, UNINITIALIZED);
    NEED(device >= &devices[0][0] && device <= &devices[MAX_CARDS - 1][MAX_MIG], INVALID_ARGUMENT);
    int error = cards_load();
    NEED(!error, error);
    NEED(device->place < card_count, INVALID_ARGUMENT);
    *card = &cards[device->place];
    NEED(!(*card)->lost, LOST);
    NEED(device->mig <= mig_devices(*card, all), INVALID_ARGUMENT);
    if (mig)
        *mig = device->mig ? all[device->mig - 1] : (struct mig_device){0};
    return SUCCESS;
}

void *device_handle(u32 place, u32 mig) {
    devices[place][mig] = (struct device){place, mig};
    return &devices[place][mig];
}

static int put(char *into, u32 size, const char *text) {
    NEED(into, INVALID_ARGUMENT);
    NEED(strlen(text) < size, INSUFFICIENT_SIZE);
    strcpy(into, text);
    return SUCCESS;
}

/* --- the library and the system -------------------------------------------------------------------------------- */

EXPORT int nvmlInit_v2(void) {
    int error = cards_load();
    if (!error)
        initialized++;
    return error;
}
EXPORT int nvmlInit(void) { return nvmlInit_v2(); }
EXPORT int nvmlInitWithFlags(u32 flags) { (void)flags; return nvmlInit_v2(); }
EXPORT int nvmlShutdown(void) { NEED(initialized, UNINITIALIZED); initialized--; return SUCCESS; }

EXPORT const char *nvmlErrorString(int error) {
    static const char *const WORDS[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power", "Driver Not Loaded",
        "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found", "Function Not Found",
        "Corrupted infoROM", "GPU is lost", "GPU requires reset", "GPU access blocked by the operating system",
        "Driver/library version mismatch", "In use by another client", "Insufficient Memory", "No data",
        "vGPU operation not supported with ECC enabled", "Insufficient Resources", "Frequency Not Supported",
        "Argument version mismatch", "Deprecated", "Not Ready", "GPU not found", "Invalid State",
    };
    return error >= 0 && error < (int)(sizeof WORDS / sizeof *WORDS) ? WORDS[error] : "Unknown Error";
}

EXPORT int nvmlSystemGetDriverVersion(char *into, u32 size) {
    NEED(initialized, UNINITIALIZED);
    cards_load();
    return put(into, size, loaded);
}
EXPORT int nvmlSystemGetNVMLVersion(char *into, u32 size) {
    char text[96];
    snprintf(text, sizeof text, "%u.%s", cuda_version(library_version()) / 1000, library_version());
    return put(into, size, text);
}
EXPORT int nvmlSystemGetCudaDriverVersion(int *version) { *version = (int)cuda_version(library_version()); return SUCCESS; }
EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }
EXPORT int nvmlSystemGetProcessName(u32 pid, char *name, u32 size) { return process_name(pid, name, size) ? SUCCESS : NOT_FOUND; }

/* --- finding a card ---------------------------------------------------------------------------------------------- */

EXPORT int nvmlDeviceGetCount_v2(u32 *count) {
    NEED(initialized, UNINITIALIZED);
    int error = cards_load();
    *count = visible_count;
    return error;
}
EXPORT int nvmlDeviceGetCount(u32 *count) { return nvmlDeviceGetCount_v2(count); }

static int found(u32 place, void **device) {
    NEED(!cards[place].lost, LOST);
    *device = device_handle(place, 0);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(u32 index, void **device) {
    NEED(initialized, UNINITIALIZED);
    int error = cards_load();
    NEED(!error, error);
    NEED(index < visible_count, INVALID_ARGUMENT);
    return found(visible[index], device);
}
EXPORT int nvmlDeviceGetHandleByIndex(u32 index, void **device) { return nvmlDeviceGetHandleByIndex_v2(index, device); }

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    struct mig_device mig[MAX_MIG];
    NEED(initialized, UNINITIALIZED);
    NEED(uuid, INVALID_ARGUMENT);
    int error = cards_load();
    NEED(!error, error);
    for (u32 i = 0; i < visible_count; i++) {
        if (!strcmp(cards[visible[i]].uuid, uuid))
            return found(visible[i], device);
        for (u32 k = mig_devices(&cards[visible[i]], mig); k > 0; k--)
            if (!strcmp(mig[k - 1].uuid, uuid)) {
                *device = device_handle(visible[i], k);
                return SUCCESS;
            }
    }
    return NOT_FOUND;
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device) {
    u32 domain = 0, bus, slot;
    NEED(initialized, UNINITIALIZED);
    NEED(bus_id && (sscanf(bus_id, "%x:%x:%x", &domain, &bus, &slot) == 3), INVALID_ARGUMENT);
    int error = cards_load();
    NEED(!error, error);
    for (u32 i = 0; i < visible_count; i++) {
        u32 d, b, s;
        if (sscanf(cards[visible[i]].pci, "%x:%x:%x", &d, &b, &s) == 3 && d == domain && b == bus && s == slot)
            return found(visible[i], device);
    }
    return NOT_FOUND;
}
EXPORT int nvmlDeviceGetHandleByPciBusId(const char *bus_id, void **device) { return nvmlDeviceGetHandleByPciBusId_v2(bus_id, device); }

EXPORT int nvmlDeviceGetIndex(void *device, u32 *index) {
    CARD;
    if (((struct device *)device)->mig) {
        *index = ((struct device *)device)->mig - 1;
        return SUCCESS;
    }
    for (u32 i = 0; i < visible_count; i++)
        if (&cards[visible[i]] == card) {
            *index = i;
            return SUCCESS;
        }
    return NOT_FOUND;
}

/* --- what a card is ------------------------------------------------------------------------------------------------ */

EXPORT int nvmlDeviceGetUUID(void *device, char *into, u32 size) {
    CARD_OR_MIG;
    return put(into, size, mig.slices ? mig.uuid : card->uuid);
}
EXPORT int nvmlDeviceGetName(void *device, char *into, u32 size) {
    char text[128];
    CARD_OR_MIG;
    snprintf(text, sizeof text, mig.slices ? "%s MIG %ug.%llugb" : "%s", card->name, mig.slices, (mig.memory_mib + 953) / 954);
    return put(into, size, text);
}
EXPORT int nvmlDeviceGetMinorNumber(void *device, u32 *minor) { FULL(1); *minor = card->minor; return SUCCESS; }
EXPORT int nvmlDeviceGetSerial(void *device, char *into, u32 size) { FULL(card->serial[0]); return put(into, size, card->serial); }
EXPORT int nvmlDeviceGetBrand(void *device, u32 *brand) { CARD; *brand = card->brand; return SUCCESS; }
EXPORT int nvmlDeviceGetArchitecture(void *device, u32 *arch) { CARD; *arch = card->arch; return SUCCESS; }
EXPORT int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    CARD;
    *major = (int)card->cc_major;
    *minor = (int)card->cc_minor;
    return SUCCESS;
}

struct pci { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; };
EXPORT int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci) {
    FULL(1);
    memset(pci, 0, sizeof *pci);
    sscanf(card->pci, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.0", pci->domain, pci->bus & 0xff, pci->device & 0xff);
    snprintf(pci->legacy, sizeof pci->legacy, "%04X:%02X:%02X.0", pci->domain & 0xffff, pci->bus & 0xff, pci->device & 0xff);
    pci->id = card->device_id;
    pci->subsystem = card->subsystem_id;
    return SUCCESS;
}
EXPORT int nvmlDeviceGetPciInfo_v2(void *device, struct pci *pci) { return nvmlDeviceGetPciInfo_v3(device, pci); }
EXPORT int nvmlDeviceGetPciInfo(void *device, struct pci *pci) { return nvmlDeviceGetPciInfo_v3(device, pci); }

/* --- memory and processes ------------------------------------------------------------------------------------------ */

#define RESERVED (448 * MIB) /* what a driver keeps to itself; v1 counts it as used */
struct memory { u64 total, free, used; };
struct memory_v2 { u32 version; u64 total, reserved, free, used; };

static void memory(const struct card *card, const struct mig_device *mig, struct memory_v2 *into) {
    struct process list[MAX_PROCESSES];
    u32 count = card_processes(card, list, MAX_PROCESSES);
    into->total = (mig->slices ? mig->memory_mib : card->memory_mib) * MIB;
    into->reserved = mig->slices ? 0 : RESERVED;
    into->used = 0;
    for (u32 i = 0; i < count && !mig->slices; i++)
        into->used += list[i].used;
    if (into->used > into->total - into->reserved)
        into->used = into->total - into->reserved;
    into->free = into->total - into->reserved - into->used;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *into) {
    CARD_OR_MIG;
    NEED((into->version >> 24) == 2, VERSION);
    memory(card, &mig, into);
    return SUCCESS;
}
EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory *into) {
    struct memory_v2 all;
    CARD_OR_MIG;
    memory(card, &mig, &all);
    *into = (struct memory){all.total, all.free, all.used + all.reserved};
    return SUCCESS;
}

struct process_info { u32 pid; u64 used; u32 gi, ci; };
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *device, u32 *count, struct process_info *into) {
    struct process list[MAX_PROCESSES];
    CARD;
    u32 room = *count;
    *count = card_processes(card, list, MAX_PROCESSES);
    NEED(*count == 0 || (into && *count <= room), INSUFFICIENT_SIZE);
    for (u32 i = 0; i < *count; i++)
        into[i] = (struct process_info){list[i].pid, list[i].used, 0xffffffff, 0xffffffff};
    return SUCCESS;
}
EXPORT int nvmlDeviceGetComputeRunningProcesses_v2(void *device, u32 *count, struct process_info *into) { return nvmlDeviceGetComputeRunningProcesses_v3(device, count, into); }
EXPORT int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, u32 *count, struct process_info *into) { CARD; (void)into; *count = 0; return SUCCESS; }
