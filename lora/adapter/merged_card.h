// The page that lies in a merged folder (README.md): what it was made of, under which licence, on which data, how it
// went.
#pragma once

#include <filesystem>
#include <string>

#include "lora/adapter/adapter.h"
#include "lora/model/model_files.h"
#include "lora/model/weight_type.h"

namespace lora {

/// The text of it. `run`: the folder of the training, of which run.yaml and metrics.jsonl are read where they are
/// there; may be empty. The licence is what the base's files say, and that it is not known where they say nothing.
/// `in_full`: every weight was trained, and the adapter is what they are now.
std::string merged_card(const Adapter& adapter, const ModelFiles& base, const std::filesystem::path& run,
                        WeightType type, bool in_full = false);

}  // namespace lora
