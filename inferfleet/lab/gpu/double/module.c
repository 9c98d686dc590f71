/* What modinfo reads of nvidia.ko; nothing can be loaded of it. */
#ifndef DRIVER_VERSION
#error "-DDRIVER_VERSION is missing"
#endif
#define INFO(name, text) __attribute__((section(".modinfo"), used)) static const char name[] = text
INFO(version, "version=" DRIVER_VERSION);
INFO(license, "license=" MODULE_LICENSE);
INFO(description, "description=GPU double of inferfleet's lab");
