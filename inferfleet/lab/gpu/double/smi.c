/* A double of nvidia-smi: the words of the real one (driver 580) on the answers of the NVML double, which is compiled
 * in, so that it runs in any image. Known: -L, -i, -q -x, --query-gpu, --query-compute-apps, -pm, the table. */
#include "cards.h"
#include "smi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *only; /* -i: index, UUID or bus id */
static int noheader, nounits;

static int fail(int error) {
    if (error == 18)
        printf("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: %.*s\n",
               (int)strcspn(strchr(library_version(), '.') ? strchr(library_version(), '.') + 1 : "", ".")
                   + (int)strcspn(library_version(), ".") + 1, library_version());
    else if (error == 9)
        printf("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the "
               "latest NVIDIA driver is installed and running.\n\n");
    else
        printf("Failed to initialize NVML: %s\n", nvmlErrorString(error));
    return error < 255 ? error : 255;
}

int chosen(u32 index) {
    char *end;
    if (!only)
        return 1;
    u32 number = (u32)strtoul(only, &end, 10);
    const struct card *card = &cards[visible[index]];
    return (!*end && number == index) || !strcmp(only, card->uuid) || same_bus(only, card->pci);
}

/* The real one gives up at the first card that it cannot get a handle of. */
static int handles(u32 count, void **devices) {
    int any = 0;
    for (u32 i = 0; i < count; i++) {
        devices[i] = NULL;
        if (!chosen(i))
            continue;
        any = 1;
        int error = nvmlDeviceGetHandleByIndex_v2(i, &devices[i]);
        if (error) {
            printf("Unable to determine the device handle for GPU%u: %s: %s.  Reboot the system to recover this GPU\n",
                   i, cards[visible[i]].pci + 4, nvmlErrorString(error));
            return error;
        }
    }
    if (!any) {
        printf("No devices were found\n");
        return 6;
    }
    return 0;
}

static void list(u32 count, void **devices) {
    struct mig_device mig[MAX_MIG];
    for (u32 i = 0; i < count; i++) {
        if (!devices[i])
            continue;
        const struct card *card = &cards[visible[i]];
        printf("GPU %u: %s (UUID: %s)\n", i, card->name, card->uuid);
        u32 many = mig_devices(card, mig);
        for (u32 k = 0; k < many; k++) {
            char profile[24];
            snprintf(profile, sizeof profile, "%ug.%llugb", mig[k].slices, (mig[k].memory_mib + 953) / 954);
            printf("  MIG %-15s Device  %u: (UUID: %s)\n", profile, k, mig[k].uuid);
        }
    }
}

/* Each field is printed by `print`; one that it does not know ends everything with code 2, before any row. */
static int split(char *text, char **fields) {
    int count = 0;
    char *save = NULL;
    for (char *word = strtok_r(text, ", ", &save); word && count < MAX_FIELDS; word = strtok_r(NULL, ", ", &save))
        fields[count++] = word;
    return count;
}

static void header(char **fields, int count) {
    for (int i = 0; i < count && !noheader; i++)
        printf("%s%s%s", i ? ", " : "", fields[i], unit_of_field(fields[i]));
    if (!noheader)
        printf("\n");
}

static int known(char **fields, int count, int apps) {
    for (int i = 0; i < count; i++)
        if (!field_known(fields[i], apps)) {
            printf("Field \"%s\" is not a valid field to query.\n\n", fields[i]);
            return 0;
        }
    return 1;
}

static int query_gpu(char *text, u32 count, void **devices) {
    char *fields[MAX_FIELDS], value[128];
    int many = split(text, fields);
    if (!known(fields, many, 0))
        return 2;
    header(fields, many);
    for (u32 i = 0; i < count; i++) {
        for (int k = 0; devices[i] && k < many; k++) {
            field_value(fields[k], i, count, devices[i], nounits, value, sizeof value);
            printf("%s%s", k ? ", " : "", value);
        }
        if (devices[i])
            printf("\n");
    }
    return 0;
}

