// What a training learns from: which files, in which mixture, and what is held out of it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/program.h"
#include "finetune/data/data.h"
#include "finetune/data/mixture.h"
#include "finetune/train/train_options.h"
#include "lora/model/model_files.h"

namespace finetune {

struct TrainingData {
  Examples training, validation;
  DataReport training_report;
  std::optional<DataReport> validation_report;  ///< of files of their own
  std::vector<MixturePart> mixture;             ///< of the training, where there are weights
};

/// Reads what `options` name, says what there is to say of it and checks that it can be trained on: that it teaches an
/// end, and that the model has its tokens.
TrainingData read_data(const TrainOptions& options, const lora::ModelFiles& files,
                       const tokenizer::Tokenizer& tokenizer, base::Context& context);

/// What was said, for scripts.
nlohmann::ordered_json to_json(const TrainingData& data);

/// Every record that is not trained as it came, a line of JSON each; "" where all are.
std::string altered_records(const TrainingData& data);

}  // namespace finetune
