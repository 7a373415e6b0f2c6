// Where a run computes, in which type and with how many threads; and what the processor and this build of LibTorch
// can do. Tested by tests/finetune/train_start_test.cc.
#include "finetune/kernels/device.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/cpu/Utils.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/CPUBlas.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <array>
#include <exception>
#include <filesystem>

#include "base/error.h"

namespace finetune {
namespace {

// Empty when a CUDA device can be used, else why not. LibTorch asks once and for all whether CUDA is there, so its
// CUDA library must be open before the first question; the library is found through this program's run path.
const std::string& cuda_problem() {
  static const std::string kProblem = [] {
    bool has_node = false;
    for (const char* node : {"/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"}) has_node |= std::filesystem::exists(node);
    if (!has_node) return std::string("this machine has no NVIDIA device (/dev/nvidia0)");
    if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return std::string(dlerror());
    if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0)
      return std::string("LibTorch sees no usable CUDA device: is the NVIDIA driver loaded and new enough?");
    return std::string();
  }();
  return kProblem;
}

bool has(const char* unit) {
  const auto units = at::cpu::get_cpu_capabilities();
  return units.contains(unit) && units.at(unit).toBool();
}

// oneDNN may refuse what the processor has, where the system does not lend it (a sandbox) or DNNL_MAX_CPU_ISA forbids
// it; for products without tiles it says so by an exception alone.
bool has_products_of_bfloat16() {
  const std::array<at::BFloat16, 4> a{}, b{};
  std::array<float, 4> c{};
  try {
    at::native::cpublas::brgemm(2, 2, 2, 2, 2, 2, false, a.data(), b.data(), c.data(), true);
    at::native::cpublas::brgemm_release(true);
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

}  // namespace

at::Device choose_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (c10::is_privateuse1_backend_registered() && name == c10::get_privateuse1_backend())
    return at::Device(at::kPrivateUse1, 0);
  if (name != "cuda" && name != "auto")
    throw base::UsageError({"unknown device", "--device", name, "cpu, cuda or auto", ""});
  if (cuda_problem().empty()) {
    // cuDNN's attention makes a plan for every length that it meets, in a tenth of a second and more.
    at::globalContext().setSDPUseCuDNN(false);
    return at::Device(at::kCUDA, 0);
  }
  if (name == "auto") return at::kCPU;
  throw base::UsageError({"no CUDA device can be used: " + cuda_problem(), "--device", "", "",
                          "use --device cpu, or install the whole wheel on a machine with a GPU: "
                          "pip install torch==" TORCH_VERSION});
}

int count_devices(at::Device device) {
  return device.is_cuda() ? static_cast<int>(at::detail::getCUDAHooks().deviceCount()) : 1;
}

at::ScalarType choose_dtype(const std::string& name, at::Device device) {
  if (name == "auto") return device.is_cuda() ? at::kBFloat16 : at::kFloat;
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  throw base::UsageError({"unknown type of weights", "--dtype", name, "float32, bfloat16 or auto", ""});
}

void set_threads(int threads) {
  if (threads > 0) at::set_num_threads(threads);
}

bool has_vectors_of_sixteen() {
  static const bool kHas = has("avx512_f");
  return kHas;
}

bool multiplies_bfloat16() {
  static const bool kDoes = (has("avx512_bf16") || has_tiles()) && has_products_of_bfloat16();
  return kDoes;
}

bool has_tiles() {
  static const bool kHas = has("amx_bf16") && at::native::cpublas::could_pack(at::kBFloat16);
  return kHas;
}

std::string libtorch_details() {
  std::string text =
      fmt::format("LibTorch {}, CPU {}{}{}, {} threads\n", TORCH_VERSION, at::get_cpu_capability(),
                  multiplies_bfloat16() ? " + bfloat16" : "", has_tiles() ? " + AMX" : "", at::get_num_threads());
  if (cuda_problem().empty()) {
    text += fmt::format("CUDA: {} device(s)\n", at::detail::getCUDAHooks().deviceCount());
  } else {
    text += fmt::format("CUDA: none, {}\n", cuda_problem());
  }
  return text;
}

}  // namespace finetune
