// Tensors as they lie in files: a type, a shape, bytes; and the number formats in which they lie.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// Element types of safetensors and GGUF files that we read. Block types, from kQ4_0 on, only occur in GGUF.
enum class DType {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4
};
constexpr bool is_block_type(DType type) { return type >= DType::kQ4_0; }

std::string_view name_of(DType type);  ///< "F32", "BF16", "Q8_0"
/// Elements and bytes of one block: 1 and the element size, or 32 and 18 (Q4_0), 256 and 144 (Q4_K) ...
std::size_t block_elements(DType type);
std::size_t block_bytes(DType type);

/// Bytes of a tensor. Throws Error for a negative size, 2^63 elements or bytes, or a row that is not whole blocks.
std::uint64_t byte_size(DType type, std::span<const std::int64_t> shape);

/// A tensor in a mapped file. `shape` is row-major, outermost first ([out, in] for a linear layer), also for GGUF.
struct TensorView {
  std::string name;
  DType type = DType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  ///< lives as long as the file object it came from
  std::int64_t elements() const;
};

float half_to_float(std::uint16_t half);
std::uint16_t float_to_half(float value);  ///< round to nearest even, overflow to infinity
constexpr float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
std::uint16_t float_to_bfloat16(float value);  ///< round to nearest even; NaN stays NaN

/// Expands floating and block types to float32, bit for bit as the PyPI `gguf` package's dequantize does.
/// `out.size()` must be the number of elements. Throws Error for integer types.
void to_float(DType type, std::span<const std::byte> bytes, std::span<float> out);
/// The reverse, for F32, F16, BF16 and the blocks of base/quantize.h.
std::vector<std::byte> from_float(DType type, std::span<const float> values);

}  // namespace base
