// `lora merge`: an adapter added into its base. Tested by tests/cli/lora/merge_run.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/contents.h"
#include "lora/adapter/grown.h"
#include "lora/adapter/merged_card.h"
#include "lora/adapter/modelfile.h"
#include "lora/adapter/start.h"
#include "lora/adapter/write_model.h"
#include "lora/commands.h"
#include "lora/locate.h"
#include "lora/model/gguf_metadata.h"
#include "lora/serving.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/write/convert.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// The name of the file in a folder of `merge`: model-f16.gguf.
std::string gguf_file_name(WeightType type) { return "model-" + base::ascii_lower(name_of(type)) + ".gguf"; }

// "Modelfile" in a folder of `merge`, "m.Modelfile" beside a file m.gguf that was named.
fs::path modelfile_name(const fs::path& gguf) {
  const bool is_ours{gguf.filename().string().starts_with("model-") && fs::exists(gguf.parent_path() / "run.yaml")};
  return is_ours ? gguf.parent_path() / "Modelfile" : fs::path(gguf).replace_extension(".Modelfile");
}

std::string next_commands(const std::string& folder, const std::string& gguf, const std::string& again) {
  std::string text = "next:\n";
  if (!folder.empty()) text += "  transformers  " + transformers_line(folder) + "\n";
  if (gguf.empty()) return text + "  llama.cpp, Ollama  " + again + " --format gguf\n";
  text += fmt::format("  llama.cpp     llama-cli -m {}\n", base::shell_word(gguf));
  text += fmt::format("  Ollama        ollama create my-model -f {} && ollama run my-model\n",
                      base::shell_word(modelfile_name(gguf).string()));
  return text;
}

std::string block_note_of(const ModelFiles& base, WeightType type, bool keep_types) {
  return keep_types ? "" : block_note(base, type);
}

void check_folder_holds(WeightType type, const char* advice) {
  if (base::is_block_type(type.type))
    throw base::UsageError({"a Hugging Face folder cannot hold this type", "dtype", name_of(type),
                            base::join(type_names(false), ", "), std::string("blocks exist in GGUF only: ") + advice});
}

struct Formats {
  bool hf = false, gguf = false;
  bool file = false;  // --output is the .gguf file, not a folder
};

Formats formats_of(const MergeOptions& options) {
  Formats formats;
  for (const std::string& format : options.format) {
    if (format != "hf" && format != "gguf")
      throw base::UsageError({"unknown format", "format", format, "hf or gguf", ""});
    (format == "hf" ? formats.hf : formats.gguf) = true;
  }
  formats.file = base::is_gguf_name(options.output);
  if (!formats.hf && !formats.gguf) (formats.file ? formats.gguf : formats.hf) = true;
  if (formats.file && formats.hf)
    throw base::UsageError({"the name of a GGUF file cannot hold a Hugging Face folder", "output", options.output,
                            "a folder's name", "or give --format gguf alone"});
  return formats;
}

// "F16 (the base is Q4_1)": what a conversion of the type did not keep is said.
std::string type_text(const ModelFiles& base, WeightType type) {
  const std::string_view stored = base.type_name(first_matrix(base));
  return stored == name_of(type) ? std::string(stored) : fmt::format("{} (the base is {})", name_of(type), stored);
}

// A vocabulary of its own in the adapter's folder: perhaps it was trained with that. Its chat template is taken over.
std::string own_tokenizer_note(const fs::path& adapter, const ModelFiles& base) {
  if (!base.new_tokens().empty()) return "vocabulary: " + new_tokens_text(base) + "\n";
  const auto is_made_here = [&](const char* name) {  // what training writes beside an adapter of a GGUF base
    return base.is_gguf() && std::string_view(name) == "tokenizer.json" &&
           base::read_file(adapter / name) == tokenizer::tokenizer_json_from_gguf(*base.gguf()).dump() + "\n";
  };
  std::vector<std::string> own;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "added_tokens.json"}) {
    const fs::path theirs = base.path() / name;
    if (fs::exists(adapter / name) && !is_made_here(name) &&
        (base.is_gguf() || !fs::exists(theirs) || base::read_file(theirs) != base::read_file(adapter / name)))
      own.push_back(name);
  }
  if (own.empty()) return "";
  return fmt::format(
      "note: the result has the base's vocabulary; the adapter's folder has another ({}). "
      "If it was trained with that, copy it over the result's\n",
      base::join(own, ", "));
}

