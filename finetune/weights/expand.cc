// Kept bits into numbers in CPU memory. Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/expand.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/blocks.h"

// Compiled three times, and the loader takes the best that the processor has: see finetune/kernels/fused_rows.cc.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FINETUNE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FINETUNE_CLONES
#endif

namespace finetune::expand {
namespace {

struct Bfloat16 {
  std::uint16_t bits;
};

inline void store(float& place, float value) { place = value; }
inline void store(Bfloat16& place, float value) {  // to nearest even; NaN stays NaN
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded{(bits + 0x7FFF + ((bits >> 16) & 1)) >> 16};
  place.bits = static_cast<std::uint16_t>(value == value ? rounded : 0x7FC0U);
}

// target_clones does not apply to templates: one plain function for each type.
#define FINETUNE_EXPAND(T)                                                                                \
  FINETUNE_CLONES void look_up(const std::uint8_t* pairs, std::int64_t n, const T* table, T* out) {       \
    for (std::int64_t i = 0; i < n; ++i) {                                                                \
      out[2 * i] = table[pairs[i] >> 4];                                                                  \
      out[2 * i + 1] = table[pairs[i] & 15];                                                              \
    }                                                                                                     \
  }                                                                                                       \
  FINETUNE_CLONES void scale(const std::int8_t* bytes, std::int64_t n, float scale, float step, T* out) { \
    for (std::int64_t i = 0; i < n; ++i) store(out[i], static_cast<float>(bytes[i]) * scale * step);      \
  }
FINETUNE_EXPAND(float)
FINETUNE_EXPAND(Bfloat16)
FINETUNE_CLONES void narrow(const float* values, std::size_t n, Bfloat16* out) {
  for (std::size_t i = 0; i < n; ++i) store(out[i], values[i]);
}

float rounded(float value, at::ScalarType type) {
  if (type == at::kBFloat16) return base::bfloat16_to_float(base::float_to_bfloat16(value));
  if (type == at::kHalf) return base::half_to_float(base::float_to_half(value));
  return value;
}

// Calls f(T*, i) for every row of `out`, on all threads.
template <class F>
void for_rows(at::Tensor& out, F f) {
  TORCH_CHECK(out.is_contiguous() && out.is_cpu(), "rows are expanded into contiguous CPU memory");
  const std::int64_t columns{out.size(1)};
  const std::int64_t grain{std::max<std::int64_t>(1, (std::int64_t{1} << 14) / std::max<std::int64_t>(1, columns))};
  void* data = out.mutable_data_ptr();
  const bool wide{out.scalar_type() == at::kFloat};
  at::parallel_for(0, out.size(0), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      wide ? f(static_cast<float*>(data) + i * columns, i) : f(static_cast<Bfloat16*>(data) + i * columns, i);
  });
}

// `n` numbers from `place` on, which share a table.
template <class T>
void look_up_from(const std::uint8_t* bytes, std::int64_t place, std::int64_t n, const T* table, T* out) {
  if (n > 0 && place % 2 != 0) {
    *out++ = table[bytes[place++ / 2] & 15];
    --n;
  }
  look_up(bytes + place / 2, n / 2, table, out);
  if (n % 2 != 0) out[n - 1] = table[bytes[(place + n - 1) / 2] >> 4];
}

void to_numbers(base::ExpandBlock expand, const std::byte* block, std::size_t, float* out) { expand(block, out); }
void to_numbers(base::ExpandBlock expand, const std::byte* block, std::size_t elements, Bfloat16* out) {
  std::array<float, base::kSuperBlock> values;
  expand(block, values.data());
  narrow(values.data(), elements, out);
}

}  // namespace

void four_bits(const at::Tensor& bytes, const at::Tensor& codes, std::int64_t block, const Scales& scales,
               at::ScalarType type, std::int64_t columns, std::int64_t first, std::int64_t column, at::Tensor& out) {
  const std::uint8_t* pairs = bytes.const_data_ptr<std::uint8_t>();
  const float* code = codes.const_data_ptr<float>();
  const std::int64_t width{out.size(1)};
  for_rows(out, [&]<class T>(T* to, std::int64_t i) {
    std::array<T, 16> table;
    const std::int64_t begin{(first + i) * columns + column}, end{begin + width};
    for (std::int64_t place = begin; place < end;) {
      const std::int64_t count{std::min(end - place, block - place % block)};
      const float scale{scales.at(place / block)};
      for (std::size_t j = 0; j < table.size(); ++j) store(table[j], rounded(code[j] * scale, type));
      look_up_from(pairs, place, count, table.data(), to);
      place += count;
      to += count;
    }
  });
}

void eight_bits(const at::Tensor& bytes, const at::Tensor& scales, float step, at::Tensor& out) {
  const std::int8_t* numbers = bytes.const_data_ptr<std::int8_t>();
  const float* scale_of = scales.const_data_ptr<float>();
  const std::int64_t stride{bytes.stride(0)}, width{out.size(1)};
  for_rows(out, [&](auto* to, std::int64_t i) { scale(numbers + i * stride, width, scale_of[i], step, to); });
}

void blocks(base::DType type, const at::Tensor& bytes, at::Tensor& out) {
  const std::size_t elements{base::block_elements(type)}, size{base::block_bytes(type)};
  const base::ExpandBlock expand = base::block_expander(type);
  const auto* from = static_cast<const std::byte*>(bytes.const_data_ptr());
  const std::int64_t stride{bytes.stride(0)};
  const auto count = static_cast<std::size_t>(out.size(1)) / elements;
  for_rows(out, [&](auto* to, std::int64_t i) {
    for (std::size_t j = 0; j < count; ++j)
      to_numbers(expand, from + i * stride + j * size, elements, to + j * elements);
  });
}

}  // namespace finetune::expand
