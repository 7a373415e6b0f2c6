// Tensors as they lie in files: a type, a shape, bytes; and the number formats in which they lie. Tested by
// tests/base/tensor_test.cc.
#include "base/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/blocks.h"
#include "base/clones.h"
#include "base/error.h"
#include "base/quantize.h"

namespace base {
namespace {

struct TypeFacts {
  const char* name;
  std::size_t elements, bytes;
};

const TypeFacts& facts_of(DType type) {
  static constexpr TypeFacts kFacts[] = {
      {"F64", 1, 8},
      {"F32", 1, 4},
      {"F16", 1, 2},
      {"BF16", 1, 2},
      {"I64", 1, 8},
      {"I32", 1, 4},
      {"I16", 1, 2},
      {"I8", 1, 1},
      {"U8", 1, 1},
      {"BOOL", 1, 1},
      {"Q4_0", kSmallBlock, 18},
      {"Q4_1", kSmallBlock, 20},
      {"Q5_0", kSmallBlock, 22},
      {"Q5_1", kSmallBlock, 24},
      {"Q8_0", kSmallBlock, 34},
      {"Q2_K", kSuperBlock, 84},
      {"Q3_K", kSuperBlock, 110},
      {"Q4_K", kSuperBlock, 144},
      {"Q5_K", kSuperBlock, 176},
      {"Q6_K", kSuperBlock, 210},
      {"IQ4_NL", kSmallBlock, 18},
      {"IQ4_XS", kSuperBlock, 136},
      {"MXFP4", kSmallBlock, 17},
  };
  return kFacts[static_cast<std::size_t>(type)];
}

// Files are little-endian and so are the machines we build for.
static_assert(std::endian::native == std::endian::little);

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

std::string_view name_of(DType type) { return facts_of(type).name; }
std::size_t block_elements(DType type) { return facts_of(type).elements; }
std::size_t block_bytes(DType type) { return facts_of(type).bytes; }

std::int64_t TensorView::elements() const {
  std::int64_t product = 1;
  for (std::int64_t size : shape) product *= size;
  return product;
}

std::uint64_t byte_size(DType type, std::span<const std::int64_t> shape) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const TypeFacts& facts = facts_of(type);
  std::string text;
  for (std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  auto fail = [&](std::string expected) {
    throw Error({"impossible tensor shape", "", fmt::format("{} [{}]", facts.name, text), std::move(expected), ""});
  };
  std::uint64_t elements = 1;
  bool empty = false;
  for (std::int64_t size : shape) {
    if (size < 0) fail("no negative size");
    // Sizes are multiplied without the zeros, so that a zero does not hide an overflow.
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(size), &elements) || elements > kMost) {
      fail("fewer than 2^63 elements");
    }
  }
  std::uint64_t row = shape.empty() ? 1 : static_cast<std::uint64_t>(shape.back());
  if (row % facts.elements != 0) fail(fmt::format("rows that are a multiple of {} elements", facts.elements));
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements / facts.elements, facts.bytes, &bytes) || bytes > kMost)
    fail("fewer than 2^63 bytes");
  return empty ? 0 : bytes;
}

float half_to_float(std::uint16_t half) {
  // Exponent and mantissa are moved to their float32 places; the exponent's bias differs by 127 - 15.
  std::uint32_t bits = static_cast<std::uint32_t>(half & 0x7fff) << 13;
  std::uint32_t exponent = bits & (0x7c00u << 13);
  bits += (127u - 15u) << 23;
  if (exponent == 0x7c00u << 13) {  // infinity or NaN
    bits += (128u - 16u) << 23;
  } else if (exponent == 0) {  // zero or subnormal: a float with a hidden one too many, which is taken away
    bits = std::bit_cast<std::uint32_t>(std::bit_cast<float>(bits + (1u << 23)) - 0x1.0p-14f);
  }
  return std::bit_cast<float>(bits | static_cast<std::uint32_t>(half & 0x8000) << 16);
}