static int query_apps(char *text, u32 count, void **devices) {
    char *fields[MAX_FIELDS], value[128], name[256];
    struct process list[MAX_PROCESSES];
    int many = split(text, fields);
    if (!known(fields, many, 1))
        return 2;
    header(fields, many);
    for (u32 i = 0; i < count; i++) {
        u32 running = devices[i] ? card_processes(&cards[visible[i]], list, MAX_PROCESSES) : 0;
        for (u32 p = 0; p < running; p++, printf("\n"))
            for (int k = 0; k < many; k++) {
                printf("%s", k ? ", " : "");
                if (!strcmp(fields[k], "pid"))
                    printf("%u", list[p].pid);
                else if (!strcmp(fields[k], "used_memory") || !strcmp(fields[k], "used_gpu_memory"))
                    printf("%llu%s", list[p].used / MIB, nounits ? "" : " MiB");
                else if (!strcmp(fields[k], "process_name") || !strcmp(fields[k], "name"))
                    printf("%s", process_name(list[p].pid, name, sizeof name) ? name : "[Not Found]");
                else {
                    field_value(fields[k], i, count, devices[i], nounits, value, sizeof value);
                    printf("%s", value);
                }
            }
    }
    return 0;
}

/* The one thing that is changed through nvidia-smi here: persistence mode; the driver double writes it down. */
static int persistence(const char *mode, u32 count, void **devices) {
    int on = !strcmp(mode, "1") || !strcmp(mode, "ENABLED"), error = 0;
    char command[160];
    for (u32 i = 0; i < count && !error; i++) {
        if (!devices[i])
            continue;
        snprintf(command, sizeof command, "exec /usr/lib/gpu-double/driver.py persistence %d %s", on, cards[visible[i]].uuid);
        error = system(command) != 0;
        if (!error)
            printf("%s persistence mode for GPU %s.\n", on ? "Enabled" : "Disabled", cards[visible[i]].pci);
    }
    if (error)
        printf("Unable to set persistence mode: Insufficient Permissions\n");
    else
        printf("All done.\n");
    return error ? 4 : 0;
}

static char *word_of(int *at, int count, char **words, const char *name) {
    size_t length = strlen(name);
    if (strncmp(words[*at], name, length))
        return NULL;
    if (words[*at][length] == '=')
        return words[*at] + length + 1;
    return !words[*at][length] && *at + 1 < count ? words[++*at] : NULL;
}

int main(int count, char **words) {
    char *gpu = NULL, *apps = NULL, *format = "", *mode = NULL, *value;
    int listing = 0, full = 0, xml = 0;
    struct stat library;
    for (int i = 1; i < count; i++) {
        if (!strcmp(words[i], "-L") || !strcmp(words[i], "--list-gpus"))
            listing = 1;
        else if (!strcmp(words[i], "-q") || !strcmp(words[i], "--query"))
            full = 1;
        else if (!strcmp(words[i], "-x") || !strcmp(words[i], "--xml-format"))
            xml = 1;
        else if ((value = word_of(&i, count, words, "--query-gpu")))
            gpu = value;
        else if ((value = word_of(&i, count, words, "--query-compute-apps")))
            apps = value;
        else if ((value = word_of(&i, count, words, "--format")))
            format = value;
        else if ((value = word_of(&i, count, words, "--id")) || (value = word_of(&i, count, words, "-i")))
            only = value;
        else if ((value = word_of(&i, count, words, "--persistence-mode")) || (value = word_of(&i, count, words, "-pm")))
            mode = value;
        else {
            printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n");
            return 2;
        }
    }
    noheader = strstr(format, "noheader") != NULL;
    nounits = strstr(format, "nounits") != NULL;
    if (stat("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", &library)) {
        printf("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA "
               "Display Driver is properly installed and present in your system.\nPlease also try adding directory "
               "that contains libnvidia-ml.so to your system PATH.\n\n");
        return 12;
    }
    u32 cards_here;
    void *devices[MAX_CARDS];
    int error = nvmlInit_v2();
    if (error)
        return fail(error);
    nvmlDeviceGetCount_v2(&cards_here);
    if ((error = handles(cards_here, devices)))
        return error;
    if (mode)
        return persistence(mode, cards_here, devices);
    if (gpu)
        return query_gpu(gpu, cards_here, devices);
    if (apps)
        return query_apps(apps, cards_here, devices);
    if (listing)
        list(cards_here, devices);
    else if (full && xml)
        print_xml(cards_here, devices);
    else
        print_table(cards_here, devices);
    return 0;
}