constexpr const char* kUntied =
    "note: the base ties its head to the embedding, and the adapter parts them: the result has a head of its own\n";

std::string template_name(const MergeOptions& options, const fs::path& adapter) {
  return options.chat.chat_template.empty() ? (adapter / tokenizer::kChatTemplateFile).string()
                                            : options.chat.chat_template;
}

// check_values with a progress line.
void check_weights(const MergedModel& model, bool gguf, WriteOptions options, base::Context& context) {
  base::Progress progress(context.err, context.quiet, "lora: range of the weights");
  options.progress = [&](double share) { progress.update(share, ""); };
  check_values(model, gguf, options);
  progress.finish();
}

// A GGUF has places for EOS and two more.
std::string end_tokens_note(const ModelFiles& base, bool gguf) {
  if (!gguf || base.is_gguf()) return "";
  const auto tokenizer = tokenizer::load(base.path(), base.new_tokens());
  std::vector<std::string> ends;
  for (const std::int32_t id : tokenizer->end_ids())
    if (id < tokenizer->size()) ends.push_back(tokenizer->token(id));
  if (ends.size() <= 3) return "";
  return fmt::format("note: the model names {} end tokens ({}), and a GGUF has places for three\n", ends.size(),
                     base::join(ends, ", "));
}

// The run that made an adapter: RUN/adapter or RUN/checkpoints/step-N.
fs::path run_of(const fs::path& adapter) {
  const fs::path above = adapter.parent_path();
  const fs::path run = above.filename() == "checkpoints" ? above.parent_path() : above;
  return adapter.filename() == "adapter" || above.filename() == "checkpoints" ? run : fs::path();
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void check_output(const fs::path& output, const ModelFiles& base, WeightType type, const Formats& formats,
                  bool overwrite, const std::string& run_yaml) {
  if (formats.file) check_has_no_break(output), check_file(modelfile_name(output), overwrite);
  formats.file ? check_file(output, overwrite) : check_folder(output, overwrite, run_yaml);
  if (formats.gguf) check_can_write(base, type, true);
  if (formats.hf) check_can_write(base, type, false);
}

}  // namespace

std::vector<std::string> dtype_choices() {
  std::vector<std::string> choices = type_names(true);
  choices.insert(choices.begin(), "auto");
  return choices;
}

std::vector<std::string> export_dtype_choices() { return type_names(true); }

Adapter made_plain(Adapter adapter, const ModelFiles& base, int threads, base::Context& context) {
  if (adapter.start == Start::kNothing) return plain_adapter(std::move(adapter), base, threads);
  base::Progress progress(context.err, context.quiet, fmt::format("lora: start of {}", name_of(adapter.start)));
  adapter = plain_adapter(std::move(adapter), base, threads, [&](double share) { progress.update(share, ""); });
  progress.finish();
  return adapter;
}

// Writes the GGUF and its Modelfile; returns what there is to say of that.
std::string write_gguf_to_serve(const MergedModel& model, const fs::path& gguf, const WriteOptions& options,
                                const tokenizer::Tokenizer& tokenizer) {
  const Modelfile modelfile = modelfile_of(gguf.filename().string(), tokenizer);
  FileBeside beside(modelfile_name(gguf), modelfile.text);
  write_gguf(model, gguf, options);
  beside.keep();
  return modelfile.note;
}

