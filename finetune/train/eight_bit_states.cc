// AdamW whose moments take a byte each. Tested by tests/finetune/optimizers_test.cc.
#include "finetune/train/eight_bit_states.h"

#include <cmath>

namespace finetune {
namespace {

constexpr std::int64_t kSmallest = 4096;         // elements of a parameter that is quantised
constexpr std::int64_t kMostAtOnce = 1LL << 22;  // so that moments in float32 never take much

std::int64_t blocks_of(std::int64_t size) { return (size + DynamicTable::kBlock - 1) / DynamicTable::kBlock; }

// A sign, an exponent of base 10 in unary, a fraction (Dettmers 2015, arXiv:1511.04561); without a sign, one bit more
// of fraction.
at::Tensor dynamic_numbers(bool is_signed) {
  constexpr int kExponents = 7;
  std::vector<at::Tensor> parts = {at::tensor({0.0F, 1.0F})};
  for (int i = 0; i < kExponents; ++i) {
    const std::int64_t count{1LL << (is_signed ? i : i + 1)};
    const at::Tensor bounds = at::linspace(0.1, 1, count + 1, at::kFloat);
    const at::Tensor means = (bounds.narrow(0, 0, count) + bounds.narrow(0, 1, count)) / 2.0;
    parts.push_back(means * std::pow(10.0, i + 1 - kExponents));
    if (is_signed) parts.push_back(-parts.back());
  }
  return std::get<0>(at::cat(parts).sort());
}

}  // namespace

DynamicTable::DynamicTable(bool is_signed, at::Device device) : values_(dynamic_numbers(is_signed).to(device)) {
  bounds_ = (values_.narrow(0, 0, values_.numel() - 1) + values_.narrow(0, 1, values_.numel() - 1)) / 2;
}

at::Tensor DynamicTable::expand(const at::Tensor& numbers, const at::Tensor& scales) const {
  return values_.index_select(0, numbers.to(at::kInt)).view({-1, kBlock}).mul_(scales.unsqueeze(1)).view({-1});
}

void DynamicTable::quantize(const at::Tensor& values, const at::Tensor& numbers, const at::Tensor& scales) const {
  const at::Tensor blocks = values.view({-1, kBlock});
  scales.copy_(blocks.abs().amax(1));
  const at::Tensor scaled = blocks.mul(scales.clamp_min(1e-38).reciprocal().unsqueeze(1)).clamp_(-1, 1);
  numbers.copy_(at::bucketize(scaled.view({-1}), bounds_, /*out_int32=*/true));
}

AdamWEightBits::AdamWEightBits(std::vector<at::Tensor> parameters, OptimizerSettings settings)
    : Optimizer(std::move(parameters), std::move(settings)),
      pieces_(pieces_of()),
      signed_(true, values().device()),
      unsigned_(false, values().device()) {
  std::int64_t floats = 0, numbers = 0;
  for (Piece& piece : pieces_) {
    std::int64_t& size = piece.is_small ? floats : numbers;
    piece.state_size = piece.is_small ? piece.size : blocks_of(piece.size) * DynamicTable::kBlock;
    piece.state_first = size;
    size += piece.state_size;
  }
  const auto add = [&](const std::string& name) {
    return Moment{add_state(name, floats), add_state(name + "_numbers", numbers, at::kByte),
                  add_state(name + "_scales", numbers / DynamicTable::kBlock)};
  };
  first_ = add("first_moment");
  second_ = add("second_moment");
}

std::vector<AdamWEightBits::Piece> AdamWEightBits::pieces_of() const {
  std::vector<Piece> pieces;
  std::int64_t first = 0;
  for (const at::Tensor& parameter : parameters_) {
    const bool is_small{parameter.numel() < kSmallest};
    for (std::int64_t left = parameter.numel(); left > 0;) {
      const std::int64_t size{std::min(left, kMostAtOnce)};
      Piece* last = pieces.empty() ? nullptr : &pieces.back();
      const bool joins{last && last->is_small == is_small && last->size + size <= kMostAtOnce &&
                       (is_small || last->size % DynamicTable::kBlock == 0)};
      joins ? void(last->size += size) : pieces.push_back({first, size, is_small, 0, 0});
      first += size;
      left -= size;
    }
  }
  return pieces;
}

void AdamWEightBits::update(double rate) {
  for (const Piece& piece : pieces_) {
    if (piece.is_small) {
      const auto part = [&](const at::Tensor& floats) { return floats.narrow(0, piece.state_first, piece.state_size); };
      adamw_step(stretch(piece.first, piece.size), part(first_.floats), part(second_.floats), rate);
    } else {
      update_quantized(piece, rate);
    }
  }
}

void AdamWEightBits::update_quantized(const Piece& piece, double rate) {
  const std::int64_t block{DynamicTable::kBlock};
  const auto numbers = [&](const Moment& moment) {
    return moment.numbers.narrow(0, piece.state_first, piece.state_size);
  };
  const auto scales = [&](const Moment& moment) {
    return moment.scales.narrow(0, piece.state_first / block, piece.state_size / block);
  };
  const at::Tensor first = signed_.expand(numbers(first_), scales(first_)),
                   second = unsigned_.expand(numbers(second_), scales(second_));
  // What a last block is filled up with stays 0.
  adamw_step(stretch(piece.first, piece.size), first.narrow(0, 0, piece.size), second.narrow(0, 0, piece.size), rate);
  signed_.quantize(first, numbers(first_), scales(first_));
  unsigned_.quantize(second, numbers(second_), scales(second_));
}

}  // namespace finetune
