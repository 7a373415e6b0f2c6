#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/commands.h"
#include "lora/locate.h"
#include "lora/write_model.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using base::DType;

// The name of the file in a folder of `merge`: model-f16.gguf.
std::string gguf_file_name(DType type) {
  std::string name(base::name_of(type));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return "model-" + name + ".gguf";
}

// As a word of a shell command.
std::string quoted(const std::string& word) {
  if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:+,=@%") == word.npos)
    return word;
  std::string result = "'";
  for (char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string next_commands(const std::string& folder, const std::string& gguf, const std::string& again) {
  std::string text = "next:\n";
  if (!folder.empty())
    text += fmt::format(
        "  transformers  python -c \"from transformers import pipeline; "
        "print(pipeline('text-generation', '{}')('The'))\"\n",
        folder);
  if (gguf.empty()) return text + "  llama.cpp, Ollama  " + again + " --format gguf\n";
  text += fmt::format("  llama.cpp     llama-cli -m {}\n", quoted(gguf));
  text +=
      fmt::format("  Ollama        echo {} > Modelfile && ollama create my-model -f Modelfile && ollama run my-model\n",
                  quoted("FROM " + gguf));
  return text;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int run_merge(MergeOptions& options, base::Context& context) {
  auto start = std::chrono::steady_clock::now();
  const std::string& input = only_input(options.input, "one run or adapter: lora merge RUN");
  bool hf = false, gguf = false;
  for (const std::string& format : options.format) {
    if (format != "hf" && format != "gguf")
      throw base::UsageError({"unknown format", "format", format, "hf or gguf", ""});
    (format == "hf" ? hf : gguf) = true;
  }
  if (!hf && !gguf) throw base::UsageError({"no format", "format", "", "hf or gguf", ""});

  const fs::path adapter_path = adapter_folder(input);
  const Adapter adapter = read_adapter(adapter_path);
  const ModelFiles base(base_model_of(adapter_path, options.base, adapter.base_model));
  const MergedModel model(base, &adapter);
  const DType type = options.dtype == "auto" ? natural_type(base) : type_from_name(options.dtype);
  const std::uint64_t bytes = (hf ? hf_bytes(base, type) : 0) + (gguf ? gguf_bytes(base, type) : 0);
  if (hf && type == DType::kQ8_0)
    throw base::UsageError({"a Hugging Face folder cannot hold this type", "dtype", "q8_0",
                            "float32, bfloat16 or float16",
                            gguf ? "run it twice, with --format hf and --format gguf" : "q8_0 needs --format gguf"});

  // A run holds adapter/, so both defaults are the folder merged/ beside the adapter.
  const fs::path output = options.output.empty() ? adapter_path.parent_path() / "merged" : fs::path(options.output);
  base::check_outputs({output}, {adapter_path, base.path()});
  base::check_free_space(output, bytes);
  prepare_folder(output, options.overwrite, context.run_yaml);
  base::Progress progress(context.err, context.quiet, "lora: merging");
  double part = 0;
  const double parts = (hf ? 1 : 0) + (gguf ? 1 : 0);
  WriteOptions write{type, options.threads, [&](double share) {
                       progress.update((part + share) / parts, base::human_bytes(static_cast<double>(bytes)));
                     }};
  fs::path gguf_file;
  if (gguf) {
    gguf_file = output / gguf_file_name(type);
    write_gguf(model, gguf_file, write);
    part = 1;
  }
  if (hf) write_hf_folder(model, output, write);
  progress.finish();

  const double seconds = seconds_since(start);
  if (context.json) {
    nlohmann::ordered_json result = {{"output", output.string()},
                                     {"base", base.path().string()},
                                     {"adapter", adapter_path.string()},
                                     {"dtype", base::name_of(type)},
                                     {"modules", adapter.modules.size()},
                                     {"bytes", bytes},
                                     {"seconds", seconds}};
    result["hf"] = hf ? nlohmann::ordered_json(output.string()) : nullptr;
    result["gguf"] = gguf ? nlohmann::ordered_json(gguf_file.string()) : nullptr;
    context.out << result.dump() << "\n";
  }
  if (!context.quiet) {
    fmt::print(context.err, "merged {} modules of {} into {} as {}: {} in {}\n{}", adapter.modules.size(),
               adapter_path.string(), base.path().string(), base::name_of(type),
               base::human_bytes(static_cast<double>(bytes)), base::human_seconds(seconds),
               next_commands(hf ? output.string() : "", gguf_file.string(),
                             "lora merge " + quoted(input) + " --output " + quoted(output.string() + "-gguf")));
  }
  return 0;
}

int run_convert(ConvertOptions& options, base::Context& context) {
  auto start = std::chrono::steady_clock::now();
  const ModelFiles base(only_input(options.input, "one model: lora convert MODEL --output OUT"));
  const MergedModel model(base, nullptr);
  const fs::path output = options.output;
  const bool gguf = output.extension() == ".gguf";
  const DType type = options.dtype == "auto" ? natural_type(base) : type_from_name(options.dtype);
  const std::uint64_t bytes = gguf ? gguf_bytes(base, type) : hf_bytes(base, type);
  if (!gguf && type == DType::kQ8_0)
    throw base::UsageError({"a Hugging Face folder cannot hold this type", "dtype", "q8_0",
                            "float32, bfloat16 or float16", "q8_0 needs an --output that ends in .gguf"});
  base::check_free_space(output, bytes);
  base::check_outputs({output}, {base.path()});
  base::Progress progress(context.err, context.quiet, "lora: converting");
  WriteOptions write{type, options.threads,
                     [&](double share) { progress.update(share, base::human_bytes(static_cast<double>(bytes))); }};
  if (gguf) {
    prepare_file(output, options.overwrite);
    write_gguf(model, output, write);
  } else {
    prepare_folder(output, options.overwrite, context.run_yaml);
    write_hf_folder(model, output, write);
  }
  progress.finish();
  const double seconds = seconds_since(start);
  if (context.json) {
    nlohmann::ordered_json result = {{"output", output.string()},
                                     {"input", base.path().string()},
                                     {"format", gguf ? "gguf" : "hf"},
                                     {"dtype", base::name_of(type)},
                                     {"bytes", bytes},
                                     {"seconds", seconds}};
    context.out << result.dump() << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "converted {} to {} as {}: {} in {}\n", base.path().string(), output.string(),
               base::name_of(type), base::human_bytes(static_cast<double>(bytes)), base::human_seconds(seconds));
  return 0;
}

}  // namespace lora
