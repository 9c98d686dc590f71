/* See cards.h. Compiled into the library and into nvidia-smi. */
#include "cards.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NVIDIA_MAJOR 195 /* nvidia(4): the character devices' major number */
#define CONTROL_MINOR 255

enum { SUCCESS = 0, NO_PERMISSION = 4, NOT_LOADED = 9, MISMATCH = 18, UNKNOWN = 999 };

struct card cards[MAX_CARDS];
u32 visible[MAX_CARDS], card_count, visible_count, fabric_state;
char loaded[64];

static const char *const CONF[] = {"/etc/gpu-double.conf", "/usr/share/nvidia/nvoptix.bin", NULL};
static const char LIBRARY[] = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1";

/* dladdr(3) by hand: with _GNU_SOURCE a newer libc would bind sscanf to a symbol that older hosts lack. */
struct symbol { const char *file; void *base; const char *name; void *address; };
extern int dladdr(const void *address, struct symbol *found);

/* In the library: the file that this code was loaded from. In nvidia-smi, which is static so that it runs in any
 * image: the library that a dynamic one would have loaded. */
const char *library_version(void) {
    static char version[64];
    char real[PATH_MAX];
    const char *path = LIBRARY;
#ifndef STATIC_PROGRAM
    struct symbol self;
    if (dladdr(&card_count, &self) && self.file)
        path = self.file;
#endif
    const char *found = realpath(path, real) ? strstr(real, ".so.") : NULL;
    snprintf(version, sizeof version, "%s", found ? found + 4 : "");
    return version;
}

u32 cuda_version(const char *driver) {
    static const struct { int branch; u32 cuda; } BRANCHES[] = {
        {590, 13010}, {580, 13000}, {575, 12090}, {570, 12080}, {565, 12070}, {560, 12060}, {555, 12050},
        {550, 12040}, {545, 12030}, {535, 12020}, {530, 12010}, {525, 12000}, {470, 11040}, {0, 11000},
    };
    int branch = atoi(driver), i = 0;
    while (branch < BRANCHES[i].branch)
        i++;
    return BRANCHES[i].cuda;
}

static int text(const char *key, const char *value, const char *name, char *into, size_t size) {
    if (strcmp(key, name))
        return 0;
    snprintf(into, size, "%s", value);
    return 1;
}

static void set_number(struct card *card, const char *key, const char *value) {
    const struct { const char *name; u32 *into; } NUMBERS[] = {
        {"minor", &card->minor}, {"device_id", &card->device_id}, {"subsystem_id", &card->subsystem_id},
        {"arch", &card->arch}, {"brand", &card->brand}, {"nvlinks", &card->nvlinks}, {"nvswitch", &card->nvswitch},
        {"ecc", &card->has_ecc}, {"mig_slices", &card->mig_slices}, {"persistence", &card->persistence},
        {"lost", &card->lost}, {"remap_pending", &card->remap_pending}, {"temperature", &card->temperature},
        {"power_limit_w", &card->power_limit_w},
    };
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (!strcmp(key, NUMBERS[i].name))
            *NUMBERS[i].into = (u32)strtoul(value, NULL, 0);
    const struct { const char *name; u64 *into; } LONG[] = {
        {"memory_mib", &card->memory_mib}, {"ecc_corrected", &card->ecc_corrected},
        {"ecc_uncorrected", &card->ecc_uncorrected},
    };
    for (size_t i = 0; i < sizeof LONG / sizeof *LONG; i++)
        if (!strcmp(key, LONG[i].name))
            *LONG[i].into = strtoull(value, NULL, 0);
    if (!strcmp(key, "compute"))
        sscanf(value, "%u.%u", &card->cc_major, &card->cc_minor);
}

static void set(const char *section, const char *key, const char *value) {
    if (!strcmp(section, "host")) {
        text(key, value, "loaded", loaded, sizeof loaded);
        if (!strcmp(key, "fabric_state"))
            fabric_state = (u32)atoi(value);
    } else if (!strcmp(section, "card") && card_count) {
        struct card *card = &cards[card_count - 1];
        if (!text(key, value, "name", card->name, sizeof card->name)
            && !text(key, value, "uuid", card->uuid, sizeof card->uuid)
            && !text(key, value, "serial", card->serial, sizeof card->serial)
            && !text(key, value, "mig", card->mig, sizeof card->mig)
            && !text(key, value, "pci", card->pci, sizeof card->pci))
            set_number(card, key, value);
    }
}

