/* `nvidia-smi -q -x`: the layout of nvsmi_device_v12.dtd, as far as the double knows a card. */
#include "smi.h"

#include <stdio.h>
#include <string.h>

static void field(const char *tag, const char *name, u32 index, void *device) {
    char value[128];
    field_value(name, index, 0, device, 0, value, sizeof value);
    printf("\t\t<%s>%s</%s>\n", tag, value[0] == '[' ? "N/A" : value, tag);
}

static void group(const char *tag, const char *const names[][2], u32 index, void *device) {
    printf("\t\t<%s>\n", tag);
    for (int i = 0; names[i][0]; i++) {
        printf("\t");
        field(names[i][0], names[i][1], index, device);
    }
    printf("\t\t</%s>\n", tag);
}

static void instances(const struct card *card) {
    struct mig_device mig[MAX_MIG];
    u32 count = mig_devices(card, mig);
    if (!count) {
        printf("\t\t<mig_devices>\n\t\t\tNone\n\t\t</mig_devices>\n");
        return;
    }
    printf("\t\t<mig_devices>\n");
    for (u32 i = 0; i < count; i++)
        printf("\t\t\t<mig_device>\n\t\t\t\t<index>%u</index>\n\t\t\t\t<gpu_instance_id>%u</gpu_instance_id>\n"
               "\t\t\t\t<compute_instance_id>0</compute_instance_id>\n\t\t\t\t<uuid>%s</uuid>\n"
               "\t\t\t\t<fb_memory_usage>\n\t\t\t\t\t<total>%llu MiB</total>\n\t\t\t\t\t<used>0 MiB</used>\n"
               "\t\t\t\t</fb_memory_usage>\n\t\t\t</mig_device>\n", i, mig[i].gi, mig[i].uuid, mig[i].memory_mib);
    printf("\t\t</mig_devices>\n");
}

static void errors(const struct card *card) {
    static const char *const COUNTERS[] = {"volatile", "aggregate"};
    printf("\t\t<ecc_errors>\n");
    for (int i = 0; i < 2; i++) {
        printf("\t\t\t<%s>\n", COUNTERS[i]);
        if (card->has_ecc)
            printf("\t\t\t\t<dram_correctable>%llu</dram_correctable>\n\t\t\t\t<dram_uncorrectable>%llu</dram_uncorrectable>\n",
                   card->ecc_corrected, card->ecc_uncorrected);
        else
            printf("\t\t\t\t<dram_correctable>N/A</dram_correctable>\n\t\t\t\t<dram_uncorrectable>N/A</dram_uncorrectable>\n");
        printf("\t\t\t</%s>\n", COUNTERS[i]);
    }
    printf("\t\t</ecc_errors>\n");
}

static void running(const struct card *card) {
    struct process list[MAX_PROCESSES];
    char name[256];
    u32 count = card_processes(card, list, MAX_PROCESSES);
    printf("\t\t<processes>\n");
    for (u32 i = 0; i < count; i++)
        printf("\t\t\t<process_info>\n\t\t\t\t<gpu_instance_id>N/A</gpu_instance_id>\n"
               "\t\t\t\t<compute_instance_id>N/A</compute_instance_id>\n\t\t\t\t<pid>%u</pid>\n\t\t\t\t<type>C</type>\n"
               "\t\t\t\t<process_name>%s</process_name>\n\t\t\t\t<used_memory>%llu MiB</used_memory>\n"
               "\t\t\t</process_info>\n", list[i].pid, process_name(list[i].pid, name, sizeof name) ? name : "[Not Found]",
               list[i].used / MIB);
    printf("\t\t</processes>\n");
}

void print_xml(u32 count, void **devices) {
    static const char *const ARCHS[] = {"", "", "Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere",
                                        "Ada Lovelace", "Hopper", "Blackwell"};
    static const char *const MEMORY[][2] = {{"total", "memory.total"}, {"reserved", "memory.reserved"},
                                            {"used", "memory.used"}, {"free", "memory.free"}, {NULL, NULL}};
    static const char *const MIG[][2] = {{"current_mig", "mig.mode.current"}, {"pending_mig", "mig.mode.pending"}, {NULL, NULL}};
    static const char *const ECC[][2] = {{"current_ecc", "ecc.mode.current"}, {"pending_ecc", "ecc.mode.pending"}, {NULL, NULL}};
    static const char *const FABRIC[][2] = {{"state", "fabric.state"}, {"status", "fabric.status"}, {NULL, NULL}};
    static const char *const USE[][2] = {{"gpu_util", "utilization.gpu"}, {"memory_util", "utilization.memory"}, {NULL, NULL}};
    u32 cuda = cuda_version(library_version());
    printf("<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v12.dtd\">\n<nvidia_smi_log>\n"
           "\t<driver_version>%s</driver_version>\n\t<cuda_version>%u.%u</cuda_version>\n"
           "\t<attached_gpus>%u</attached_gpus>\n", loaded, cuda / 1000, cuda % 1000 / 10, count);
    for (u32 i = 0; i < count; i++) {
        const struct card *card = &cards[visible[i]];
        if (!devices[i])
            continue;
        printf("\t<gpu id=\"%s\">\n", card->pci);
        field("product_name", "name", i, devices[i]);
        printf("\t\t<product_architecture>%s</product_architecture>\n", card->arch <= 10 ? ARCHS[card->arch] : "");
        field("persistence_mode", "persistence_mode", i, devices[i]);
        group("mig_mode", MIG, i, devices[i]);
        instances(card);
        field("serial", "serial", i, devices[i]);
        field("uuid", "uuid", i, devices[i]);
        printf("\t\t<minor_number>%u</minor_number>\n\t\t<pci>\n\t", card->minor);
        field("pci_bus_id", "pci.bus_id", i, devices[i]);
        printf("\t\t\t<pci_device_id>%08X</pci_device_id>\n\t\t</pci>\n", card->device_id);
        group("fb_memory_usage", MEMORY, i, devices[i]);
        field("compute_mode", "compute_mode", i, devices[i]);
        group("utilization", USE, i, devices[i]);
        group("ecc_mode", ECC, i, devices[i]);
        errors(card);
        printf("\t\t<remapped_rows>\n\t\t\t<remapped_row_pending>%s</remapped_row_pending>\n\t\t</remapped_rows>\n",
               card->has_ecc && card->arch >= 7 ? (card->remap_pending ? "Yes" : "No") : "N/A");
        group("fabric", FABRIC, i, devices[i]);
        running(card);
        printf("\t</gpu>\n");
    }
    printf("</nvidia_smi_log>\n");
}
