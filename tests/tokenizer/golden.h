// What the tests of this folder share: golden files, the models they were made from, a fresh folder.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/stream.h"
#include "tests/temporary_folder.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/split/characters.h"

namespace tokenizer_test {

using Ids = std::vector<std::int32_t>;

/// tests/golden/tokenizer/NAME.json.gz, written by scripts/oracle/tokens.py.
inline nlohmann::json golden(const std::string& name) {
  const auto reader =
      base::open_reader(std::string(HORNBOOK_SOURCE_DIR) + "/tests/golden/tokenizer/" + name + ".json.gz");
  std::string text;
  std::vector<char> buffer(1 << 20);
  while (const std::size_t size = reader->read(buffer.data(), buffer.size())) text.append(buffer.data(), size);
  return nlohmann::json::parse(text);
}

/// As scripts/oracle/vocabularies.py hashes ids, or the bytes of a text.
template <class Numbers>
std::string hash_of(const Numbers& numbers) {
  std::uint64_t value = 0;
  for (const auto number : numbers) {
    const auto positive = static_cast<std::make_unsigned_t<std::decay_t<decltype(number)>>>(number);
    value = (value ^ positive) * 0x100000001B3 + 1;
  }
  return fmt::format("{:08x}", value >> 32);
}

/// A model that scripts/install.sh fetches; its absence is a failure, not a skip.
inline std::filesystem::path model_file(const std::string& name) {
  std::filesystem::path path = std::filesystem::path(HORNBOOK_SOURCE_DIR) / "build" / "data" / name;
  const char* smollm2 = std::getenv("HORNBOOK_SMOLLM2");
  if (name == "smollm2.gguf" && smollm2) path = smollm2;
  if (!std::filesystem::exists(path)) throw std::runtime_error(path.string() + " is missing: run scripts/install.sh");
  return path;
}
/// What can come back from a byte-level vocabulary: `text` without the bytes that have no token (SmolLM2 lacks 21; the
/// peer drops them without a word, and so do we).
inline std::string representable(const tokenizer::Tokenizer& model, const std::string& text) {
  std::string kept;
  for (const char byte : text)
    if (model.id_of(tokenizer::token_of_bytes(std::string(1, byte)))) kept += byte;
  return kept;
}
inline std::filesystem::path smollm2() { return model_file("smollm2.gguf"); }
inline std::filesystem::path mistral() { return model_file("mistral-v1.model"); }

}  // namespace tokenizer_test
