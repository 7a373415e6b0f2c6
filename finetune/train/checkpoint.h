// checkpoints/step-N/: all that a run needs to go on as if it had never stopped.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "finetune/train/optimizer.h"
#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Everything else that decides the next step follows from the seed and the step's number: the order of the data, the
/// masks of dropout.
struct Checkpoint {
  std::int64_t step = 0;                     ///< optimizer steps done
  std::int64_t rows = 0;                     ///< packed rows that they took
  lora::Adapter adapter;                     ///< adapter_config.json, adapter_model.safetensors: usable as it stands
  OptimizerState optimizer;                  ///< optimizer.safetensors
  std::map<std::string, std::string> facts;  ///< state.json: options and data that a resumed run must share
  std::string chat_template = {};            ///< chat_template.jinja: what a merge of it needs
  /// Of full fine-tuning: the base, beside whose files every weight of `adapter` is written, as a model.
  const lora::ModelFiles* base = nullptr;
  /// The base whose tokenizer's files are written beside, where it has new tokens.
  const lora::ModelFiles* vocabulary = nullptr;
};

/// Writes `checkpoints`/step-N so that it is there whole or not at all (written aside, flushed, renamed), then removes
/// the oldest until `keep` are left, the one of step `best` beside them.
void write_checkpoint(const std::filesystem::path& checkpoints, const Checkpoint& checkpoint, std::int64_t keep,
                      std::optional<std::int64_t> best = std::nullopt);
/// The last of that, which a kill may have left undone.
void remove_old_checkpoints(const std::filesystem::path& checkpoints, std::int64_t keep,
                            std::optional<std::int64_t> best = std::nullopt);

/// The steps that have a checkpoint, oldest first.
std::vector<std::int64_t> saved_steps(const std::filesystem::path& checkpoints);

/// Throws base::Error when it is damaged or not there.
Checkpoint read_checkpoint(const std::filesystem::path& checkpoints, std::int64_t step);
/// The newest checkpoint of the folder, or nothing.
std::optional<Checkpoint> read_newest_checkpoint(const std::filesystem::path& checkpoints);

/// What trains of the adapter in an optimizer's flat order, [N] float32: of every module A, B and magnitudes, then
/// whole tensors and rows of tokens.
at::Tensor flat_values(const lora::Adapter& adapter);

}  // namespace finetune
