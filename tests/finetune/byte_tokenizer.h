// A tokenizer of bytes with the tokens of ChatML.
#pragma once

#include <string>
#include <vector>

#include "finetune/data/data.h"
#include "tests/byte_tokenizer.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/readers.h"

namespace {

// A byte is a token; 256 and 257 are ChatML's marks, 258 ends a text.
class ByteTokenizer : public tokenizer::BpeTokenizer {
 public:
  explicit ByteTokenizer(bool chat = true)
      : BpeTokenizer(tokenizer::spec_from_tokenizer_json(
            byte_tokenizer_json({"<|im_start|>", "<|im_end|>", "<|endoftext|>"}), "ByteTokenizer")) {
    eos = 258;
    if (chat)
      chat_template =
          "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
          "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
  }
};

// The tokens that are trained, as text.
template <class E>  // Example or ExampleView
std::string trained_text(const ByteTokenizer& tokenizer, const E& example) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    if (example.trained[i]) ids.push_back(example.ids[i]);
  }
  return tokenizer.decode(ids, false);
}

}  // namespace
