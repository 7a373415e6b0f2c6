// NCCL by its C interface. Tested by tests/finetune/nccl_test.cc.
#include "finetune/train/nccl.h"

#include <ATen/ATen.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace finetune {
namespace {

// Of nccl.h, the same since NCCL 2.0.
struct UniqueId {
  char bytes[128];
};
constexpr int kSuccess{0}, kInProgress{7}, kSum{0};

int type_of(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return 7;
  if (tensor.scalar_type() == at::kDouble) return 8;
  if (tensor.scalar_type() == at::kLong) return 4;
  throw base::Error({"a sum over GPUs of a type that has none", "", c10::toString(tensor.scalar_type()),
                     "float32, float64 or int64", ""});
}

}  // namespace

struct Nccl::Functions {
  int (*get_unique_id)(UniqueId*);
  int (*comm_init_rank)(void**, int, UniqueId, int);
  int (*all_reduce)(const void*, void*, std::size_t, int, int, void*, void*);
  int (*comm_get_async_error)(void*, int*);
  int (*comm_abort)(void*);
  const char* (*get_error_string)(int);
};

Nccl::Nccl(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw base::Error({"NCCL cannot be opened", library, dlerror(), "", ""});
  auto functions = std::make_unique<Functions>();
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (!function) throw base::Error({"no library of NCCL", library, "", fmt::format("one that has {}", name), ""});
  };
  find(functions->get_unique_id, "ncclGetUniqueId");
  find(functions->comm_init_rank, "ncclCommInitRank");
  find(functions->all_reduce, "ncclAllReduce");
  find(functions->comm_get_async_error, "ncclCommGetAsyncError");
  find(functions->comm_abort, "ncclCommAbort");
  find(functions->get_error_string, "ncclGetErrorString");
  nccl_ = std::move(functions);
}

// Not ncclCommDestroy, which waits for the others: they may have ended.
Nccl::~Nccl() {
  if (group_) nccl_->comm_abort(group_);
}

void Nccl::check(int result) const {
  if (result == kSuccess || result == kInProgress) return;
  throw base::Error({"NCCL failed", "", nccl_->get_error_string(result), "", "NCCL_DEBUG=INFO makes it say more"});
}

std::string Nccl::new_id() const {
  UniqueId id;
  check(nccl_->get_unique_id(&id));
  return {id.bytes, sizeof id.bytes};
}

void Nccl::join(const std::string& id, int rank, int size) {
  UniqueId of_group;
  if (id.size() != sizeof of_group.bytes) throw base::Error("not an id of a group of NCCL");
  std::memcpy(of_group.bytes, id.data(), id.size());
  check(nccl_->comm_init_rank(&group_, size, of_group, rank));
}

void Nccl::all_reduce(const at::Tensor& tensor, void* stream) const {
  void* numbers = tensor.mutable_data_ptr();
  const auto count = static_cast<std::size_t>(tensor.numel());
  check(nccl_->all_reduce(numbers, numbers, count, type_of(tensor), kSum, group_, stream));
}

void Nccl::check() const {
  int result{kSuccess};
  check(nccl_->comm_get_async_error(group_, &result));
  check(result);
}

}  // namespace finetune
