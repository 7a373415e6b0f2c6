// Memory of a training, planned before it begins. Tested by tests/finetune/recompute_test.cc.
#include "finetune/train/memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/machine.h"
#include "base/text.h"
#include "finetune/kernels/device.h"
#include "lora/adapter/adapter_config.h"

namespace finetune {
namespace {

// What the foretelling may be wrong by, and others' memory.
constexpr double kShare = 0.9;

// What trains otherwise than by A and B: by the options, or as in `adapter`.
lora::TrainedWays ways_of(const TrainOptions& options, const lora::ModelSpec& spec, const lora::Adapter* adapter) {
  const auto is_whole = [&](const std::string& module) {
    const std::string weight = module + ".weight";
    if (!adapter) return lora::saves_tensor(options.lora.modules_to_save, weight);
    return std::ranges::any_of(adapter->saved, [&](const lora::SavedTensor& saved) { return saved.name == weight; });
  };
  const bool embedding{is_whole(spec.embedding)}, head{is_whole(spec.head)};
  lora::TrainedWays ways{options.start.trains_all(), options.lora.dora, (embedding ? 1 : 0) + (head ? 1 : 0), head};
  const bool stays_tied{spec.config.tied_embeddings && options.lora.ensure_weight_tying};
  if (stays_tied && ways.vocabularies > 0) ways.vocabularies = 1, ways.head = true;
  return ways;
}

// As --memory takes it, so that it is enough where it is rounded `up`.
std::string size_text(std::uint64_t bytes, bool up) {
  constexpr std::uint64_t kMB{1'000'000}, kFew{10 * kMB};
  if (bytes < 1000) return std::to_string(bytes);
  const bool is_small{bytes < kFew};
  const std::uint64_t unit{is_small ? 1000 : kMB};
  return fmt::format("{}{}", (bytes + (up ? unit - 1 : 0)) / unit, is_small ? "kB" : "MB");
}

}  // namespace

std::uint64_t memory_of(at::Device device) {
  if (device.is_cpu()) return base::machine_memory();
  return at::getDeviceAllocator(device.type())->getMemoryInfo(device.index() < 0 ? 0 : device.index()).first;
}

std::string MemoryPlan::to_text() const {
  std::string text;
  if (is_cut) text = fmt::format("{} of a batch's rows at once", rows_at_once);
  if (recomputed_blocks > 0)
    text += fmt::format("{}{} blocks computed again in the backward pass", text.empty() ? "" : ", ", recomputed_blocks);
  if (text.empty()) return text;
  const std::string why =
      is_asked ? "" : fmt::format("to stay within {}: ", base::human_bytes(static_cast<double>(limit)));
  return why + text + "; the gradient is the same";
}

MemoryPlan plan_memory(const TrainOptions& options, const lora::ModelFiles& files, at::ScalarType dtype,
                       at::Device device, std::int64_t tokens, const lora::Adapter* adapter) {
  const lora::ModelSpec& spec = files.spec();
  const ComputeOptions& compute = options.compute;
  const std::int64_t element{dtype == at::kFloat ? 4 : 2};
  const lora::WeightMemory weights = lora::weight_memory(files, compute.quantization, element, device.is_cpu());
  const lora::TrainedWays ways = ways_of(options, spec, adapter);
  MemoryPlan plan;
  const bool is_given{compute.memory.bytes > 0};
  plan.limit =
      is_given ? compute.memory.bytes : static_cast<std::uint64_t>(kShare * static_cast<double>(memory_of(device)));
  const std::int64_t rows{options.plan.rows_per_batch};
  const auto tokens_at_once = [&] { return (tokens * plan.rows_at_once + rows - 1) / rows; };
  const bool widens{device.is_cpu() && dtype == at::kBFloat16 && !multiplies_bfloat16()};
  const auto widened = [&] { return widens ? lora::widened_memory(spec, tokens_at_once()) : 0; };
  const auto foretell = [&](std::size_t blocks) {
    lora::TrainingMemory memory =
        lora::training_memory(spec, options.lora.rank, tokens_at_once(), element, weights, blocks, ways);
    memory.scratch += widened();
    return memory;
  };
  plan.rows_at_once = rows;
  plan.is_asked = compute.gradient_checkpointing == "blocks";
  if (plan.is_asked) plan.recomputed_blocks = spec.blocks.size();
  if (compute.gradient_checkpointing == "auto") {
    // Routers balance the tokens that they see at once: fewer rows would be another loss.
    while (device.is_cpu() && !spec.config.router_loss && plan.rows_at_once > 1 && foretell(0).total() > plan.limit)
      plan.rows_at_once = (plan.rows_at_once + 1) / 2;
    if (!spec.config.router_loss)
      plan.recomputed_blocks = lora::blocks_to_recompute(spec, options.lora.rank, tokens_at_once(), element, weights,
                                                         plan.limit - std::min(plan.limit, widened()), ways);
  }
  plan.is_cut = plan.rows_at_once < rows;
  plan.foretold = foretell(plan.recomputed_blocks);
  if (is_given && plan.foretold.total() > plan.limit) {
    const bool can_recompute{!spec.config.router_loss};
    const std::uint64_t least{foretell(can_recompute ? spec.blocks.size() : 0).total()};
    throw base::UsageError(
        {"training does not fit into the memory given", "--memory", size_text(plan.limit, false),
         "at least " + size_text(least, true),
         std::string("fewer --rows-per-batch, a shorter --max-length, --quantization nf4, --dtype bfloat16, ") +
             (can_recompute ? "or --gradient-checkpointing auto"
                            : "or output_router_logits false in config.json: blocks whose routers have a loss of "
                              "their own are not computed again")});
  }
  return plan;
}

}  // namespace finetune
