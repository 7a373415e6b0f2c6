// Ollama's Modelfile for a GGUF: where the weights are, the chat template in Ollama's language, where answers end.
#pragma once

#include <optional>
#include <string>

#include "tokenizer/chat/chat.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {

/// What a chat template writes around what is said, where that depends on nothing but whose turn it is.
struct TurnTexts {
  std::string begin;                             ///< before the first question, where there is no system message
  std::string before_system, after_system;       ///< before it and between it and the first question
  bool has_system = false;                       ///< false: the template has no place for one
  std::string before_later;                      ///< from an answer to the next question
  std::string before_answer, before_new_answer;  ///< behind a question: of an answer that is there, of one to come
};

/// Found by rendering conversations, and held against longer ones. Nothing where the template does more, and `why` says
/// what was different then. A BOS in front, which the runtime adds, is left out.
std::optional<TurnTexts> turn_texts(const tokenizer::ChatTemplate& chat, const tokenizer::Tokenizer& tokenizer,
                                    std::string& why);
/// The same in the language of Go's text/template, as Ollama runs it.
std::string go_template(const TurnTexts& turns);

struct Modelfile {
  std::string text;
  std::string note;  ///< for people: what Ollama will not do as the model's template does; "" when nothing
};
/// For a GGUF named `gguf` beside it with the vocabulary and the template of `tokenizer`.
Modelfile modelfile_of(const std::string& gguf, const tokenizer::Tokenizer& tokenizer);
/// For a GGUF adapter named `adapter` beside it. `base`: the .gguf file of its base; one that is none yet is named
/// BASE.gguf, and a comment says how it is made.
Modelfile modelfile_of_adapter(const std::string& adapter, const std::string& base,
                               const tokenizer::Tokenizer& tokenizer);

}  // namespace lora
