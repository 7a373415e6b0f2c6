// `tokenizer convert`: a vocabulary between GGUF and the files of a Hugging Face folder. Tested by
// tests/tokenizer/program_test.cc.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/gguf.h"
#include "base/outputs.h"
#include "tokenizer/commands.h"
#include "tokenizer/write/convert.h"

namespace tokenizer {
namespace {

using nlohmann::json;

struct ConvertOptions {
  std::string model, output;
  bool overwrite = false;
  void visit(base::OptionVisitor& v) {
    v.required("model", model, "a .gguf file, or a Hugging Face folder", base::PathKind::kModel);
    v.required("output", output, "from a .gguf: the folder to write into; from a folder: the .gguf to write",
               base::PathKind::kOutputModel);
    v("overwrite", overwrite, "replace these files of an earlier result");
  }
};

void check_is_new(const std::filesystem::path& file, bool overwrite) {
  if (std::filesystem::exists(file) && !overwrite)
    throw base::UsageError({"the output exists", "output", file.string(), "a new path",
                            "--overwrite replaces it; --output chooses another"});
}

// tokenizer.json comes last: a folder without it is no tokenizer, and does not look like one.
void write_files(const std::filesystem::path& folder, const json& vocabulary, const json& config, bool overwrite) {
  namespace fs = std::filesystem;
  const fs::path main = folder / "tokenizer.json", beside = folder / "tokenizer_config.json";
  check_is_new(main, overwrite);
  check_is_new(beside, overwrite);
  const bool is_new = !fs::exists(beside);
  const std::string text = vocabulary.dump(1);
  base::write_file(beside, config.dump(1));
  try {
    base::write_file(main, text);
  } catch (const base::Error&) {
    if (is_new) fs::remove(beside);
    throw;
  }
}

int run_convert(ConvertOptions& options, base::Context& context) {
  namespace fs = std::filesystem;
  const fs::path output = options.output;
  if (!fs::is_directory(output)) check_is_new(output, options.overwrite);
  if (fs::is_directory(options.model)) {
    if (!base::is_gguf_name(output))
      throw base::UsageError({"a folder becomes a GGUF", "output", output.string(), "a path that ends in .gguf", ""});
    auto metadata = gguf_metadata_from_folder(options.model);
    metadata.insert(metadata.begin(), {"general.architecture", base::GgufValue::text("llama")});
    base::GgufWriter(output, metadata, {}).commit();
  } else {
    const base::GgufReader gguf(options.model);
    const json vocabulary = tokenizer_json_from_gguf(gguf);
    const json config = tokenizer_config_json_from_gguf(gguf);
    base::check_output_is_folder("--output", output);
    fs::create_directories(output);
    write_files(output, vocabulary, config, options.overwrite);
    if (!context.quiet && !load(options.model)->other_ends.empty())
      fmt::print(
          context.err,
          "note: a tokenizer's files can name one end token, and the GGUF names more (tokenizer info); lora convert "
          "writes them all into generation_config.json\n");
  }
  if (!context.quiet) fmt::print(context.err, "wrote {}\n", output.string());
  return 0;
}

}  // namespace

base::Command convert_command() {
  return base::make_command<ConvertOptions>(
      "convert", "the vocabulary of a GGUF as tokenizer.json, or of a Hugging Face folder as a GGUF without weights",
      "tokenizer convert --model smollm2.gguf --output smollm2", run_convert);
}

}  // namespace tokenizer
