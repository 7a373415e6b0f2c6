// Matrices of float32 whose numbers have 16 bits. Tested by tests/lora/model/cost_test.cc and
// tests/finetune/weights_test.cc.
#include "lora/model/kept_type.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/clones.h"

namespace lora {
namespace {

constexpr std::size_t kPiece = 4096;  // numbers

BASE_CLONES bool are_bfloat16(const std::uint32_t* numbers, std::size_t n) {
  std::uint32_t low = 0;
  for (std::size_t i = 0; i < n; ++i) low |= numbers[i] & 0xFFFFu;
  return low == 0;
}

// float16 has 10 bits behind the first from 2^-14 on, below that whole multiples of 2^-24.
BASE_CLONES bool are_float16(const std::uint32_t* numbers, std::size_t n) {
  constexpr std::uint32_t kSmall = 113u << 23, kLarge = 143u << 23;  // 2^-14 and 2^16
  std::uint32_t unfit = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t size = numbers[i] & 0x7FFFFFFFu;
    const float scaled = std::bit_cast<float>(std::min(size, kSmall)) * 16777216.0f;
    const std::uint32_t is_broken = static_cast<float>(static_cast<std::int32_t>(scaled)) != scaled;
    const std::uint32_t is_long = (size & 0x1FFFu) != 0 || size >= kLarge;
    unfit |= size < kSmall ? is_broken : is_long;
  }
  return unfit == 0;
}

using Are = bool (*)(const std::uint32_t* numbers, std::size_t n);

// In a file numbers may begin at any byte.
bool all(std::span<const std::byte> floats, Are are) {
  std::array<std::uint32_t, kPiece> piece;
  for (std::size_t first = 0; first < floats.size(); first += sizeof(piece)) {
    const auto part = floats.subspan(first, std::min(sizeof(piece), floats.size() - first));
    std::memcpy(piece.data(), part.data(), part.size());
    if (!are(piece.data(), part.size() / 4)) return false;
  }
  return true;
}

bool all(std::span<const std::byte> floats, Look look, Are are) {
  constexpr std::size_t kSome = 4 * 4 * kPiece;  // bytes
  if (look == Look::kAll || floats.size() <= 3 * kSome) return all(floats, are);
  return all(floats.first(kSome), are) && all(floats.subspan(floats.size() / 8 * 4, kSome), are) &&
         all(floats.last(kSome), are);
}

}  // namespace

std::optional<base::DType> type_of_16_bits(const ModelFiles& files, const std::string& name, Look look) {
  if (files.shape(name).size() != 2 || files.is_packed(name) || files.new_rows(name) != 0) return std::nullopt;
  const base::DType type = files.type(name);
  if (type == base::DType::kBF16 || type == base::DType::kF16) return type;
  if (type != base::DType::kF32) return std::nullopt;
  const std::span<const std::byte> floats = files.view(name).bytes;
  if (all(floats, look, are_bfloat16)) return base::DType::kBF16;
  return all(floats, look, are_float16) ? std::optional(base::DType::kF16) : std::nullopt;
}

}  // namespace lora
