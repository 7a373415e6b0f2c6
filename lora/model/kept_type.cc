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

struct Fits {
  bool bfloat16 = true, float16 = true;
  bool neither() const { return !bfloat16 && !float16; }
};

// float16 has 10 bits behind the first from 2^-14 on, below that whole multiples of 2^-24.
BASE_CLONES void look_at(const std::uint32_t* numbers, std::size_t n, std::uint32_t& low, std::uint32_t& unfit) {
  constexpr std::uint32_t kSmall = 113u << 23, kLarge = 143u << 23;  // 2^-14 and 2^16
  std::uint32_t all_low = 0, all_unfit = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t size = numbers[i] & 0x7FFFFFFFu;
    const float scaled = std::bit_cast<float>(std::min(size, kSmall)) * 16777216.0f;
    const std::uint32_t is_broken = static_cast<float>(static_cast<std::int32_t>(scaled)) != scaled;
    const std::uint32_t is_long = (size & 0x1FFFu) != 0 || size >= kLarge;
    all_low |= size & 0xFFFFu;
    all_unfit |= size < kSmall ? is_broken : is_long;
  }
  low |= all_low;
  unfit |= all_unfit;
}

// In a file numbers may begin at any byte.
void look_at(std::span<const std::byte> floats, Fits& fits) {
  std::array<std::uint32_t, kPiece> piece;
  std::uint32_t low = 0, unfit = 0;
  for (std::size_t first = 0; first < floats.size() && !fits.neither(); first += sizeof(piece)) {
    const auto part = floats.subspan(first, std::min(sizeof(piece), floats.size() - first));
    std::memcpy(piece.data(), part.data(), part.size());
    look_at(piece.data(), part.size() / 4, low, unfit);
    fits.bfloat16 &= low == 0;
    fits.float16 &= unfit == 0;
  }
}

Fits fits_of(std::span<const std::byte> floats, Look look) {
  constexpr std::size_t kSome = 4 * 4 * kPiece;  // bytes
  Fits fits;
  if (look == Look::kAll || floats.size() <= 3 * kSome) {
    look_at(floats, fits);
    return fits;
  }
  look_at(floats.first(kSome), fits);
  look_at(floats.subspan(floats.size() / 8 * 4, kSome), fits);
  look_at(floats.last(kSome), fits);
  return fits;
}

}  // namespace

std::optional<base::DType> type_of_16_bits(const ModelFiles& files, const std::string& name, Look look) {
  if (files.shape(name).size() != 2 || files.is_packed(name) || files.new_rows(name) != 0) return std::nullopt;
  const base::DType type = files.type(name);
  if (type == base::DType::kBF16 || type == base::DType::kF16) return type;
  if (type != base::DType::kF32) return std::nullopt;
  const Fits fits = fits_of(files.view(name).bytes, look);
  if (fits.bfloat16) return base::DType::kBF16;
  return fits.float16 ? std::optional(base::DType::kF16) : std::nullopt;
}

}  // namespace lora