nlohmann::ordered_json merged_json(const Adapter& adapter, const ModelFiles& base, const fs::path& adapter_path,
                                   const fs::path& output, const WeightType& type) {
  nlohmann::ordered_json json = {{"output", output.string()},
                                 {"base", base.path().string()},
                                 {"adapter", adapter_path.string()},
                                 {"dtype", name_of(type)}};
  add_contents(adapter, json);
  return json;
}

std::string next_of_merge(const MergeOptions& options, const std::string& input, const std::string& folder,
                          const std::string& gguf, const fs::path& output) {
  if (!options.next) return "";
  return next_commands(
      folder, gguf,
      "lora merge " + base::shell_word(input) +
          (options.base.empty() ? "" : " --base " + base::shell_word(options.base)) +
          (options.chat.chat_template.empty() ? ""
                                              : " --chat-template " + base::shell_word(options.chat.chat_template)) +
          (options.dtype == "auto" ? "" : " --dtype " + options.dtype) + " --output " +
          base::shell_word(output.string() + "-gguf"));
}

int run_merge(MergeOptions& options, base::Context& context) {
  auto start = std::chrono::steady_clock::now();
  const std::string& input = only_input(options.input, "one run or adapter: lora merge RUN");
  const Formats formats = formats_of(options);
  const fs::path adapter_path = adapter_folder(input);
  Adapter adapter = read_adapter(adapter_path);
  ModelFiles base(base_model_of(adapter_path, options.base, "--base", adapter));
  tell_notes(base, context);
  tell_rounded_base(adapter_path, context);
  adapter = with_names_of(base, std::move(adapter));
  grow_for(base, adapter, adapter_path);
  const bool is_untied = parts_head(adapter, base);
  give_own_head(base, adapter);
  const bool keep_types = options.dtype == "auto";
  const WeightType type = keep_types ? WeightType(natural_type(base)) : type_from_name(options.dtype);
  if (formats.hf)
    check_folder_holds(type, formats.gguf ? "run it twice, with --format hf and --format gguf" : "--format gguf");
  const std::uint64_t bytes =
      (formats.hf ? hf_bytes(base, type, keep_types) : 0) + (formats.gguf ? gguf_bytes(base, type, keep_types) : 0);

  // A run holds adapter/, so both defaults are the folder merged/ beside the adapter.
  const fs::path output =
      options.output.empty() ? adapter_path.parent_path() / "merged" : without_separator(options.output);
  base::check_outputs({output}, {adapter_path, base.path()});
  check_output(output, base, type, formats, options.overwrite, context.run_yaml);
  base::check_free_space(output, bytes, options.overwrite);
  adapter = made_plain(std::move(adapter), base, options.threads, context);
  const MergedModel model(base, &adapter);
  const auto tokenizer = changed_tokenizer_of(base, adapter_path, options.chat.chat_template);
  if (formats.gguf) check_weights(model, true, {type, options.threads, {}, keep_types}, context);
  if (formats.hf) check_weights(model, false, {type, options.threads, {}, keep_types}, context);
  std::optional<OutputFolder> folder;
  if (!formats.file) folder.emplace(output, options.overwrite, context.run_yaml);
  base::Progress progress(context.err, context.quiet, "lora: merging");
  double part = 0;
  const double parts = (formats.hf ? 1 : 0) + (formats.gguf ? 1 : 0);
  WriteOptions write{
      type,
      options.threads,
      [&](double share) { progress.update((part + share) / parts, base::human_bytes(static_cast<double>(bytes))); },
      keep_types,
      tokenizer.get(),
      options.max_shard_size.bytes};
  fs::path gguf_file;
  std::string modelfile_note;
  if (formats.gguf) {
    gguf_file = formats.file ? output : output / gguf_file_name(type);
    modelfile_note = write_gguf_to_serve(model, gguf_file, write,
                                         tokenizer ? *tokenizer : *tokenizer::load(base.path(), base.new_tokens()));
    part = 1;
  }
  if (formats.hf) {
    base::write_file(output / "README.md", merged_card(adapter, base, run_of(adapter_path), type));
    write_hf_folder(model, output, write);
  }
  if (folder) folder->finish();
  progress.finish();

  const double seconds = seconds_since(start);
  if (context.json) {
    auto result = merged_json(adapter, base, adapter_path, output, type);
    result["bytes"] = bytes;
    result["seconds"] = seconds;
    result["hf"] = formats.hf ? nlohmann::ordered_json(output.string()) : nullptr;
    result["gguf"] = formats.gguf ? nlohmann::ordered_json(gguf_file.string()) : nullptr;
    context.out << base::json_dump(result) << "\n";
  }
  if (!context.quiet) {
    fmt::print(context.err, "merged {} of {} into {} as {}: {} in {}\n{}{}{}{}{}", contents_text(adapter),
               adapter_path.string(), base.path().string(), type_text(base, type),
               base::human_bytes(static_cast<double>(bytes)), base::human_seconds(seconds),
               formats.gguf ? gguf_note(base.config()) + block_note_of(base, type, keep_types) : "",
               tokenizer ? "chat template: " + template_name(options, adapter_path) + "\n" : "",
               own_tokenizer_note(adapter_path, base) + (is_untied ? kUntied : ""),
               end_tokens_note(base, formats.gguf) + modelfile_note,
               next_of_merge(options, input, formats.hf ? output.string() : "", gguf_file.string(), output));
  }
  return 0;
}

