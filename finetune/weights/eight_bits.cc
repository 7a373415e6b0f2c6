// Rows in int8: bitsandbytes' int8_vectorwise_quant and int8_vectorwise_dequant. Tested by
// tests/finetune/quantized_test.cc.
#include "finetune/weights/eight_bits.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "finetune/weights/expand.h"

namespace finetune {
namespace {

constexpr auto kStep = static_cast<float>(7.874015718698502e-3);  // 1 / 127, as bitsandbytes writes it

}  // namespace

void EightBitRows::expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const {
  const at::Tensor bytes = bytes_.narrow(0, first, out.size(0)).narrow(1, column, out.size(1)),
                   scales = scales_.narrow(0, first, out.size(0));
  if (passes == Passes::kFused) return expand::eight_bits(bytes, scales, kStep, out);
  out.copy_(bytes.to(at::kFloat).mul_(scales.unsqueeze(1)).mul_(kStep));
}

EightBits quantize_int8(const at::Tensor& weight, const std::string& where) {
  const at::Tensor half = weight.to(at::kHalf).to(at::kFloat);
  if (!at::isfinite(half).all().item<bool>())
    throw base::Error({"a weight that cannot be quantised to int8", where, "",
                       "finite numbers that float16 can hold, as LLM.int8() keeps them",
                       "use --quantization nf4 or none"});
  const at::Tensor scales = half.abs().amax(1);                             // [out]
  const at::Tensor factors = scales.unsqueeze(1).reciprocal().mul_(127.0);  // Python's 127 / scales
  const at::Tensor numbers = half.mul(factors).nan_to_num_(0);              // a row of zeros
  return {numbers.round_().to(at::kChar), scales};
}

EightBits kept_eight_bits(const lora::PackedParts& parts, std::int64_t rows) {
  at::Tensor bytes = at::empty({rows, parts.block}, at::kChar), scales = at::empty({rows}, at::kFloat);
  std::ranges::copy(parts.bytes, static_cast<std::byte*>(bytes.mutable_data_ptr()));
  std::ranges::copy(parts.scales.plain, scales.mutable_data_ptr<float>());
  return {bytes, scales};
}

}  // namespace finetune
