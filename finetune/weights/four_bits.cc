// NF4 and FP4 as bitsandbytes lays them: its quantize_4bit and dequantize_4bit. Tested by
// tests/finetune/quantized_test.cc.
#include "finetune/weights/four_bits.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/ParallelGuard.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "finetune/weights/expand.h"

namespace finetune {
namespace {

constexpr std::int64_t kBlock = 64, kScaleBlock = 256;
constexpr float kSmallest = 1e-38F;  // a block of zeros is divided by it

at::Tensor to_tensor(std::span<const float> values) {
  return at::tensor(at::ArrayRef<float>(values.data(), values.size()), at::kFloat);
}

at::Tensor to_tensor(std::span<const std::byte> bytes) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  std::ranges::copy(bytes, static_cast<std::byte*>(tensor.mutable_data_ptr()));
  return tensor;
}

// Half way between two codes, where the lower one counts as nearest.
constexpr std::array<float, 15> kBounds = [] {
  std::array<float, 15> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = (lora::kNf4Codes[i] + lora::kNf4Codes[i + 1]) / 2;
  return bounds;
}();

// One block of `n` numbers into nibbles; returns its scale. The last block of a tensor, where it is not whole, is
// divided by its scale, the others are multiplied with the inverse: as the peer does. NaN where one is not finite.
float quantize_block(const float* values, std::int64_t n, std::uint8_t* bytes) {
  float largest{0}, spoilt{0};
  for (std::int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::fabs(values[i]));
    spoilt += values[i] * 0;
  }
  const bool is_whole{n == kBlock};
  const float divisor{std::max(largest, kSmallest)}, inverse{1.0F / divisor};
  std::array<float, kBlock> scaled{};
  for (std::int64_t i = 0; i < n; ++i)
    scaled[static_cast<std::size_t>(i)] = std::clamp(is_whole ? values[i] * inverse : values[i] / divisor, -1.0F, 1.0F);
  std::array<std::int32_t, kBlock> numbers;
  expand::count_below(kBounds, scaled, numbers);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); i += 2)
    bytes[i / 2] = static_cast<std::uint8_t>(numbers[i] << 4 | numbers[i + 1]);
  return (is_whole ? largest : divisor) + spoilt;
}

// The dynamic 8-bit type (Dettmers 2015, arXiv:1511.04561): a sign, an exponent of base 10 in unary, a fraction.
at::Tensor dynamic_table() {
  constexpr int kExponents = 7;
  std::vector<at::Tensor> parts = {at::tensor({0.0F, 1.0F})};
  for (int i = 0; i < kExponents; ++i) {
    const at::Tensor bounds = at::linspace(0.1, 1, (1 << i) + 1, at::kFloat);
    const at::Tensor means = (bounds.narrow(0, 0, 1 << i) + bounds.narrow(0, 1, 1 << i)) / 2.0;
    parts.push_back(means * std::pow(10.0, i + 1 - kExponents));
    parts.push_back(means * -std::pow(10.0, i + 1 - kExponents));
  }
  return std::get<0>(at::cat(parts).sort());
}

// bitsandbytes looks up the nearest number of the table in steps of 2 / 65535 from -1 on.
struct ScaleNumbers {
  static constexpr std::int64_t kSteps = 65536;
  at::Tensor table = dynamic_table();
  std::vector<std::uint8_t> nearest;
  ScaleNumbers() {
    const float* values = table.const_data_ptr<float>();
    std::size_t number{0};
    for (std::int64_t i = 0; i < kSteps; ++i) {
      const double value{-1 + 2 * static_cast<double>(i) / (kSteps - 1)};
      while (number < 255 && std::fabs(values[number + 1] - value) < std::fabs(values[number] - value)) ++number;
      nearest.push_back(static_cast<std::uint8_t>(number));
    }
  }
};

const ScaleNumbers& scale_numbers() {
  static const ScaleNumbers kNumbers;
  return kNumbers;
}

// Sets scale_numbers, scales, scale_table and offset for the scales of the blocks.
void quantize_scales(FourBits& kept, const at::Tensor& scales) {
  const ScaleNumbers& numbers = scale_numbers();
  at::Tensor mean;
  {
    const c10::ParallelGuard one_thread(true);  // the order of a sum depends on the number of threads
    mean = scales.mean();
  }
  kept.offset = mean.item<float>();
  const at::Tensor centred = scales - mean;
  const std::int64_t count{centred.numel()};
  const float* values = centred.const_data_ptr<float>();
  kept.scale_block = kScaleBlock;
  kept.scale_table = numbers.table;
  kept.scale_numbers = at::empty({count}, at::kByte);
  kept.scales = at::empty({(count + kScaleBlock - 1) / kScaleBlock}, at::kFloat);
  std::uint8_t* out = kept.scale_numbers.mutable_data_ptr<std::uint8_t>();
  float* outer = kept.scales.mutable_data_ptr<float>();
  for (std::int64_t first = 0; first < count; first += kScaleBlock) {
    const std::int64_t last{std::min(first + kScaleBlock, count)};
    float largest{0};
    for (std::int64_t i = first; i < last; ++i) largest = std::max(largest, std::fabs(values[i]));
    outer[first / kScaleBlock] = largest;
    const float inverse{largest > 0 ? 1 / largest : 0};
    for (std::int64_t i = first; i < last; ++i) {
      const float step{std::floor((std::clamp(values[i] * inverse, -1.0F, 1.0F) + 1) * 32767.5F + 0.5F)};
      out[i] = largest > 0 ? numbers.nearest[static_cast<std::size_t>(step)] : std::uint8_t{0};
    }
  }
}

