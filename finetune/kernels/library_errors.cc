// What LibTorch throws, in words for people. Tested by tests/finetune/library_errors_test.cc.
#include "finetune/kernels/library_errors.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "base/text.h"

namespace finetune {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) || dynamic_cast<const std::bad_alloc*>(&error)) return true;
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  if (!of_torch) return false;
  // LibTorch's allocator of the CPU, CUDA itself, its products' library.
  for (const char* text :
       {"DefaultCPUAllocator: can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"})
    if (of_torch->msg().find(text) != std::string::npos) return true;
  return false;
}

std::optional<base::Error> explain(const std::exception& error) {
  if (is_out_of_memory(error))
    return base::Error({"not enough memory", "", "", "",
                        "give it more (ulimit -v, the container's limit), or take a shorter --max-length, "
                        "--quantization nf4 or --dtype bfloat16; a training also takes less with fewer "
                        "--rows-per-batch and --gradient-checkpointing blocks"});
  if (const auto* of_torch = dynamic_cast<const c10::Error*>(&error))
    return base::Error({"an operation of LibTorch failed", "", base::split(of_torch->what_without_backtrace(), '\n')[0],
                        "", "please report it with the command line"});
  return std::nullopt;
}

}  // namespace finetune
