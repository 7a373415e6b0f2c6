// A tokenizer small enough to write expected ids by hand.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "finetune/data.h"

namespace {

// A byte is a token; 256 and 257 are ChatML's marks, 258 ends a text. Small enough to write expected ids by hand.
class ByteTokenizer : public tokenizer::Tokenizer {
 public:
  explicit ByteTokenizer(bool chat = true) {
    eos = 258;
    if (chat) {
      chat_template =
          "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
          "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    }
  }
  std::vector<std::int32_t> encode(std::string_view text, bool parse_special) const override {
    const tokenizer::ByteRange all{0, text.size()};
    return encode_with_offsets(text, parse_special ? tokenizer::DataRanges() : tokenizer::DataRanges(&all, 1)).ids;
  }
  tokenizer::Encoding encode_with_offsets(std::string_view text, tokenizer::DataRanges data) const override {
    tokenizer::Encoding encoding;
    for (std::size_t i = 0; i < text.size();) {
      std::int32_t id = static_cast<unsigned char>(text[i]);
      std::size_t end = i + 1;
      for (std::int32_t special = 256; special < 259; ++special) {
        const tokenizer::ByteRange range{i, i + token(special).size()};
        if (!text.substr(i).starts_with(token(special))) continue;
        if (std::ranges::any_of(data, [&](const auto& part) { return part.overlaps(range); })) {
          ++encoding.specials_as_text;
        } else {
          id = special;
          end = range.end;
        }
      }
      encoding.ids.push_back(id);
      encoding.offsets.push_back({i, end});
      i = end;
    }
    return encoding;
  }
  std::string decode(const std::vector<std::int32_t>& ids, bool) const override {
    std::string text;
    for (std::int32_t id : ids) text += id < 256 ? std::string(1, static_cast<char>(id)) : token(id);
    return text;
  }
  std::int32_t size() const override { return 259; }
  std::optional<std::int32_t> id_of(std::string_view token_text) const override {
    for (std::int32_t id = 256; id < 259; ++id) {
      if (token(id) == token_text) return id;
    }
    return std::nullopt;
  }
  std::string token(std::int32_t id) const override {
    static const std::vector<std::string> kSpecial = {"<|im_start|>", "<|im_end|>", "<|endoftext|>"};
    return id < 256 ? std::string(1, static_cast<char>(id)) : kSpecial[static_cast<std::size_t>(id - 256)];
  }
  bool is_special(std::int32_t id) const override { return id >= 256; }
};

// The tokens that are trained, as text.
inline std::string trained_text(const ByteTokenizer& tokenizer, const finetune::Example& example) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    if (example.trained[i]) ids.push_back(example.ids[i]);
  }
  return tokenizer.decode(ids, false);
}

}  // namespace
