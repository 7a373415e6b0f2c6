// A tiny random Llama, its data, and runs of `finetune train` on them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/text.h"
#include "finetune/train.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/metrics.h"
#include "tests/finetune/byte_tokenizer.h"
#include "tests/finetune/tiny_llama.h"

namespace fs = std::filesystem;
using finetune::TrainOptions;

// A model, data, and output folders, removed at the end.
class Train : public testing::Test {
 protected:
  Train() : model_("tied", [](const std::string&, at::Tensor&) {}) {
    base::write_file(model_.path() / "tokenizer.json", byte_tokenizer_json({"<|endoftext|>"}));
    base::write_file(model_.path() / "tokenizer_config.json", R"({"eos_token":"<|endoftext|>"})");
    base::Random random(5);
    std::string records;
    for (int i = 0; i < 60; ++i) {
      std::string answer;
      for (std::uint64_t j = 0, length = 1 + random.below(30); j < length; ++j) {
        answer += static_cast<char>('a' + (i + j * j) % 26);
      }
      records += "{\"prompt\":\"say " + std::to_string(i) + ": \",\"completion\":\"" + answer + "\"}\n";
    }
    base::write_file(model_.path() / "data.jsonl", records);
  }

  TrainOptions options(const std::string& output) const {
    TrainOptions options;
    options.start.model = model_.path().string();
    options.sources.data = {(model_.path() / "data.jsonl").string()};
    options.reading.cache.data_cache = (model_.path() / "cache").string();
    options.output.folder = (model_.path() / output).string();
    options.plan.rows.max_length = 64;
    options.plan.steps = 6;
    options.optimizer.learning_rate = 5e-3;
    options.lora.rank = 4;
    options.compute.device = tiny_llama::device_name();
    options.compute.threads = 1;
    return options;
  }

  // Returns what a person reads.
  static std::string run(TrainOptions options, std::string* result = nullptr, int code = 0) {
    std::ostringstream out, err;
    base::Context context{out, err, false, true, "run: here\n", "finetune"};
    EXPECT_EQ(finetune::run_train(options, context), code) << err.str();
    if (result) *result = out.str();
    return err.str();
  }

  // The same from the words of a command line.
  static std::string run_words(std::vector<std::string> words) {
    std::ostringstream out, err;
    base::Command::Bound bound = finetune::train_command().bind();
    if (words[0] == "--config") {
      bound.set->read_yaml(base::read_file(words[1]), words[1]);
      words.erase(words.begin(), words.begin() + 2);
    }
    words.insert(words.end(), {"--data-cache", "none"});
    bound.set->read_words(words);
    base::Context context{out, err, false, false, bound.set->to_yaml(), "finetune", bound.set.get()};
    EXPECT_EQ(bound.run(context), 0) << err.str();
    return err.str();
  }

  static std::string adapter_bytes(const TrainOptions& options) {
    return base::read_file(fs::path(options.output.folder) / "adapter/adapter_model.safetensors");
  }
  static at::Tensor adapter_values(const TrainOptions& options) {
    return finetune::flat_values(lora::read_adapter(fs::path(options.output.folder) / "adapter"));
  }
  static std::vector<nlohmann::json> metrics(const TrainOptions& options) {
    std::vector<nlohmann::json> lines;
    for (const std::string& line :
         base::split(base::read_file(fs::path(options.output.folder) / "metrics.jsonl"), '\n')) {
      if (!line.empty()) lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
  }

  template <class E>
  static std::string error_of(const TrainOptions& options) {
    try {
      run(options);
    } catch (const E& error) {
      return error.what();
    }
    return "no such error";
  }

  tiny_llama::Changed model_;
};