static int read_conf(void) {
    char line[256], section[32] = "", key[64], value[160];
    FILE *conf = NULL;
    for (int i = 0; CONF[i] && !conf; i++)
        conf = fopen(CONF[i], "r");
    if (!conf)
        return 0;
    memset(cards, 0, sizeof cards);
    card_count = fabric_state = 0;
    loaded[0] = 0;
    while (fgets(line, sizeof line, conf)) {
        value[0] = 0;
        if (sscanf(line, " [%31[a-z]]", section) == 1) {
            if (!strcmp(section, "card") && card_count < MAX_CARDS)
                card_count++;
        } else if (line[0] != '#' && sscanf(line, " %63[a-z_] = %159[^\n]", key, value) >= 1) {
            set(section, key, value);
        }
    }
    fclose(conf);
    return 1;
}

/* No driver answers at the node: where the device cgroup allows it, opening it ends with ENXIO (there is no such
 * hardware), where it does not, with EPERM. That is how a container that lost its cards is told from one that has them. */
static int node_error(const char *path, u32 minor) {
    struct stat node;
    if (stat(path, &node) || !S_ISCHR(node.st_mode) || node.st_rdev != makedev(NVIDIA_MAJOR, minor))
        return ENOENT;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file >= 0)
        close(file);
    return file >= 0 || errno == ENXIO || errno == ENODEV ? 0 : errno;
}

int cards_load(void) {
    char path[64];
    visible_count = 0;
    if (!read_conf() || !loaded[0])
        return NOT_LOADED;
    int error = node_error("/dev/nvidiactl", CONTROL_MINOR);
    if (error)
        return error == ENOENT ? NOT_LOADED : error == EACCES ? NO_PERMISSION : UNKNOWN;
    if (strcmp(library_version(), loaded))
        return MISMATCH;
    for (u32 i = 0; i < card_count; i++) {
        snprintf(path, sizeof path, "/dev/nvidia%u", cards[i].minor);
        cards[i].open_error = (u32)node_error(path, cards[i].minor);
        if (!cards[i].open_error)
            visible[visible_count++] = i;
    }
    return SUCCESS;
}



/* `mig = 2g.12gb 2g.12gb`. The numbers of GPU instances are those the driver gives: on an A100 1 and 2 for halves,
 * 7 to 13 for sevenths; on an A30 1 and 2 for halves, 3 to 6 for quarters (NVIDIA MIG user guide, `-lgi` output). */
u32 mig_devices(const struct card *card, struct mig_device *found) {
    u32 count = 0, total = card->mig_slices, slices, gb;
    const char *at = card->mig;
    int length;
    while (total && count < MAX_MIG && sscanf(at, " %ug.%ugb%n", &slices, &gb, &length) == 2) {
        struct mig_device *one = &found[count];
        u32 small = slices == 1;
        one->slices = slices;
        one->gi = count + (slices == total ? 0 : small ? (total == 4 ? 3 : 7) : slices == 2 && total == 7 ? 3 : 1);
        one->profile_id = slices == total ? 0 : total == 4 ? (small ? 14 : 5)
                          : small ? 19 : slices == 2 ? 14 : slices == 3 ? 9 : 5;
        one->memory_mib = gb * 1000ULL * 1000 * 1000 / MIB;
        /* Derived from the card's: other digits, the same each time. */
        snprintf(one->uuid, sizeof one->uuid, "MIG-%s", strlen(card->uuid) > 4 ? card->uuid + 4 : "");
        if (strlen(one->uuid) == 40)
            one->uuid[39] = "0123456789abcdef"[(one->gi + 1) % 16], one->uuid[38] = 'a' + (char)(one->gi % 6);
        at += length;
        count++;
    }
    return count;
}
