// Where a run computes, in which type and with how many threads; and what the processor and this build of LibTorch
// can do.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace finetune {

/// "cpu", "cuda", or "auto": a CUDA device when there is one. The CUDA half of LibTorch (0.5 s and hundreds of
/// megabytes) is opened here, when an NVIDIA device node exists, and nowhere else. A process that has made a
/// device of its own known to LibTorch ("PrivateUse1"), as a test does, may give its name. Throws base::UsageError
/// when "cuda" is asked for and is not there.
at::Device choose_device(const std::string& name);

/// "float32", "bfloat16", or "auto": bfloat16 on CUDA, float32 on the CPU. Throws base::UsageError for other names.
at::ScalarType choose_dtype(const std::string& name, at::Device device);

/// Devices like `device` that this process sees; 1 of the CPU.
int count_devices(at::Device device);

/// Threads of LibTorch's operations; 0 leaves LibTorch's own choice (one a core).
void set_threads(int threads);

/// Whether the processor has AVX-512.
bool has_vectors_of_sixteen();
/// Whether the processor multiplies bfloat16 itself (avx512_bf16 or AMX), faster than float32.
bool multiplies_bfloat16();
/// Whether it does so in tiles (AMX): sixteen times as fast as float32.
bool has_tiles();

/// Lines for --version: LibTorch's version, the CPU's vector units that it uses, CUDA if there is a device.
std::string libtorch_details();

}  // namespace finetune
