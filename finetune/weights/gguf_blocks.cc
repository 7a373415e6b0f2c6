// Blocks of a GGUF by ATen's operations, for any device: products and sums in the order of base/blocks.cc, where each
// layout is told. Tested by tests/finetune/quantized_test.cc.
#include <ATen/ATen.h>

#include <vector>

#include "base/error.h"
#include "finetune/weights/gguf_rows.h"

namespace finetune {
namespace {

using at::Tensor;

// Of n blocks: bytes [first, first + count) as integers [n, count].
Tensor integers(const Tensor& blocks, std::int64_t first, std::int64_t count) {
  return blocks.narrow(1, first, count).to(at::kInt);
}

Tensor signed_integers(const Tensor& blocks, std::int64_t first, std::int64_t count) {
  return blocks.narrow(1, first, count).contiguous().view(at::kChar).to(at::kInt);
}

// The half at `first`: [n, 1] float32.
Tensor half_at(const Tensor& blocks, std::int64_t first) {
  return blocks.narrow(1, first, 2).contiguous().view(at::kHalf).to(at::kFloat);
}

Tensor low_bits(const Tensor& x, std::int64_t shift, std::int64_t mask) {
  return x.bitwise_right_shift(shift).bitwise_and(mask);
}

// Each of `shifts` in turn of all of x [n, ...]: [n, shifts, ...] & mask.
Tensor shifted(const Tensor& x, const std::vector<std::int64_t>& shifts, std::int64_t mask) {
  std::vector<Tensor> parts;
  for (const std::int64_t shift : shifts) parts.push_back(low_bits(x, shift, mask));
  return at::stack(parts, 1);
}

// Bytes [n, count] -> [n, 2 count]: all lower nibbles, then all upper ones.
Tensor nibbles(const Tensor& bytes) { return shifted(bytes, {0, 4}, 15).flatten(1); }

// The bits of 4 bytes from `first` on: [n, 32].
Tensor bits_of_word(const Tensor& blocks, std::int64_t first) {
  return shifted(integers(blocks, first, 4), {0, 1, 2, 3, 4, 5, 6, 7}, 1).transpose(1, 2).flatten(1);
}

Tensor code_table(const std::vector<float>& values, const Tensor& numbers) {
  const Tensor table = at::tensor(values).to(numbers.device());
  return table.index_select(0, numbers.reshape({-1})).view(numbers.sizes());
}

Tensor non_linear(const Tensor& numbers) {
  return code_table({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}, numbers);
}

// x [n, groups] for each of `size` elements of a group: [n, groups, 1].
Tensor by_group(const Tensor& x) { return x.unsqueeze(2); }

Tensor q4_0(const Tensor& b) { return half_at(b, 0) * (nibbles(integers(b, 2, 16)) - 8); }
Tensor q4_1(const Tensor& b) { return half_at(b, 0) * nibbles(integers(b, 4, 16)) + half_at(b, 2); }
Tensor q5_0(const Tensor& b) { return half_at(b, 0) * ((nibbles(integers(b, 6, 16)) | bits_of_word(b, 2) * 16) - 16); }
Tensor q5_1(const Tensor& b) {
  return half_at(b, 0) * (nibbles(integers(b, 8, 16)) | bits_of_word(b, 4) * 16) + half_at(b, 2);
}
Tensor q8_0(const Tensor& b) { return signed_integers(b, 2, 32) * half_at(b, 0); }

Tensor q2_k(const Tensor& b) {
  const Tensor pairs = integers(b, 0, 16);
  const Tensor scale = half_at(b, 80) * low_bits(pairs, 0, 15), minimum = half_at(b, 82) * low_bits(pairs, 4, 15);
  const Tensor quants = integers(b, 16, 64).view({-1, 2, 32});  // two halves
  const Tensor q = shifted(quants, {0, 2, 4, 6}, 3).transpose(1, 2).reshape({-1, 16, 16});
  return by_group(scale) * q - by_group(minimum);
}

Tensor q3_k(const Tensor& b) {
  const Tensor low = shifted(integers(b, 96, 8), {0, 4}, 15).flatten(1);        // [n, 16]
  const Tensor top = shifted(integers(b, 104, 4), {0, 2, 4, 6}, 3).flatten(1);  // [n, 16]
  const Tensor scale = half_at(b, 108) * ((low | top * 16) - 32);
  const Tensor quants = integers(b, 32, 64).view({-1, 2, 32});
  const Tensor q = shifted(quants, {0, 2, 4, 6}, 3).transpose(1, 2).reshape({-1, 16, 16});
  const Tensor high = shifted(integers(b, 0, 32), {0, 1, 2, 3, 4, 5, 6, 7}, 1).reshape({-1, 16, 16});
  return by_group(scale) * (q - (1 - high) * 4);
}

Tensor q4_or_q5_k(const Tensor& b, bool five_bits) {
  const Tensor scales = integers(b, 4, 12);
  const auto part = [&](std::int64_t first) { return scales.narrow(1, first, 4); };
  const Tensor scale_bits = at::cat({part(0) & 63, (part(8) & 15) | low_bits(part(0), 2, 0x30)}, 1);
  const Tensor minimum_bits = at::cat({part(4) & 63, low_bits(part(8), 4, 15) | low_bits(part(4), 2, 0x30)}, 1);
  const Tensor scale = half_at(b, 0) * scale_bits, minimum = half_at(b, 2) * minimum_bits;
  const Tensor quants = integers(b, five_bits ? 48 : 16, 128).view({-1, 4, 32});
  Tensor q = shifted(quants, {0, 4}, 15).transpose(1, 2).reshape({-1, 8, 32});
  if (five_bits) q = q | shifted(integers(b, 16, 32), {0, 1, 2, 3, 4, 5, 6, 7}, 1) * 16;
  return by_group(scale) * q - by_group(minimum);
}

Tensor q6_k(const Tensor& b) {
  const Tensor low = shifted(integers(b, 0, 128).view({-1, 2, 64}), {0, 4}, 15);         // [n, shift, half, 64]
  const Tensor high = shifted(integers(b, 128, 64).view({-1, 2, 32}), {0, 2, 4, 6}, 3);  // [n, shift, half, 32]
  const Tensor q = (low.transpose(1, 2).reshape({-1, 256}) | high.transpose(1, 2).reshape({-1, 256}) * 16) - 32;
  return by_group(half_at(b, 208) * signed_integers(b, 192, 16)) * q.view({-1, 16, 16});
}

Tensor iq4_nl(const Tensor& b) { return half_at(b, 0) * non_linear(nibbles(integers(b, 2, 16))); }

Tensor iq4_xs(const Tensor& b) {
  const Tensor low = shifted(integers(b, 4, 4), {0, 4}, 15).transpose(1, 2).flatten(1);        // [n, 8]
  const Tensor high = shifted(integers(b, 2, 2), {0, 2, 4, 6}, 3).transpose(1, 2).flatten(1);  // [n, 8]
  const Tensor scale = half_at(b, 0) * ((low | high * 16) - 32);
  return by_group(scale) *
         non_linear(shifted(integers(b, 8, 128).view({-1, 8, 16}), {0, 4}, 15).transpose(1, 2).reshape({-1, 8, 32}));
}

Tensor mxfp4(const Tensor& b) {
  const Tensor exponent = integers(b, 0, 1);
  const Tensor bits =
      at::where(exponent.lt(2), at::full_like(exponent, 0x00200000).bitwise_left_shift(exponent.clamp_max(1)),
                (exponent - 1).bitwise_left_shift(23));
  const Tensor values =
      code_table({0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}, nibbles(integers(b, 1, 16)));
  return bits.view(at::kFloat) * values;
}

Tensor expanded(base::DType type, const Tensor& b) {
  switch (type) {
    case base::DType::kQ4_0:
      return q4_0(b);
    case base::DType::kQ4_1:
      return q4_1(b);
    case base::DType::kQ5_0:
      return q5_0(b);
    case base::DType::kQ5_1:
      return q5_1(b);
    case base::DType::kQ8_0:
      return q8_0(b);
    case base::DType::kQ2_K:
      return q2_k(b);
    case base::DType::kQ3_K:
      return q3_k(b);
    case base::DType::kQ4_K:
      return q4_or_q5_k(b, false);
    case base::DType::kQ5_K:
      return q4_or_q5_k(b, true);
    case base::DType::kQ6_K:
      return q6_k(b);
    case base::DType::kIQ4_NL:
      return iq4_nl(b);
    case base::DType::kIQ4_XS:
      return iq4_xs(b);
    case base::DType::kMXFP4:
      return mxfp4(b);
    default:
      throw base::Error({"not a type of blocks", "", std::string(base::name_of(type)), "", ""});
  }
}

}  // namespace

at::Tensor expand_blocks(base::DType type, const at::Tensor& blocks) {
  return expanded(type, blocks).reshape({blocks.size(0), static_cast<std::int64_t>(base::block_elements(type))});
}

}  // namespace finetune
