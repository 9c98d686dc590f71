/* The parts of the nvidia-smi double, and what it asks of the NVML double. */
#ifndef SMI_H
#define SMI_H

#include "cards.h"

#define MAX_FIELDS 64

int nvmlInit_v2(void);
const char *nvmlErrorString(int error);
int nvmlDeviceGetCount_v2(u32 *count);
int nvmlDeviceGetHandleByIndex_v2(u32 index, void **device);

int field_known(const char *name, int apps);
void field_value(const char *name, u32 index, u32 count, void *device, int nounits, char *into, size_t size);
const char *unit_of_field(const char *name);
int same_bus(const char *one, const char *other);
void print_table(u32 count, void **devices);
void print_xml(u32 count, void **devices);

#endif
