/* What the nvidia-smi double prints of a card: the fields of --query-gpu, and the table. */
#include "smi.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct memory_v2 { u32 version; u64 total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *into);

int same_bus(const char *one, const char *other) {
    u32 a[3], b[3];
    return sscanf(one, "%x:%x:%x", &a[0], &a[1], &a[2]) == 3 && sscanf(other, "%x:%x:%x", &b[0], &b[1], &b[2]) == 3
           && a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

static struct memory_v2 memory_of(void *device) {
    struct memory_v2 memory = {.version = 2u << 24 | sizeof memory};
    nvmlDeviceGetMemoryInfo_v2(device, &memory);
    return memory;
}

typedef int (*Print)(const struct card *card, void *device, char *into, size_t size);
#define FIELD(name, ...) static int name(const struct card *card, void *device, char *into, size_t size) { \
    (void)card; (void)device; return snprintf(into, size, __VA_ARGS__); }
static const char *enabled(u32 on) { return on ? "Enabled" : "Disabled"; }
static const char *active(u32 on) { return on ? "Yes" : "No"; }
static const char *serial_of(const struct card *card) { return card->serial[0] ? card->serial : "[N/A]"; }
static const char *fabric_of(const struct card *card) {
    static const char *const STATES[] = {"N/A", "Not Started", "In Progress", "Completed"};
    return STATES[card->nvswitch && card->arch >= 9 && fabric_state < 4 ? fabric_state : 0];
}
static u32 bus(const struct card *card, int part) {
    u32 numbers[3] = {0};
    sscanf(card->pci, "%x:%x:%x", &numbers[0], &numbers[1], &numbers[2]);
    return numbers[part];
}
FIELD(name, "%s", card->name)
FIELD(uuid, "%s", card->uuid)
FIELD(serial, "%s", serial_of(card))
FIELD(bus_id, "%s", card->pci)
FIELD(domain, "0x%04X", bus(card, 0))
FIELD(bus_number, "0x%02X", bus(card, 1))
FIELD(slot, "0x%02X", bus(card, 2))
FIELD(device_id, "0x%08X", card->device_id)
FIELD(subsystem_id, "0x%08X", card->subsystem_id)
FIELD(driver_version, "%s", loaded)
FIELD(compute, "%u.%u", card->cc_major, card->cc_minor)
FIELD(total, "%llu", memory_of(device).total / MIB)
FIELD(used, "%llu", memory_of(device).used / MIB)
FIELD(free_, "%llu", memory_of(device).free / MIB)
FIELD(reserved, "%llu", memory_of(device).reserved / MIB)
FIELD(temperature, "%u", card->temperature)
FIELD(zero, "0")
FIELD(idle, "P8")
FIELD(mode_default, "Default")
FIELD(power, "%u.%02u", card->power_limit_w / 10, card->power_limit_w % 10 * 10)
FIELD(power_limit, "%u.00", card->power_limit_w)
FIELD(persistent, "%s", enabled(card->persistence))
FIELD(mig_mode, "%s", card->mig_slices ? enabled(card->mig[0] != 0) : "[N/A]")
FIELD(ecc_mode, "%s", card->has_ecc ? "Enabled" : "[N/A]")
FIELD(corrected, card->has_ecc ? "%llu" : "[N/A]", card->ecc_corrected)
FIELD(uncorrected, card->has_ecc ? "%llu" : "[N/A]", card->ecc_uncorrected)
FIELD(retired_double, card->has_ecc && card->arch < 7 ? "%u" : "[N/A]", card->remap_pending)
FIELD(retired_single, card->has_ecc && card->arch < 7 ? "0" : "[N/A]")
FIELD(retired_pending, "%s", card->has_ecc && card->arch < 7 ? active(card->remap_pending) : "[N/A]")
FIELD(remapped_none, card->has_ecc && card->arch >= 7 ? "0" : "[N/A]")
FIELD(remapped, card->has_ecc && card->arch >= 7 ? "%u" : "[N/A]", card->remap_pending)
FIELD(fabric, "%s", fabric_of(card))
FIELD(fabric_status, "%s", fabric_state == 3 && fabric_of(card)[0] == 'C' ? "Success" : "N/A")

