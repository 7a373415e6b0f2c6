// Functions that are compiled for several processors.
#pragma once

// A function with this is compiled three times, and the loader takes the best that the processor has. It does not
// apply to templates and lambdas: one plain function for each type and operation. Sanitizers are not ready yet when the
// loader chooses.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define BASE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BASE_CLONES
#endif
