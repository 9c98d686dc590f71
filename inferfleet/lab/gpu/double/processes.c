/* Which processes run on which card: nothing is configured, all is looked up in /proc.
 *
 * A process is on a card when it has the software GPU mapped, which arrives with the card as NVIDIA's Vulkan driver
 * does, and may compute on it: with GGML_VK_VISIBLE_DEVICES=-1 ggml only looks at it and goes to the CPU. Which card:
 * in a container the one whose node exists there; else what CUDA_VISIBLE_DEVICES names, or the first. Used memory is the process's resident memory. A container sees its own processes only. */
#include "cards.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const SOFTWARE_GPU[] = {"/libGLX_nvidia.so.", "/libvulkan_lvp.so", NULL};

static int maps_software_gpu(u32 pid) {
    char path[64], line[4096];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%u/maps", pid);
    FILE *maps = fopen(path, "r");
    while (maps && !found && fgets(line, sizeof line, maps))
        for (int i = 0; SOFTWARE_GPU[i] && !found; i++)
            found = strstr(line, SOFTWARE_GPU[i]) != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static u64 resident(u32 pid) {
    char path[64];
    u64 size = 0, pages = 0;
    snprintf(path, sizeof path, "/proc/%u/statm", pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%llu %llu", &size, &pages) != 2)
            pages = 0;
        fclose(file);
    }
    return pages * 4096;
}

/* The value of a variable in the environment that the process was started with; 0 where it has none. */
static int variable(u32 pid, const char *name, char *value, size_t size) {
    static char text[262144];
    char path[64];
    size_t length = strlen(name);
    snprintf(path, sizeof path, "/proc/%u/environ", pid);
    FILE *file = fopen(path, "r");
    size_t read = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[read] = 0;
    for (char *at = text; at < text + read; at += strlen(at) + 1)
        if (!strncmp(at, name, length) && at[length] == '=') {
            snprintf(value, size, "%s", at + length + 1);
            return 1;
        }
    return 0;
}

/* Places in `cards` of the nodes that the process has in its own /dev. */
static u32 reachable(u32 pid, u32 *found) {
    char path[64];
    struct stat node;
    u32 count = 0;
    for (u32 i = 0; i < card_count; i++) {
        snprintf(path, sizeof path, "/proc/%u/root/dev/nvidia%u", pid, cards[i].minor);
        if (!stat(path, &node) && S_ISCHR(node.st_mode))
            found[count++] = i;
    }
    return count;
}

/* What a process uses of what it reaches, as CUDA reads CUDA_VISIBLE_DEVICES: indices or the beginning of UUIDs, up to
 * the first that names none. Without it: a container's cards all, on the host itself the first. */
static u32 used_cards(u32 pid, u32 *used) {
    u32 reach[MAX_CARDS], count = reachable(pid, reach), chosen = 0;
    char value[1024], *save = NULL;
    if (variable(pid, "GGML_VK_VISIBLE_DEVICES", value, sizeof value) && value[0] == '-')
        return 0;
    if (!variable(pid, "CUDA_VISIBLE_DEVICES", value, sizeof value)) {
        memcpy(used, reach, count * sizeof *reach);
        return count == card_count && count ? 1 : count;
    }
    for (char *word = strtok_r(value, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        int before = (int)chosen;
        while (isspace((unsigned char)*word))
            word++;
        for (u32 i = 0; i < count && chosen < MAX_CARDS; i++) {
            int named = isdigit((unsigned char)*word) ? (u32)atoi(word) == i
                        : !strncmp(word, "GPU-", 4) && !strncmp(cards[reach[i]].uuid, word, strlen(word));
            if (named)
                used[chosen++] = reach[i];
        }
        if ((int)chosen == before)
            break;
    }
    return chosen;
}

u32 card_processes(const struct card *card, struct process *found, u32 max) {
    u32 place = (u32)(card - cards), count = 0, used[MAX_CARDS];
    struct dirent *entry;
    DIR *proc = opendir("/proc");
    while (proc && count < max && (entry = readdir(proc))) {
        u32 pid = (u32)strtoul(entry->d_name, NULL, 10);
        if (!pid || !maps_software_gpu(pid))
            continue;
        u32 many = used_cards(pid, used);
        for (u32 i = 0; i < many; i++)
            if (used[i] == place)
                found[count++] = (struct process){pid, resident(pid) / many};
    }
    if (proc)
        closedir(proc);
    return count;
}

int process_name(u32 pid, char *name, u32 size) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "r");
    size_t read = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[read] = 0;
    snprintf(name, size, "%s", text);
    return read > 0;
}