static const struct { const char *name; Print print; const char *unit; } FIELDS[] = {
    {"name", name, ""}, {"gpu_name", name, ""}, {"uuid", uuid, ""}, {"gpu_uuid", uuid, ""}, {"serial", serial, ""},
    {"gpu_serial", serial, ""}, {"pci.bus_id", bus_id, ""}, {"gpu_bus_id", bus_id, ""}, {"pci.domain", domain, ""},
    {"pci.bus", bus_number, ""}, {"pci.device", slot, ""}, {"pci.device_id", device_id, ""},
    {"pci.sub_device_id", subsystem_id, ""}, {"driver_version", driver_version, ""}, {"compute_cap", compute, ""},
    {"memory.total", total, "MiB"}, {"memory.used", used, "MiB"}, {"memory.free", free_, "MiB"},
    {"memory.reserved", reserved, "MiB"}, {"temperature.gpu", temperature, ""}, {"utilization.gpu", zero, "%"},
    {"utilization.memory", zero, "%"}, {"pstate", idle, ""}, {"compute_mode", mode_default, ""},
    {"power.draw", power, "W"}, {"power.limit", power_limit, "W"}, {"persistence_mode", persistent, ""},
    {"mig.mode.current", mig_mode, ""}, {"mig.mode.pending", mig_mode, ""}, {"ecc.mode.current", ecc_mode, ""},
    {"ecc.mode.pending", ecc_mode, ""}, {"ecc.errors.corrected.volatile.total", corrected, ""},
    {"ecc.errors.corrected.aggregate.total", corrected, ""}, {"ecc.errors.uncorrected.volatile.total", uncorrected, ""},
    {"ecc.errors.uncorrected.aggregate.total", uncorrected, ""},
    {"retired_pages.single_bit_ecc.count", retired_single, ""}, {"retired_pages.double_bit.count", retired_double, ""},
    {"retired_pages.pending", retired_pending, ""}, {"remapped_rows.correctable", remapped_none, ""},
    {"remapped_rows.uncorrectable", remapped, ""}, {"remapped_rows.pending", remapped, ""},
    {"remapped_rows.failure", remapped_none, ""}, {"fabric.state", fabric, ""}, {"fabric.status", fabric_status, ""},
};
#define COUNT (sizeof FIELDS / sizeof *FIELDS)

static size_t place(const char *wanted) {
    size_t i = 0;
    while (i < COUNT && strcmp(FIELDS[i].name, wanted))
        i++;
    return i;
}

int field_known(const char *wanted, int apps) {
    static const char *const APPS[] = {"pid", "process_name", "used_memory", "used_gpu_memory", NULL};
    for (int i = 0; apps && APPS[i]; i++)
        if (!strcmp(APPS[i], wanted))
            return 1;
    return place(wanted) < COUNT || !strcmp(wanted, "index") || !strcmp(wanted, "count");
}

const char *unit_of_field(const char *wanted) {
    const char *unit = strstr(wanted, "used_") == wanted ? "MiB" : place(wanted) < COUNT ? FIELDS[place(wanted)].unit : "";
    return !*unit ? "" : *unit == 'M' ? " [MiB]" : *unit == '%' ? " [%]" : " [W]";
}

void field_value(const char *wanted, u32 index, u32 count, void *device, int nounits, char *into, size_t size) {
    size_t at = place(wanted);
    if (at == COUNT) {
        snprintf(into, size, "%u", !strcmp(wanted, "index") ? index : count);
        return;
    }
    FIELDS[at].print(&cards[visible[index]], device, into, size);
    if (*FIELDS[at].unit && !nounits && *into != '[')
        snprintf(into + strlen(into), size - strlen(into), " %s", FIELDS[at].unit);
}

static const char RULE[] = "+-----------------------------------------+------------------------+----------------------+\n";

void print_table(u32 count, void **devices) {
    char now[64];
    time_t seconds = time(NULL);
    u32 cuda = cuda_version(library_version()), shown = 0;
    strftime(now, sizeof now, "%a %b %e %H:%M:%S %Y", localtime(&seconds));
    printf("%s\n+-----------------------------------------------------------------------------------------+\n"
           "| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %u.%-5u |\n", now, library_version(), loaded,
           cuda / 1000, cuda % 1000 / 10);
    printf("|%s| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n"
           "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n"
           "|                                         |                        |               MIG M. |\n", RULE + 1);
    printf("|=========================================+========================+======================|\n");
    for (u32 i = 0; i < count; i++) {
        const struct card *card = &cards[visible[i]];
        char ecc[24] = "N/A";
        if (!devices[i])
            continue;
        struct memory_v2 memory = memory_of(devices[i]);
        if (card->has_ecc)
            snprintf(ecc, sizeof ecc, "%llu", card->ecc_uncorrected);
        printf("| %3u  %-27.27s %6s | %s Off | %20s |\n", i, card->name, card->persistence ? "On" : "Off", card->pci, ecc);
        printf("| N/A  %3uC    P8 %12uW / %4uW | %7lluMiB / %7lluMiB | %6u%%      Default |\n", card->temperature,
               card->power_limit_w / 10, card->power_limit_w, memory.used / MIB, memory.total / MIB, 0u);
        printf("|                                         |                        | %20s |\n%s",
               card->mig_slices ? enabled(card->mig[0] != 0) : "N/A", RULE);
    }
    printf("\n+-----------------------------------------------------------------------------------------+\n"
           "| Processes:                                                                              |\n"
           "|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |\n"
           "|        ID   ID                                                               Usage      |\n"
           "|=========================================================================================|\n");
    for (u32 i = 0; i < count; i++) {
        struct process list[MAX_PROCESSES];
        u32 running = devices[i] ? card_processes(&cards[visible[i]], list, MAX_PROCESSES) : 0;
        for (u32 p = 0; p < running; p++, shown++) {
            char program[256] = "[Not Found]";
            process_name(list[p].pid, program, sizeof program);
            printf("| %4u   N/A  N/A  %15u      C   %-34.34s %8lluMiB |\n", i, list[p].pid, program, list[p].used / MIB);
        }
    }
    if (!shown)
        printf("|  No running processes found                                                             |\n");
    printf("+-----------------------------------------------------------------------------------------+\n");
}