std::uint16_t float_to_half(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  std::uint32_t sign = bits & 0x80000000u;
  bits ^= sign;
  std::uint32_t half;
  if (bits >= 0x47800000u) {  // 65536 and above, infinity, NaN
    half = bits > 0x7f800000u ? 0x7e00 : 0x7c00;
  } else if (bits < 113u << 23) {  // below 2^-14: the float adder shifts and rounds the mantissa for us
    constexpr std::uint32_t kMagic = ((127u - 15u) + (23u - 10u) + 1u) << 23;
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(bits) + std::bit_cast<float>(kMagic)) - kMagic;
  } else {
    half = (bits - ((127u - 15u) << 23) + 0xfff + (bits >> 13 & 1)) >> 13;
  }
  return static_cast<std::uint16_t>(half | sign >> 16);
}

namespace {

// Without a branch, so that a loop of them is vectors.
inline std::uint16_t bfloat16_of(std::uint32_t bits) {
  const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 64;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

using Bits __attribute__((may_alias)) = std::uint32_t;
using Halves __attribute__((may_alias)) = std::uint16_t;

BASE_CLONES void round_to_bfloat16(const Bits* bits, std::size_t n, Halves* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = bfloat16_of(bits[i]);
}

BASE_CLONES void widen_bfloat16(const Halves* stored, std::size_t n, Bits* bits) {
  for (std::size_t i = 0; i < n; ++i) bits[i] = static_cast<std::uint32_t>(stored[i]) << 16;
}

}  // namespace

std::uint16_t float_to_bfloat16(float value) { return bfloat16_of(std::bit_cast<std::uint32_t>(value)); }

void to_float(DType type, std::span<const std::byte> bytes, std::span<float> out) {
  const TypeFacts& facts = facts_of(type);
  if (out.size() % facts.elements != 0 || bytes.size() != out.size() / facts.elements * facts.bytes)
    throw Error({"tensor of the wrong size", "", fmt::format("{} bytes of {}", bytes.size(), facts.name),
                 fmt::format("{} elements", out.size()), ""});
  auto expand = [&](auto from, auto convert) {
    using Stored = decltype(from);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(load<Stored>(bytes.data() + i * sizeof(Stored)));
  };
  switch (type) {
    case DType::kF64:
      return expand(double{}, [](double x) { return static_cast<float>(x); });
    case DType::kF32:
      if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case DType::kF16:
      return expand(std::uint16_t{}, half_to_float);
    case DType::kBF16:
      if (reinterpret_cast<std::uintptr_t>(bytes.data()) % 2 != 0) return expand(std::uint16_t{}, bfloat16_to_float);
      return widen_bfloat16(reinterpret_cast<const Halves*>(bytes.data()), out.size(),
                            reinterpret_cast<Bits*>(out.data()));
    default:
      break;
  }
  const ExpandBlock expand_block = block_expander(type);
  if (!expand_block) throw Error({"not a type of weights", "", facts.name, "F64, F32, F16, BF16 or blocks", ""});
  for (std::size_t i = 0; i < out.size() / facts.elements; ++i)
    expand_block(bytes.data() + i * facts.bytes, out.data() + i * facts.elements);
}

std::vector<std::byte> from_float(DType type, std::span<const float> values) {
  const TypeFacts& facts = facts_of(type);
  if (values.size() % facts.elements != 0)
    throw Error({"tensor of the wrong size", "", fmt::format("{} elements", values.size()),
                 fmt::format("a multiple of {} for {}", facts.elements, facts.name), ""});
  std::vector<std::byte> bytes(values.size() / facts.elements * facts.bytes);
  auto shrink = [&](auto convert) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint16_t stored = convert(values[i]);
      std::memcpy(bytes.data() + i * 2, &stored, 2);
    }
  };
  switch (type) {
    case DType::kF32:
      if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
      break;
    case DType::kF16:
      shrink(float_to_half);
      break;
    case DType::kBF16:
      round_to_bfloat16(reinterpret_cast<const Bits*>(values.data()), values.size(),
                        reinterpret_cast<Halves*>(bytes.data()));
      break;
    default:
      if (!can_quantize(type))
        throw Error({"cannot write this type", "", facts.name,
                     "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K or Q6_K", ""});
      quantize(type, values, bytes.data());
  }
  return bytes;
}

}  // namespace base
