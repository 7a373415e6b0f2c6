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
#include "base/unicode.h"
#include "finetune/checkpoint.h"
#include "finetune/metrics.h"
#include "finetune/train.h"
#include "tests/finetune/tiny_llama.h"

namespace fs = std::filesystem;
using finetune::TrainOptions;

// A tokenizer.json whose 256 tokens are the bytes, written as GPT-2 writes bytes, and an end of text: 257 ids.
inline std::string byte_tokenizer() {
  nlohmann::ordered_json vocabulary;
  char32_t next = 256;
  std::vector<std::string> spelled(256);
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    base::append_utf8(spelled[static_cast<std::size_t>(byte)], visible ? static_cast<char32_t>(byte) : next++);
  }
  for (int byte = 0; byte < 256; ++byte) vocabulary[spelled[static_cast<std::size_t>(byte)]] = byte;
  const nlohmann::ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const nlohmann::ordered_json end = {
      {"id", 256},       {"content", "<|endoftext|>"}, {"single_word", false}, {"lstrip", false},
      {"rstrip", false}, {"normalized", false},        {"special", true}};
  vocabulary["<|endoftext|>"] = 256;
  return nlohmann::ordered_json{{"version", "1.0"},
                                {"added_tokens", {end}},
                                {"normalizer", nullptr},
                                {"pre_tokenizer", byte_level},
                                {"post_processor", nullptr},
                                {"decoder", byte_level},
                                {"model",
                                 {{"type", "BPE"},
                                  {"dropout", nullptr},
                                  {"unk_token", nullptr},
                                  {"vocab", vocabulary},
                                  {"merges", nlohmann::json::array()}}}}
      .dump();
}

// A model, data, and output folders, removed at the end.
class Train : public testing::Test {
 protected:
  Train() : model_("tied", [](const std::string&, at::Tensor&) {}) {
    base::write_file(model_.path() / "tokenizer.json", byte_tokenizer());
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
    options.model = model_.path().string();
    options.data = {(model_.path() / "data.jsonl").string()};
    options.output = (model_.path() / output).string();
    options.max_length = 64;
    options.steps = 6;
    options.learning_rate = 5e-3;
    options.lora.rank = 4;
    options.device = "cpu";
    options.threads = 1;
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
    bound.set->read_words(words);
    base::Context context{out, err, false, false, bound.set->to_yaml(), "finetune", bound.set.get()};
    EXPECT_EQ(bound.run(context), 0) << err.str();
    return err.str();
  }

  static std::string adapter_bytes(const TrainOptions& options) {
    return base::read_file(fs::path(options.output) / "adapter/adapter_model.safetensors");
  }
  static at::Tensor adapter_values(const TrainOptions& options) {
    return finetune::flat_values(lora::read_adapter(fs::path(options.output) / "adapter"));
  }
  static std::vector<nlohmann::json> metrics(const TrainOptions& options) {
    std::vector<nlohmann::json> lines;
    for (const std::string& line : base::split(base::read_file(fs::path(options.output) / "metrics.jsonl"), '\n')) {
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
