// LibTorch's device for others' backends ("PrivateUse1"): every operation goes by way of the processor's.
#include "tests/finetune/strict_device.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/mman.h>
#include <torch/library.h>

#include <atomic>
#include <bit>
#include <map>
#include <mutex>
#include <set>

namespace strict_device {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
constexpr std::size_t kBytes = std::size_t{1} << 30;

const at::Device& device() {
  static const at::Device kDevice(kType, 0);
  return kDevice;
}

std::atomic<std::int64_t> computed = 0;

// One region, closed to all but what runs between open() and close().
class Memory {
 public:
  Memory() {
    begin_ = static_cast<char*>(mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    TORCH_CHECK(begin_ != MAP_FAILED, "no memory for the strict device");
  }
  void* allocate(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    bytes = std::bit_ceil(std::max<std::size_t>(bytes, 64));
    std::vector<char*>& free = free_[bytes];
    char* place = nullptr;
    if (!free.empty()) {
      place = free.back();
      free.pop_back();
    } else {
      TORCH_CHECK(used_ + bytes <= kBytes, "the strict device is full");
      place = begin_ + used_;
      used_ += bytes;
      if (users_ > 0) protect(PROT_READ | PROT_WRITE);
    }
    sizes_[place] = bytes;
    return place;
  }
  void release(void* place) {
    const std::scoped_lock lock(mutex_);
    const auto size = sizes_.find(static_cast<char*>(place));
    free_[size->second].push_back(size->first);
    sizes_.erase(size);
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    if (users_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    if (--users_ == 0) protect(PROT_NONE);
  }

 private:
  void protect(int how) {
    if (used_ > 0) mprotect(begin_, (used_ + 4095) / 4096 * 4096, how);
  }

  std::mutex mutex_;
  char* begin_ = nullptr;
  std::size_t used_ = 0;
  int users_ = 0;
  std::map<std::size_t, std::vector<char*>> free_;  // by size
  std::map<char*, std::size_t> sizes_;
};

Memory& memory() {
  static auto* const kMemory = new Memory;  // tensors may outlive what is destroyed at the end
  return *kMemory;
}

struct Open {
  Open() { memory().open(); }
  ~Open() { memory().close(); }
};

class Allocator : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* place = bytes == 0 ? nullptr : memory().allocate(bytes);
    return {place, place, &release, device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    const Open open;
    std::memcpy(to, from, bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override { return {}; }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex) override { return {kBytes, kBytes}; }

 private:
  static void release(void* place) {
    if (place) memory().release(place);
  }
};

Allocator& allocator() {
  static auto* const kAllocator = new Allocator;
  return *kAllocator;
}

struct Guard final : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device exchangeDevice(c10::Device) const override { return device(); }
  c10::Device getDevice() const override { return device(); }
  c10::Stream getStream(c10::Device) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, device()); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, device());
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
};

// The same numbers as a tensor of the processor: for operations, within Open.
at::Tensor opened(const at::Tensor& x) {
  if (!x.is_privateuseone()) return x;
  return at::from_blob(x.numel() == 0 ? nullptr : x.data_ptr(), x.sizes(), x.strides(), x.options().device(at::kCPU));
}

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  const Open open;
  opened(to).copy_(opened(from));
  return to;
}

const at::Tensor& resize_in_place(const at::Tensor& x, c10::IntArrayRef size, std::optional<at::MemoryFormat>) {
  const c10::Storage& storage = x.storage();
  const std::size_t bytes =
      static_cast<std::size_t>(c10::multiply_integers(size) + x.storage_offset()) * x.element_size();
  if (bytes > storage.nbytes()) {
    c10::DataPtr larger = allocator().allocate(bytes);
    if (storage.nbytes() > 0) allocator().copy_data(larger.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr_noswap(std::move(larger));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
  x.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  return x;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) resize_in_place(to, from.sizes(), {});
  return copy_from(from, to, false);
}

// On a GPU a tensor of the processor beside one of the GPU is an error, but for a single number, and for indices.
void check_places(const c10::OperatorHandle& operation, const torch::jit::Stack& stack) {
  static const std::set<std::string> kTakesIndices = {"aten::index", "aten::index_put_", "aten::_index_put_impl_"};
  const std::string& name = operation.schema().name();
  const auto check = [&](const at::Tensor& x) {
    const bool is_number{x.defined() && x.is_cpu() && x.dim() == 0};
    const bool is_index{x.defined() && x.is_cpu() && kTakesIndices.contains(name) && x.scalar_type() == at::kLong};
    TORCH_CHECK(!x.defined() || x.is_privateuseone() || is_number || is_index,
                "Expected all tensors to be on the same ", "device, but ", name, " got one of the processor, ",
                x.sizes(), ", beside one of the strict device");
  };
  const std::size_t count = operation.schema().arguments().size();
  for (const c10::IValue& argument : c10::ArrayRef<c10::IValue>(stack.data() + stack.size() - count, count)) {
    if (argument.isTensor()) check(argument.toTensor());
    if (argument.isTensorList())
      for (const at::Tensor& x : argument.toTensorVector()) check(x);
    if (argument.isOptionalTensorList())
      for (const std::optional<at::Tensor>& x : argument.toOptionalTensorVector())
        if (x) check(*x);
  }
}

void compute(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  check_places(operation, *stack);
  ++computed;
  at::native::cpu_fallback(operation, stack, true);  // what it copies is opened by copy_from
}

// Not from_blob and its kin: what the processor may not read.
at::Scalar number_of(const at::Tensor& x) {
  const Open open;
  return opened(x).item();
}

// Before the first backward pass, for which LibTorch counts devices once and for all.
[[maybe_unused]] const bool kIsAsked = [] {
  const char* name = std::getenv("HORNBOOK_TEST_DEVICE");
  const bool is_asked{name && std::string_view(name) == kName};
  if (is_asked) install();
  return is_asked;
}();

}  // namespace

std::int64_t operations() { return computed; }

at::Device install() {
  static const bool kIsInstalled = [] {
    c10::register_privateuse1_backend(kName);
    c10::SetAllocator(kType, &allocator());
    static const Guard kGuard;
    c10::impl::DeviceGuardImplRegistrar(kType, &kGuard);
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    static torch::Library all(torch::Library::IMPL, "_", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
    all.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>());
    static torch::Library aten(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
    aten.impl("empty.memory_format", &empty);
    aten.impl("empty_strided", &empty_strided);
    aten.impl("_copy_from", &copy_from);
    aten.impl("_copy_from_and_resize", &copy_from_and_resize);
    aten.impl("resize_", &resize_in_place);
    aten.impl("as_strided", &at::native::as_strided_tensorimpl);
    aten.impl("view", &at::native::view);
    aten.impl("unfold", &at::native::unfold);
    aten.impl("_reshape_alias", &at::native::_reshape_alias);
    aten.impl("_local_scalar_dense", &number_of);
    return true;
  }();
  (void)kIsInstalled;
  return device();
}

}  // namespace strict_device
