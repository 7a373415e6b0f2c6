// The commands of the program `tokenizer`, one file each, and the options that several share.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/inputs.h"
#include "base/options.h"
#include "base/program.h"
#include "tokenizer/spec/tokenizer.h"

namespace tokenizer {

base::Command encode_command();
base::Command decode_command();
base::Command count_command();
base::Command chat_command();
base::Command convert_command();
base::Command info_command();

inline constexpr const char* kModelHelp =
    "a Hugging Face folder, a tokenizer.json, tekken.json, .model, .tiktoken or .gguf file";

struct InputOptions {
  std::string model;
  std::vector<std::string> input;
  void visit(base::OptionVisitor& v) {
    v.required("model", model, kModelHelp, base::PathKind::kModel);
    v.positional("input", input, "input files, folders or globs, '-' for standard input; .zst and .gz are unpacked");
  }
  std::vector<std::string> files(const base::Context& context) const {
    if (input.empty()) throw base::UsageError({"no input", "", "", "one or more files, or '-' for standard input", ""});
    return base::expand_inputs(input, context);
  }
};

}  // namespace tokenizer