at::ScalarType scalar_type(base::DType type) {
  return type == base::DType::kBF16 ? at::kBFloat16 : type == base::DType::kF16 ? at::kHalf : at::kFloat;
}

}  // namespace

FourBitRows::FourBitRows(FourBits kept, std::int64_t rows, std::int64_t columns)
    : QuantizedRows(rows, columns),
      kept_(std::move(kept)),
      pairs_(at::stack({kept_.codes.repeat_interleave(16), kept_.codes.repeat({16})}, 1)) {}

void FourBitRows::expand(std::int64_t first, std::int64_t column, at::Tensor& out, Passes passes) const {
  const FourBits& kept = kept_;
  if (passes == Passes::kFused) {
    expand::Scales scales{kept.scales.const_data_ptr<float>()};
    if (kept.scale_numbers.defined())
      scales = {nullptr,
                kept.scale_numbers.const_data_ptr<std::uint8_t>(),
                kept.scale_table.const_data_ptr<float>(),
                kept.scales.const_data_ptr<float>(),
                kept.scale_block,
                kept.offset};
    return expand::four_bits(kept.bytes, kept.codes, kept.block, scales, kept.type, columns(), first, column, out);
  }
  // Whole blocks around the rows.
  const std::int64_t begin{first * columns()}, end{(first + out.size(0)) * columns()}, all{rows() * columns()};
  const std::int64_t block{begin / kept.block}, blocks{(end + kept.block - 1) / kept.block - block};
  const std::int64_t begin_byte{block * kept.block / 2},
      end_byte{(std::min((block + blocks) * kept.block, all) + 1) / 2};
  const at::Tensor bytes = kept.bytes.narrow(0, begin_byte, end_byte - begin_byte).to(at::kInt);
  at::Tensor values = pairs_.index_select(0, bytes).view({-1});
  const std::int64_t missing{blocks * kept.block - values.size(0)};
  if (missing > 0) values = at::constant_pad_nd(values, {0, missing});
  const at::Tensor scaled =
      values.view({blocks, kept.block}).mul_(scales_of(block, blocks).unsqueeze(1)).to(kept.type).view({-1});
  out.copy_(scaled.narrow(0, begin - block * kept.block, end - begin)
                .view({out.size(0), columns()})
                .narrow(1, column, out.size(1)));
}

at::Tensor FourBitRows::scales_of(std::int64_t first, std::int64_t count) const {
  if (!kept_.scale_numbers.defined()) return kept_.scales.narrow(0, first, count);
  const at::Tensor places = at::arange(first, first + count, kept_.scales.options().dtype(at::kLong));
  const at::Tensor outer = kept_.scales.index_select(0, places.div_(kept_.scale_block, "floor"));
  const at::Tensor numbers = kept_.scale_numbers.narrow(0, first, count).to(at::kInt);
  return kept_.scale_table.index_select(0, numbers).mul_(outer).add_(kept_.offset);
}

FourBits quantize_nf4(const at::Tensor& weight, at::ScalarType type, const std::string& where) {
  const at::Tensor flat = weight.contiguous().view({-1});
  const std::int64_t count{flat.numel()}, blocks{(count + kBlock - 1) / kBlock};
  const float* values = flat.const_data_ptr<float>();
  FourBits kept;
  kept.type = type;
  kept.block = kBlock;
  kept.codes = to_tensor(std::span<const float>(lora::kNf4Codes));
  kept.bytes = at::empty({(count + 1) / 2}, at::kByte);
  const at::Tensor scales = at::empty({blocks}, at::kFloat);
  std::uint8_t* bytes = kept.bytes.mutable_data_ptr<std::uint8_t>();
  float* scale = scales.mutable_data_ptr<float>();
  at::parallel_for(0, blocks, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      scale[i] = quantize_block(values + i * kBlock, std::min(kBlock, count - i * kBlock), bytes + i * kBlock / 2);
  });
  if (!at::isfinite(scales).all().item<bool>())
    throw base::Error({"a weight that is no finite number cannot be quantised", where, "", "finite numbers",
                       "the file is damaged, or training spoilt the model"});
  quantize_scales(kept, scales);
  return kept;
}

FourBits kept_four_bits(const lora::PackedParts& parts, std::int64_t numbers) {
  FourBits kept;
  kept.bytes = to_tensor(parts.bytes.first(static_cast<std::size_t>((numbers + 1) / 2)));
  kept.codes = to_tensor(std::span<const float>(*parts.codes));
  kept.block = parts.block;
  kept.type = scalar_type(parts.type);
  if (parts.scales.block == 0) {
    kept.scales = to_tensor(parts.scales.plain);
    return kept;
  }
  kept.scales = to_tensor(parts.scales.outer);
  kept.scale_numbers = to_tensor(parts.scales.numbers);
  kept.scale_table = to_tensor(parts.scales.table);
  kept.scale_block = parts.scales.block;
  kept.offset = parts.scales.offset;
  return kept;
}

FourBits to_device(const FourBits& kept, at::Device device) {
  FourBits there = kept;
  for (at::Tensor* tensor : {&there.bytes, &there.codes, &there.scales, &there.scale_numbers, &there.scale_table})
    if (tensor->defined()) *tensor = tensor->to(device);
  return there;
}

}  // namespace finetune
