/* A double of libcuda.so.1: it is there and knows its version, but finds no device; nothing computes with CUDA here. */
#include "cards.h"

__attribute__((visibility("default"))) int cuInit(u32 flags) { (void)flags; return 100; /* CUDA_ERROR_NO_DEVICE */ }
__attribute__((visibility("default"))) int cuDriverGetVersion(int *version) {
    *version = (int)cuda_version(library_version());
    return 0;
}
