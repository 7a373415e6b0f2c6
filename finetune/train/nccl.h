// Sums over the GPUs of several processes. Tested by tests/finetune/nccl_test.cc; not run on GPUs.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

namespace finetune {

/// NVIDIA's NCCL, which libtorch_cuda brings with it, opened at run time and called by its C interface (nccl.h 2.x):
/// LibTorch's own class for it needs CUDA's headers, and its symbols a GPU's libraries in every run.
class Nccl {
 public:
  /// Throws base::Error when the library cannot be opened or lacks a function.
  explicit Nccl(const std::string& library = "libnccl.so.2");
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  /// Of a group, made by one process for all; bytes.
  std::string new_id() const;
  /// Waits for the others of the group. Each process must have a GPU of its own, the current one. Throws base::Error.
  void join(const std::string& id, int rank, int size);
  /// `tensor` (contiguous; float32, float64 or int64) becomes its sum over the group when `stream`, a cudaStream_t, has
  /// come so far. Throws base::Error.
  void all_reduce(const at::Tensor& tensor, void* stream) const;
  /// Throws base::Error when a sum on its way has failed.
  void check() const;

 private:
  struct Functions;
  void check(int result) const;

  std::unique_ptr<const Functions> nccl_;
  void* group_ = nullptr;
};

}  // namespace finetune
