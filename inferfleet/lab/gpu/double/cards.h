/* The cards of this lab host, as the conf file declares them and the device nodes show them.
 *
 * Conf: /etc/gpu-double.conf on the host; in a container the same file under the name of one that the real
 * nvidia-ctk mounts into every GPU container. It is read anew for every answer, so a switch takes effect at once. */
#ifndef CARDS_H
#define CARDS_H

#include <stddef.h>

#define MAX_CARDS 16
#define MAX_MIG 8
#define MAX_PROCESSES 256
#define MIB 1048576ULL

typedef unsigned int u32;
typedef unsigned long long u64;

struct card {
    char name[96], uuid[80], serial[24], pci[32], mig[96];
    u32 minor, device_id, subsystem_id, cc_major, cc_minor, arch, brand, nvlinks, nvswitch;
    u32 has_ecc, mig_slices, persistence, lost, remap_pending, temperature, power_limit_w;
    u64 memory_mib, ecc_corrected, ecc_uncorrected;
    u32 open_error; /* errno of opening its node, 0 where a driver would have answered */
};

struct process {
    u32 pid;
    u64 used; /* bytes */
};

extern struct card cards[MAX_CARDS];  /* as declared, in the order of the bus */
extern u32 visible[MAX_CARDS];        /* NVML's index -> place in `cards`: those whose node is here and may be opened */
extern u32 card_count, visible_count;
extern char loaded[64];               /* version of the loaded module; empty: none */
extern u32 fabric_state;              /* NVML_GPU_FABRIC_STATE_*, as the Fabric Manager left it */

int cards_load(void);                 /* an nvmlReturn_t: what nvmlInit would say */
const char *library_version(void);    /* installed: from the name of the library file */
u32 cuda_version(const char *driver); /* 13000 for a driver of branch 580 */

/* The MIG devices of a card: GPU instance number `n` of profile `slices`g. 0 where there is no such one. */
struct mig_device {
    u32 gi, slices, profile_id;
    u64 memory_mib;
    char uuid[80];
};
u32 mig_devices(const struct card *card, struct mig_device *found);

u32 card_processes(const struct card *card, struct process *found, u32 max);
int process_name(u32 pid, char *name, u32 size);

#endif