int run_convert(ConvertOptions& options, base::Context& context) {
  auto start = std::chrono::steady_clock::now();
  const ModelFiles base(only_input(options.input, "one model: lora convert MODEL --output OUT"));
  tell_notes(base, context);
  const MergedModel model(base, nullptr);
  const fs::path output = without_separator(options.output);
  const bool gguf = base::is_gguf_name(output);
  gguf ? check_file(output, options.overwrite) : check_folder(output, options.overwrite, context.run_yaml);
  if (gguf) check_has_no_break(output), check_file(modelfile_name(output), options.overwrite);
  const bool keep_types = options.dtype == "auto";
  const WeightType type = keep_types ? WeightType(natural_type(base)) : type_from_name(options.dtype);
  const std::uint64_t bytes = gguf ? gguf_bytes(base, type, keep_types) : hf_bytes(base, type, keep_types);
  if (!gguf) check_folder_holds(type, "an --output that ends in .gguf");
  base::check_free_space(output, bytes, options.overwrite && !gguf);
  check_can_write(base, type, gguf);
  base::check_outputs({output}, {base.path()});
  check_weights(model, gguf, {type, options.threads, {}, keep_types}, context);
  base::Progress progress(context.err, context.quiet, "lora: converting");
  WriteOptions write{type,
                     options.threads,
                     [&](double share) { progress.update(share, base::human_bytes(static_cast<double>(bytes))); },
                     keep_types,
                     nullptr,
                     options.max_shard_size.bytes};
  std::string modelfile_note;
  if (gguf) {
    modelfile_note = write_gguf_to_serve(model, output, write, *tokenizer::load(base.path()));
  } else {
    OutputFolder folder(output, options.overwrite, context.run_yaml);
    write_hf_folder(model, output, write);
    folder.finish();
  }
  progress.finish();
  const double seconds = seconds_since(start);
  if (context.json) {
    nlohmann::ordered_json result = {{"output", output.string()},
                                     {"input", base.path().string()},
                                     {"format", gguf ? "gguf" : "hf"},
                                     {"dtype", name_of(type)},
                                     {"bytes", bytes},
                                     {"seconds", seconds}};
    context.out << base::json_dump(result) << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "converted {} to {} as {}: {} in {}\n{}{}{}", base.path().string(), output.string(),
               type_text(base, type), base::human_bytes(static_cast<double>(bytes)), base::human_seconds(seconds),
               gguf ? gguf_note(base.config()) + block_note_of(base, type, keep_types) : "",
               end_tokens_note(base, gguf), modelfile_note);
  return 0;
}

}  // namespace lora
