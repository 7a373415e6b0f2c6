// A tokenizer of bytes as a file, small enough to write expected ids by hand.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/unicode.h"

namespace {

// A tokenizer.json whose 256 tokens are the bytes, written as GPT-2 writes bytes, and behind them `specials`.
inline std::string byte_tokenizer_json(const std::vector<std::string>& specials) {
  nlohmann::ordered_json vocabulary, added = nlohmann::json::array();
  char32_t next = 256;
  std::vector<std::string> spelled(256);
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    base::append_utf8(spelled[static_cast<std::size_t>(byte)], visible ? static_cast<char32_t>(byte) : next++);
  }
  for (int byte = 0; byte < 256; ++byte) vocabulary[spelled[static_cast<std::size_t>(byte)]] = byte;
  for (const std::string& token : specials) {
    const std::size_t id = 256 + added.size();
    vocabulary[token] = id;
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const nlohmann::ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return nlohmann::ordered_json{{"version", "1.0"},
                                {"added_tokens", added},
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

}  // namespace
