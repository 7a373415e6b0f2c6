// What is known before the first step. Tested by tests/finetune/preflight_test.cc.
#include "finetune/train/preflight.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/parallel.h"
#include "base/resident.h"
#include "base/text.h"
#include "finetune/data/packing.h"
#include "finetune/data/pairs.h"

namespace finetune {
namespace {

// The first `most` tokens of the examples, as one batch; all are trained where none would be.
PackedRow beginning_of(const Examples& examples, std::size_t most, bool trains_all, at::Device device) {
  std::vector<Example> some;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < examples.size() && tokens < most; ++i) {
    const Example example = copy_of(examples[i]);
    const std::size_t size = std::min(most - tokens, example.ids.size());
    some.push_back(part_of(example, 0, size));
    tokens += size;
  }
  const auto targets = [](const Example& example) { return example.targets() > 0; };
  if (trains_all || std::ranges::none_of(some, targets))
    for (Example& example : some) std::ranges::fill(example.trained, std::uint8_t{1});
  std::vector<std::uint32_t> documents;
  for (std::uint32_t i = 0; i < some.size(); ++i) documents.push_back(i);
  return make_row(some, documents, device);
}

// NaN and infinity have all bits of their exponent set. Looks at one number each `stride` bytes, from `first` on.
template <class T>
bool has_exponent(std::span<const std::byte> bytes, T exponent, std::size_t stride = sizeof(T), std::size_t first = 0) {
  bool found = false;
  for (std::size_t i = first; i + sizeof(T) <= bytes.size(); i += stride) {
    T number;
    std::memcpy(&number, bytes.data() + i, sizeof number);
    found |= (number & exponent) == exponent;
  }
  return found;
}

// Where a block has its scale, and its minimum, in float16.
std::vector<std::size_t> scales_of(base::DType type) {
  switch (type) {
    case base::DType::kQ4_1:
    case base::DType::kQ5_1:
    case base::DType::kQ4_K:
    case base::DType::kQ5_K:
      return {0, 2};
    case base::DType::kQ2_K:
      return {80, 82};
    case base::DType::kQ3_K:
      return {108};
    case base::DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

// The same of any tensor, slowly: where something is known to be wrong.
bool is_finite(const lora::ModelFiles& files, const std::string& name) {
  std::int64_t size = 1;
  for (const std::int64_t extent : files.shape(name)) size *= extent;
  std::vector<float> numbers(static_cast<std::size_t>(size));
  files.read(name, numbers);
  return std::ranges::all_of(numbers, [](float number) { return std::isfinite(number); });
}

[[noreturn]] void refuse_tensor(const std::string& name) {
  throw base::Error({"the base holds numbers that are not finite", name, "NaN or infinity", "numbers",
                     "the file is damaged, or was trained until it broke: get the base anew"});
}

}  // namespace

bool holds_numbers(const base::TensorView& tensor) {
  constexpr std::uint16_t kHalf = 0x7C00;
  const std::span<const std::byte> bytes = tensor.bytes;
  if (tensor.type == base::DType::kMXFP4)  // a power of two, or 255, which is none
    return !has_exponent<std::uint8_t>(bytes, 0xFF, base::block_bytes(tensor.type));
  if (base::is_block_type(tensor.type))
    return std::ranges::none_of(scales_of(tensor.type), [&](std::size_t place) {
      return has_exponent(bytes, kHalf, base::block_bytes(tensor.type), place);
    });
  switch (tensor.type) {
    case base::DType::kF64:
      return !has_exponent<std::uint64_t>(bytes, 0x7FF0000000000000u);
    case base::DType::kF32:
      return !has_exponent<std::uint32_t>(bytes, 0x7F800000u);
    case base::DType::kBF16:
      return !has_exponent<std::uint16_t>(bytes, 0x7F80u);
    case base::DType::kF16:
      return !has_exponent(bytes, kHalf);
    default:
      return true;
  }
}

std::int64_t largest_batch(const Examples& examples, const PlanOptions& plan, std::uint64_t seed) {
  RowStream rows(examples, plan.rows.max_length, plan.rows.packing, seed);
  const std::int64_t epoch{rows.rows_per_epoch()};
  std::int64_t batch{plan.rows_per_batch};  // of a small file it may hold several epochs
  if (plan.steps == 0)
    batch = std::min<std::int64_t>(batch, std::llround(std::ceil(plan.epochs) * static_cast<double>(epoch)));
  const std::int64_t whole{batch / epoch}, rest{batch % epoch};
  const auto tokens_of = [&](std::int64_t begin, std::int64_t end) {
    std::int64_t tokens = 0;
    for (std::int64_t i = begin; i < end; ++i)
      for (const std::uint32_t document : rows.row(i)) tokens += static_cast<std::int64_t>(examples.length(document));
    return tokens;
  };
  std::int64_t most = 0;
  for (std::int64_t begin = 0; rest > 0 && begin < epoch; begin += rest)
    most = std::max(most, tokens_of(begin, std::min(begin + rest, epoch)));
  return most + (whole > 0 ? whole * tokens_of(0, epoch) : 0);
}

void check_memory(const lora::TrainingMemory& memory, std::uint64_t available) {
  constexpr double kError = 1.15;  // what is foretold may be that much too high
  if (static_cast<double>(memory.total()) <= kError * static_cast<double>(available)) return;
  const auto size = [](std::uint64_t bytes) { return base::human_bytes(static_cast<double>(bytes)); };
  throw base::Error({"more memory than there is", "",
                     fmt::format("about {}: weights {}, what the backward pass reads again {}", size(memory.total()),
                                 size(memory.weights), size(memory.activations)),
                     "at most " + size(available),
                     memory.activations > memory.weights
                         ? "lower --rows-per-batch (and raise --accumulate) or --max-length"
                         : "--dtype bfloat16 or --quantization nf4 take less"});
}

void check_weights(const Transformer& model, const lora::ModelFiles& files, const Examples& examples, int threads) {
  constexpr std::size_t kTokens = 16;
  const std::vector<std::string>& names = files.names();
  base::parallel_for(names.size(), threads, [&](std::size_t i, int) {
    const base::TensorView& tensor = files.view(names[i]);
    if (!files.is_packed(names[i]) && !holds_numbers(tensor)) refuse_tensor(names[i]);
    base::give_back(tensor.bytes);
  });
  const at::NoGradGuard no_gradient;
  const PackedRow first = beginning_of(examples, kTokens, true, model.device());
  const double loss = model.loss_sum(first).item<double>();
  if (std::isfinite(loss)) return;
  for (const std::string& name : names)
    if (!is_finite(files, name)) refuse_tensor(name);
  throw base::Error({"the model gives a loss that is no number before it is trained", "the first tokens of the data",
                     fmt::format("{}", loss), "a finite number",
                     "is an adapter of --adapter damaged? Try --dtype float32"});
}

double measured_seconds(const Transformer& model, const Examples& examples, double tokens, std::int64_t& tried) {
  const PackedRow row = beginning_of(examples, kTriedTokens, false, model.device());
  tried = row.ids.numel();
  const auto seconds_of_a_pass = [&] {
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor loss = model.loss_sum(row, 1);
    loss.backward();
    [[maybe_unused]] const double waited = loss.item<double>();  // for a device
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  if (!model.device().is_cpu()) seconds_of_a_pass();  // a device loads its kernels when they are first asked for
  return seconds_of_a_pass() * tokens / static_cast<double>(tried);
}

std::vector<std::string> Preflight::lines() const {
  const auto size = [](std::uint64_t bytes) { return base::human_bytes(static_cast<double>(bytes)); };
  std::vector<std::string> lines{
      fmt::format("memory: about {} at the peak: weights {}, what trains {}, the backward pass {}, the rest {}",
                  size(memory.total()), size(memory.weights), size(memory.adapter), size(memory.activations),
                  size(memory.total() - memory.weights - memory.adapter - memory.activations))};
  if (seconds > 0)
    lines.push_back(fmt::format("time: about {} for the steps, as {} tokens take that were tried",
                                base::human_seconds(seconds), tried));
  return lines;
}

nlohmann::ordered_json Preflight::to_json() const {
  nlohmann::ordered_json json = {{"memory_bytes", memory.total()}};
  if (seconds > 0) json["seconds"] = seconds;
  return json;
}

}  // namespace finetune
