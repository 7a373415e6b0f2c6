// Rows in int8: bitsandbytes' int8_vectorwise_quant and int8_vectorwise_dequant. Tested by
// tests/finetune/quantized_test.cc.
#include "finetune/weights/eight_bits.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "base/error.h"
#include "finetune/weights/expand.h"

namespace finetune {
namespace {

constexpr auto kStep = static_cast<float>(7.874015718698502e-3);  // 1 / 127, as bitsandbytes writes it
constexpr std::int64_t kPiece = std::int64_t{1} << 15;            // numbers

}  // namespace

void EightBitRows::expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const {
  const at::Tensor bytes = bytes_.narrow(0, first, out.size(0)).narrow(1, column, out.size(1)),
                   scales = scales_.narrow(0, first, out.size(0));
  if (passes == Passes::kFused) return expand::eight_bits(bytes, scales, kStep, out);
  out.copy_(bytes.to(at::kFloat).mul_(scales.unsqueeze(1)).mul_(kStep));
}

// A few rows at a time: copies of a whole matrix beside what stays leave holes of their size in malloc's heap.
EightBits quantize_int8(const at::Tensor& weight, const std::string& where) {
  const std::int64_t rows{weight.size(0)}, step{std::max<std::int64_t>(1, kPiece / weight.size(1))};
  EightBits kept{at::empty(weight.sizes(), at::kChar), at::empty({rows}, at::kFloat)};
  at::parallel_for(0, rows, step, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += step) {
      const std::int64_t count{std::min(step, end - first)};
      const at::Tensor half = weight.narrow(0, first, count).to(at::kHalf).to(at::kFloat);
      if (!at::isfinite(half).all().item<bool>())
        throw base::Error({"a weight that cannot be quantised to int8", where, "",
                           "finite numbers that float16 can hold, as LLM.int8() keeps them",
                           "use --quantization nf4 or none"});
      at::Tensor scales = kept.scales.narrow(0, first, count), bytes = kept.bytes.narrow(0, first, count);
      scales.copy_(half.abs().amax(1));
      const at::Tensor factors = scales.unsqueeze(1).reciprocal().mul_(127.0);  // Python's 127 / scales
      bytes.copy_(half.mul(factors).nan_to_num_(0).round_());                   // a row of zeros
    }
  });
  return kept;
}

EightBits kept_eight_bits(const lora::PackedParts& parts, std::int64_t rows) {
  at::Tensor bytes = at::empty({rows, parts.block}, at::kChar), scales = at::empty({rows}, at::kFloat);
  std::ranges::copy(parts.bytes, static_cast<std::byte*>(bytes.mutable_data_ptr()));
  std::ranges::copy(parts.scales.plain, scales.mutable_data_ptr<float>());
  return {bytes, scales};
}

}  // namespace finetune
