// Flash attention over packed documents. Tested by tests/finetune/kernels_test.cc, with HORNBOOK_TEST_DEVICE=cuda.
#include "finetune/kernels/varlen_attention.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

namespace finetune::varlen {
namespace {

// Where each document begins, and where the last one ends: int32 on the device. All layers of a batch ask for the same,
// and a copy to the device waits for what is under way there.
const at::Tensor& bounds_of(const std::vector<std::int64_t>& lengths, at::Device device) {
  static thread_local std::vector<std::int64_t> known;
  static thread_local at::Tensor bounds;
  if (bounds.defined() && bounds.device() == device && known == lengths) return bounds;
  std::vector<std::int32_t> places(lengths.size() + 1);
  std::partial_sum(lengths.begin(), lengths.end(), places.begin() + 1,
                   [](auto sum, auto length) { return static_cast<std::int32_t>(sum + length); });
  bounds = at::tensor(places, at::kInt).to(device);
  known = lengths;
  return bounds;
}

struct Parts {
  at::Tensor q, k, v;  // [T, heads, head_dim], slices of one tensor
};
Parts parts_of(const at::Tensor& heads, const AttentionShape& shape) {
  return {heads.narrow(1, 0, shape.heads), heads.narrow(1, shape.heads, shape.kv_heads),
          heads.narrow(1, shape.heads + shape.kv_heads, shape.kv_heads)};
}

// Tokens before and behind a token that it sees at most; nothing: all.
struct Window {
  std::optional<std::int64_t> left, right;
};
Window window_of(const AttentionShape& shape) {
  if (shape.window == 0) return {};
  return {shape.window - 1, 0};
}

std::tuple<at::Tensor, at::Tensor> flash(const at::Tensor& heads, const AttentionShape& shape,
                                         const std::vector<std::int64_t>& lengths) {
  const Parts parts = parts_of(heads, shape);
  const at::Tensor& bounds = bounds_of(lengths, heads.device());
  const Window window = window_of(shape);
  const std::int64_t longest{*std::ranges::max_element(lengths)};
  const auto [out, log_sums, seed, unused, mask] =
      at::_flash_attention_forward(parts.q, parts.k, parts.v, bounds, bounds, longest, longest, 0.0, true, false,
                                   scale_of(shape), window.left, window.right);
  return {out, log_sums};
}

// Without it the backward pass adds up what blocks give in the order in which they end.
class DeterministicAlgorithms {
 public:
  DeterministicAlgorithms()
      : was_(at::globalContext().deterministicAlgorithms()),
        only_warned_(at::globalContext().deterministicAlgorithmsWarnOnly()),
        filled_(at::globalContext().deterministicFillUninitializedMemory()) {
    at::globalContext().setDeterministicAlgorithms(true, false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
  ~DeterministicAlgorithms() {
    at::globalContext().setDeterministicAlgorithms(was_, only_warned_);
    at::globalContext().setDeterministicFillUninitializedMemory(filled_);
  }
  DeterministicAlgorithms(const DeterministicAlgorithms&) = delete;
  DeterministicAlgorithms& operator=(const DeterministicAlgorithms&) = delete;

 private:
  bool was_, only_warned_, filled_;
};

// Asked by trying: LibTorch tells its devices' abilities to CUDA programs alone.
bool has_flash(at::Device device) {
  static const bool kHas = [device] {
    try {
      flash(at::zeros({8, 3, 64}, at::TensorOptions(device).dtype(at::kBFloat16)), {1, 1, 64}, {8});
      return true;
    } catch (const c10::Error&) {
      return false;
    }
  }();
  return kHas;
}

}  // namespace

bool handles(const at::Tensor& heads, const AttentionShape& shape) {
  return heads.is_cuda() && heads.scalar_type() == at::kBFloat16 && shape.softcap == 0 && shape.slopes.empty() &&
         shape.head_dim % 8 == 0 && shape.head_dim <= 256 && has_flash(heads.device());
}

blocked::Result forward(const at::Tensor& heads, const AttentionShape& shape,
                        const std::vector<std::int64_t>& lengths) {
  const auto [out, log_sums] = flash(heads, shape, lengths);
  return {out.view({heads.size(0), -1}), log_sums};
}

at::Tensor backward(const at::Tensor& dout, const at::Tensor& heads, const blocked::Result& result,
                    const AttentionShape& shape, const std::vector<std::int64_t>& lengths) {
  const Parts parts = parts_of(heads, shape);
  const at::Tensor& bounds = bounds_of(lengths, heads.device());
  const Window window = window_of(shape);
  const std::int64_t longest{*std::ranges::max_element(lengths)};
  const at::Tensor no_dropout = at::empty({2}, heads.options().dtype(at::kLong));
  const DeterministicAlgorithms deterministic;
  const auto [dq, dk, dv] = at::_flash_attention_backward(
      dout.view(parts.q.sizes()), parts.q, parts.k, parts.v, result.out.view(parts.q.sizes()), result.log_sums, bounds,
      bounds, longest, longest, 0.0, true, no_dropout, no_dropout, scale_of(shape), window.left, window.right);
  return at::cat({dq, dk, dv}, 1);
}

}  // namespace finetune::varlen
