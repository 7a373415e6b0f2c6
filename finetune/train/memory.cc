// Memory of a training, planned before it begins. Tested by tests/finetune/recompute_test.cc.
#include "finetune/train/memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/machine.h"
#include "base/text.h"

namespace finetune {
namespace {

// What the foretelling may be wrong by, and others' memory.
constexpr double kShare = 0.9;

std::uint64_t memory_of(at::Device device) {
  if (device.is_cpu()) return base::machine_memory();
  return at::getDeviceAllocator(device.type())->getMemoryInfo(device.index() < 0 ? 0 : device.index()).second;
}

}  // namespace

std::string MemoryPlan::to_text() const {
  if (recomputed_blocks == 0) return "";
  return fmt::format("to stay within {}: {} blocks are computed again in the backward pass",
                     base::human_bytes(static_cast<double>(limit)), recomputed_blocks);
}

MemoryPlan plan_memory(const TrainOptions& options, const lora::ModelFiles& files, at::ScalarType dtype,
                       at::Device device, std::int64_t tokens) {
  const lora::ModelSpec& spec = files.spec();
  const ComputeOptions& compute = options.compute;
  const std::int64_t element{dtype == at::kFloat ? 4 : 2};
  const lora::WeightMemory weights = compute.quantization == "keep"
                                         ? lora::kept_weight_memory(files, element)
                                         : lora::weight_memory(spec, compute.quantization, element);
  MemoryPlan plan;
  const bool is_given{compute.memory.bytes > 0};
  plan.limit =
      is_given ? compute.memory.bytes : static_cast<std::uint64_t>(kShare * static_cast<double>(memory_of(device)));
  const auto foretell = [&](std::size_t blocks) {
    return lora::training_memory(spec, options.lora.rank, tokens, element, weights, blocks);
  };
  if (compute.gradient_checkpointing == "blocks") plan.recomputed_blocks = spec.blocks.size();
  if (compute.gradient_checkpointing == "auto" && !spec.config.router_loss)
    plan.recomputed_blocks = lora::blocks_to_recompute(spec, options.lora.rank, tokens, element, weights, plan.limit);
  plan.foretold = foretell(plan.recomputed_blocks);
  if (is_given && plan.foretold.total() > plan.limit)
    throw base::UsageError(
        {"training does not fit into the memory given", "--memory", base::human_bytes(static_cast<double>(plan.limit)),
         fmt::format("at least {}", base::human_bytes(static_cast<double>(foretell(spec.blocks.size()).total()))),
         "fewer --rows-per-batch, a shorter --max-length, --quantization nf4, --dtype bfloat16, or "
         "--gradient-checkpointing auto"});
  return plan;
}

}  // namespace finetune
