// `lora export`: an adapter for other runtimes. Tested by tests/cli/lora/export and tests/cli/lora/export_base_name.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/text.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/contents.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/mlx_adapter.h"
#include "lora/adapter/model_card.h"
#include "lora/adapter/modelfile.h"
#include "lora/adapter/peft_notes.h"
#include "lora/adapter/write_model.h"
#include "lora/commands.h"
#include "lora/export_for.h"
#include "lora/locate.h"
#include "lora/model/hub.h"
#include "lora/model/mlx_limits.h"
#include "lora/serving.h"

namespace lora {

namespace fs = std::filesystem;

namespace {

// For beside a GGUF adapter, into `beside`; what there is to say of it.
std::string write_adapter_modelfile(const fs::path& output, const fs::path& folder, const ModelFiles& base,
                                    std::optional<FileBeside>& beside) {
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  try {
    tokenizer = tokenizer_of(base, folder, "");
  } catch (const base::Error& error) {
    return fmt::format("note: no Modelfile, since the base has no tokenizer that can be read: {}\n", error.what());
  }
  const std::string path = fs::absolute(base.path()).lexically_normal().string();
  if (path.find_first_of("\r\n") != std::string::npos)
    return "note: no Modelfile, since a line break in the base's path has no form there\n";
  const Modelfile file = modelfile_of_adapter(output.filename().string(), path, *tokenizer);
  const fs::path place = fs::path(output).replace_extension(".Modelfile");
  beside.emplace(place, file.text);
  return file.note + "Ollama: ollama create my-model -f " + base::shell_word(place.string()) + "\n";
}

// What mlx-lm will make of the base, for people; "" when it serves it.
std::string notes_for_mlx(const fs::path& folder, const std::string& given, const Adapter& adapter) {
  std::optional<ModelFiles> base;
  try {
    base.emplace(base_model_of(folder, given, "--base", adapter));
  } catch (const base::Error& error) {
    if (!given.empty()) throw;
    return fmt::format("note: whether mlx-lm serves the base was not looked at ({}): --base MODEL\n",
                       error.facts().what);
  }
  if (const std::string why = not_in_mlx(base->config()); !why.empty())
    return fmt::format("note: mlx-lm would not compute the base: {}\n", why);
  const std::string why = not_served_by_mlx(*base, folder);
  return (why.empty() ? "" : fmt::format("note: {}: --for mlx merges it\n", why)) + mlx_note(base->config());
}

// What PEFT would not do with experts, which needs a look at the base; "" where that is not on this machine.
std::string experts_note(const fs::path& folder, const std::string& given, const Adapter& adapter) try {
  if (!has_experts(adapter)) return "";
  const ModelFiles base(base_model_of(folder, given, "--base", adapter));
  return stacked_experts_note(adapter, base.spec());
} catch (const base::Error&) {
  if (!given.empty()) throw;
  return "";
}

// Of an adapter in PEFT's format of which vLLM would not serve all: `beyond`. `experts`: experts_note.
void tell_peft(const Adapter& adapter, const std::string& beyond, const std::string& experts, base::Context& context) {
  if (!beyond.empty())
    fmt::print(context.err, "note: vLLM and llama.cpp do not read all of it ({}){}; for them, lora merge\n", beyond,
               experts.empty() ? ", PEFT does" : "");
  if (!experts.empty()) fmt::print(context.err, "{}\n", experts);
  if (!is_hub_name(adapter.base_model))
    fmt::print(context.err,
               "note: the adapter names its base {}; with --base-name ORG/MODEL other machines find it too\n",
               adapter.base_model.empty() ? "not at all" : "by a path of this machine, " + adapter.base_model);
}

// The tokenizer and the chat template that it was trained with: with others it answers otherwise.
void copy_chat_files(const fs::path& from, const fs::path& to) {
  for (const std::string& name : chat_files(from)) base::write_file(to / name, base::read_file(from / name));
}

}  // namespace

int run_export(ExportOptions& options, base::Context& context) {
  if (options.runtime != "any") return run_export_for(options, context);
  const std::string& input = only_input(options.input, "one run or adapter: lora export RUN --format gguf");
  const bool gguf = options.format == "gguf", mlx = options.format == "mlx";
  if (options.format != "peft" && options.bake_scale)
    throw base::UsageError({"only for PEFT", "bake_scale", "", "--format peft", "a GGUF or MLX adapter always has it"});
  const base::DType type = type_from_name(options.dtype).type;
  if (gguf && type != base::DType::kF32 && type != base::DType::kF16)
    throw base::UsageError({"a GGUF adapter cannot have this type", "dtype", options.dtype, "float32 or float16",
                            "a merged GGUF can: --for llama.cpp, or lora merge --format gguf"});
  if (!gguf && type != base::DType::kF32)
    throw base::UsageError({"only for GGUF", "dtype", options.dtype, "float32", "PEFT and MLX adapters are float32"});
  if (!options.base_name.empty()) check_base_name(options.base_name);
  const fs::path folder = adapter_folder(input);
  Adapter adapter = read_adapter(folder);
  fs::path output = options.output;
  if (output.empty())
    output = folder.parent_path() / (folder.stem().string() + (gguf ? ".gguf" : "-" + options.format));
  output = without_separator(output);
  if (gguf) {
    check_gguf_name(output);
    check_file(output, options.overwrite);
    check_file(fs::path(output).replace_extension(".Modelfile"), options.overwrite);
  } else {
    base::check_output_is_folder("--output", output);
    check_folder(output, options.overwrite, context.run_yaml);
  }
  // A PEFT adapter is copied without a look at its base, unless a part of that belongs to it.
  std::optional<ModelFiles> base;
  if (gguf || adapter.needs_base()) {
    base.emplace(base_model_of(folder, options.base, "--base", adapter));
    base::check_outputs({output}, {folder, base->path()});
    adapter = made_plain(std::move(adapter), *base, 0, context);
  }
  base::check_outputs({output}, {folder});
  tell_rounded_base(folder, context);
  adapter.rounded_base = rounded_base_of(folder);
  const std::string notes = mlx && options.next ? notes_for_mlx(folder, options.base, adapter) : "";
  if (!options.base_name.empty()) adapter.base_model = options.base_name;
  std::string next, modelfile;
  if (gguf) {
    std::optional<FileBeside> beside;
    modelfile = write_adapter_modelfile(output, folder, *base, beside);
    write_gguf_adapter(adapter, *base, output, type);
    if (beside) beside->keep();
    next = fmt::format("llama-cli -m BASE.gguf --lora {}   (BASE.gguf: lora convert {} --output BASE.gguf)",
                       base::shell_word(output.string()), base::shell_word(base->path().string()));
  } else if (mlx) {
    OutputFolder made(output, options.overwrite, context.run_yaml);
    copy_chat_files(folder, output);
    write_mlx_adapter(adapter, output);
    made.finish();
    if (!context.quiet) fmt::print(context.err, "{}", notes);
    next = "mlx_lm.generate --model BASE --adapter-path " + base::shell_word(output.string());
  } else {
    if (options.bake_scale) adapter = bake_scale(std::move(adapter));  // throws
    OutputFolder made(output, options.overwrite, context.run_yaml);
    write_model_card(adapter, output);
    copy_chat_files(folder, output);
    write_adapter(adapter, output);
    made.finish();
    const std::string beyond = beyond_runtime(adapter, false), experts = experts_note(folder, options.base, adapter);
    next = !experts.empty()                        ? "lora merge " + base::shell_word(input)
           : beyond.empty() && adapter.rank <= 512 ? vllm_line("BASE", adapter.rank, output, output, false)
                                                   : "PeftModel.from_pretrained(BASE, \"" + output.string() + "\")";
    if (!context.quiet) tell_peft(adapter, beyond, experts, context);
  }
  if (context.json) {
    nlohmann::ordered_json result = {
        {"output", output.string()}, {"adapter", folder.string()}, {"format", options.format}, {"rank", adapter.rank}};
    add_contents(adapter, result);
    context.out << base::json_dump(result) << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "exported {} to {}\n{}{}", contents_text(adapter), output.string(), modelfile,
               options.next ? "next: " + next + "\n" : "");
  return 0;
}

}  // namespace lora
