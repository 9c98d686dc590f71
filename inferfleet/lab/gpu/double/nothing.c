/* A library of the driver that has nothing in it: present by name, as the toolkit looks for it. */
__attribute__((visibility("default"))) const char inferfleet_lab_double[] = "a GPU double of inferfleet's lab";
