// What a person should know as a run starts: lines on context.err, unless it is quiet.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "base/program.h"
#include "finetune/train/run_facts.h"
#include "finetune/train/train_options.h"
#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Rows at once are no part of what a run is, since the machine decides them; but sums are rounded by them.
void tell_rows_at_once(const RunFacts& saved, const RunFacts& now, base::Context& context);
/// What PEFT warns of: an adapter that parts a head from its embedding.
void tell_parted(const lora::Adapter& adapter, const lora::ModelFiles& files, base::Context& context);
/// What transformers' Trainer would do with the base, and this one does not.
void tell_dropouts(const lora::ModelFiles& files, base::Context& context);
/// Of a training of all weights: they are written in the base's type.
void tell_rounding(const lora::ModelFiles& files, base::Context& context);
/// More threads than processors.
void tell_threads(int threads, base::Context& context);
/// Where the rows of a step give one of `processes` less to do than another (StepGradient::compute shares them out).
void tell_shares(const PlanOptions& options, int processes, base::Context& context);
/// Devices that do nothing since one process takes one of them.
void tell_devices(int devices, int processes, base::Context& context);
/// That bfloat16 would be faster, where --dtype (`dtype`) does not say. A run that goes on keeps its type.
void tell_bfloat16(const std::string& dtype, at::Device device, bool goes_on, base::Context& context);
/// That the adapter which training goes on from was trained on its base rounded otherwise than by `quantization`.
void tell_other_base(const std::string& run_or_adapter, const std::string& quantization, base::Context& context);
/// What a run that was begun and has no checkpoint was asked for otherwise: nothing is lost, and it begins anew.
void tell_changed(const std::filesystem::path& run_yaml, base::Context& context);
/// That --early-stopping-patience is more than the validations of a run of `steps`.
void tell_patience(std::int64_t steps, const TrainOptions& options, base::Context& context);
/// Where other programs keep experts otherwise.
void tell_experts(const lora::Adapter& adapter, const lora::ModelFiles& files, base::Context& context);

}  // namespace finetune
