// Kept bits into numbers in CPU memory. Tested by tests/finetune/quantized_test.cc.
#include "finetune/weights/expand.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/blocks.h"
#include "finetune/kernels/tiles.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FINETUNE_V4 __attribute__((target("arch=x86-64-v4")))
#endif

namespace finetune::expand {
namespace {

// One plain function for each type: see vector_math.h.
#define FINETUNE_EXPAND(T)                                                                            \
  BASE_CLONES void scale(const std::int8_t* bytes, std::int64_t n, float scale, float step, T* out) { \
    for (std::int64_t i = 0; i < n; ++i) store(out[i], static_cast<float>(bytes[i]) * scale * step);  \
  }
FINETUNE_EXPAND(float)
FINETUNE_EXPAND(Bfloat16)

// What the 16 codes stand for in a block: their products with its scale, rounded to `type` and to T.
template <class T>
std::array<T, 16> table_of(const float* codes, float scale, at::ScalarType type) {
  std::array<float, 16> values;
  for (std::size_t j = 0; j < values.size(); ++j) values[j] = codes[j] * scale;
  if (type == at::kBFloat16) {
    for (float& value : values) value = rounded<Bfloat16>(value);
  } else if (type == at::kHalf) {
    for (float& value : values) value = base::half_to_float(base::float_to_half(value));
  }
  std::array<T, 16> table;
  for (std::size_t j = 0; j < values.size(); ++j) store(table[j], values[j]);
  return table;
}

#ifdef FINETUNE_V4
// AVX-512 holds a table of 16 in a register, which the compiler must be told. `n` bytes, 16 at once.
using Bytes16 = std::uint8_t __attribute__((vector_size(16)));

FINETUNE_V4 inline Words16 wide(const std::uint8_t* pairs) {
  Bytes16 bytes;
  std::memcpy(&bytes, pairs, sizeof bytes);
  return __builtin_convertvector(bytes, Words16);
}

// The bits of table_of, of finite numbers.
FINETUNE_V4 inline Words16 words_of(const float* codes, float scale, bool rounds) {
  Floats16 values;
  std::memcpy(&values, codes, sizeof values);
  values *= scale;
  Words16 bits;
  std::memcpy(&bits, &values, sizeof bits);
  return rounds ? (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000 : bits;
}

FINETUNE_V4 void look_up_16(const std::uint8_t* pairs, std::int64_t n, const float* codes, float scale, bool,
                            Bfloat16* out) {
  const Words16 table = words_of(codes, scale, true) >> 16;
  for (std::int64_t i = 0; i < n; i += 16) {
    const Words16 numbers = wide(pairs + i);
    const Words16 both = __builtin_shuffle(table, numbers >> 4) | __builtin_shuffle(table, numbers & 15) << 16;
    std::memcpy(out + 2 * i, &both, sizeof both);
  }
}

FINETUNE_V4 void look_up_16(const std::uint8_t* pairs, std::int64_t n, const float* codes, float scale, bool rounds,
                            float* out) {
  constexpr Words16 kLower = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}, kUpper = kLower + 8;
  const Words16 table = words_of(codes, scale, rounds);
  for (std::int64_t i = 0; i < n; i += 16) {
    const Words16 numbers = wide(pairs + i);
    const Words16 first = __builtin_shuffle(table, numbers >> 4), second = __builtin_shuffle(table, numbers & 15);
    const Words16 begin = __builtin_shuffle(first, second, kLower), end = __builtin_shuffle(first, second, kUpper);
    std::memcpy(out + 2 * i, &begin, sizeof begin);
    std::memcpy(out + 2 * i + 16, &end, sizeof end);
  }
}

const bool kHasV4 = __builtin_cpu_supports("x86-64-v4");
#else
constexpr bool kHasV4 = false;
template <class T>
void look_up_16(const std::uint8_t*, std::int64_t, const float*, float, bool, T*) {}
#endif

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

// `n` numbers from `place` on, which share a scale.
template <class T>
void look_up(const std::uint8_t* bytes, std::int64_t place, std::int64_t n, const float* codes, float scale,
             at::ScalarType type, T* out) {
  if (kHasV4 && type != at::kHalf && place % 2 == 0 && n % 32 == 0)
    return look_up_16(bytes + place / 2, n / 2, codes, scale, type == at::kBFloat16, out);
  const std::array<T, 16> table = table_of<T>(codes, scale, type);
  for (std::int64_t i = 0; i < n; ++i, ++place) {
    const unsigned pair{bytes[place / 2]};
    out[i] = table[place % 2 == 0 ? pair >> 4 : pair & 15];
  }
}

void to_numbers(base::ExpandBlock expand, const std::byte* block, std::size_t, float* out) { expand(block, out); }
void to_numbers(base::ExpandBlock expand, const std::byte* block, std::size_t elements, Bfloat16* out) {
  std::array<float, base::kSuperBlock> values;
  expand(block, values.data());
  narrow(values.data(), static_cast<std::int64_t>(elements), out);
}

}  // namespace

BASE_CLONES void count_below(const std::array<float, 15>& bounds, const std::array<float, 64>& values,
                             std::array<std::int32_t, 64>& counts) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int32_t count{0};
    for (std::size_t j = 0; j < bounds.size(); ++j) count += bounds[j] < values[i] ? 1 : 0;
    counts[i] = count;
  }
}

void four_bits(const at::Tensor& bytes, const at::Tensor& codes, std::int64_t block, const Scales& scales,
               at::ScalarType type, std::int64_t columns, std::int64_t first, std::int64_t column, at::Tensor& out) {
  const std::uint8_t* pairs = bytes.const_data_ptr<std::uint8_t>();
  const float* code = codes.const_data_ptr<float>();
  const std::int64_t width{out.size(1)};
  for_rows(out, [&]<class T>(T* to, std::int64_t i) {
    const std::int64_t begin{(first + i) * columns + column}, end{begin + width};
    for (std::int64_t place = begin; place < end;) {
      const std::int64_t count{std::min(end - place, block - place % block)};
      look_up(pairs, place, count, code, scales.at(place / block), type, to);
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
