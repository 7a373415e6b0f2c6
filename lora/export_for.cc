// `lora export --for RUNTIME`. Tested by tests/cli/lora/export_for.
#include "lora/export_for.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/gguf_adapter.h"
#include "lora/adapter/grown.h"
#include "lora/adapter/same_weights.h"
#include "lora/locate.h"
#include "lora/model/mlx_limits.h"
#include "lora/model/module_names.h"
#include "lora/serving.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// What a runtime serves of this adapter.
struct Form {
  std::string format;  // "hf", "gguf": a merged model; "peft", "mlx": the adapter
  std::string why{};   // not the adapter, for people
  bool is_adapter() const { return format == "peft" || format == "mlx"; }
};

Form form_for(const std::string& runtime, const Adapter& adapter, const ModelFiles& base, const fs::path& folder) {
  if (runtime == "transformers") return {"hf"};
  if (runtime != "vllm" && runtime != "mlx") return {"gguf"};
  if (const std::string why = runtime == "mlx" ? not_in_mlx(base.config()) : ""; !why.empty())
    throw base::Error({"mlx-lm would not compute this model: " + why, base.path().string(), "", "",
                       "--for another runtime; lora merge writes the folder all the same"});
  if (!adapter.gguf_architecture.empty()) return {"hf", runtime + " reads no GGUF adapter"};
  if (base.is_gguf()) return {"hf", runtime + " reads no GGUF as the base of an adapter"};
  const std::string beyond = beyond_runtime(adapter, runtime == "mlx");
  if (!beyond.empty()) return {"hf", fmt::format("{} would not serve all of the adapter ({})", runtime, beyond)};
  if (runtime == "vllm") return {"peft"};
  if (const std::string why = not_served_by_mlx(base, folder); !why.empty()) return {"hf", why};
  return {"mlx"};
}

std::string line_for(const std::string& runtime, const Form& form, const std::string& base, const fs::path& output,
                     const fs::path& folder, std::int64_t rank) {
  const std::string place = base::shell_word(output.string()), model = base::shell_word(base);
  if (runtime == "transformers") return transformers_line(output.string());
  if (runtime == "llama.cpp") return "llama-cli -m " + place;
  if (runtime == "lm-studio") return "lms import " + place;
  if (runtime == "ollama") {
    const fs::path file = fs::path(output).replace_extension(".Modelfile");
    return fmt::format("ollama create my-model -f {} && ollama run my-model", base::shell_word(file.string()));
  }
  if (runtime == "vllm") return form.is_adapter() ? vllm_line(base, rank, output, folder, true) : "vllm serve " + place;
  return form.is_adapter() ? fmt::format("mlx_lm.generate --model {} --adapter-path {} --prompt 'The'", model, place)
                           : fmt::format("mlx_lm.generate --model {} --prompt 'The'", place);
}

// The command that compares what both compute, by this project's trainer.
std::string proof_of(const ExportOptions& options, const Form& form, const std::string& base, const fs::path& output) {
  const std::string run = base::shell_word(options.input[0]), made = base::shell_word(output.string());
  const bool is_rounded{
      !rounded_base_of(adapter_folder(options.input[0])).empty()};  // what is made is of the base as it is
  return fmt::format("finetune verify {} {}--adapter {}{}{}", base::shell_word(base),
                     form.is_adapter() ? "" : made + " ", run, form.is_adapter() ? " --exported " + made : "",
                     is_rounded ? " --quantization none" : "");
}

// The words of the command, without the default of an option.
std::string command_of(const ExportOptions& options, const Form& form, const std::string& dtype,
                       const fs::path& output) {
  std::string text = form.is_adapter() ? "lora export " : "lora merge ";
  text += base::shell_word(options.input[0]) + " --format " + form.format;
  if (form.format == "peft") text += " --bake-scale";
  if (!form.is_adapter() && dtype != "auto") text += " --dtype " + dtype;
  if (!options.base.empty()) text += " --base " + base::shell_word(options.base);
  if (!options.base_name.empty()) text += " --base-name " + options.base_name;
  return text + " --output " + base::shell_word(output.string()) + (options.overwrite ? " --overwrite" : "");
}

void run_command(const ExportOptions& options, const Form& form, const std::string& dtype, const fs::path& output,
                 base::Context& context) {
  base::Context inner = context;
  inner.json = false;
  if (form.is_adapter()) {
    ExportOptions adapter = options;
    adapter.runtime = "any", adapter.format = form.format, adapter.output = output.string();
    adapter.bake_scale = form.format == "peft", adapter.dtype = "float32", adapter.next = false;
    run_export(adapter, inner);
    return;
  }
  MergeOptions merge;
  merge.input = options.input, merge.format = {form.format}, merge.base = options.base, merge.dtype = dtype;
  merge.output = output.string(), merge.overwrite = options.overwrite, merge.next = false;
  run_merge(merge, inner);
}

// The base's settings with what the adapter's file says otherwise, which are end tokens alone: a runtime reads one.
void complete_settings(const ModelFiles& base, const fs::path& adapter) {
  const fs::path own = adapter / "generation_config.json", of_base = base.path() / "generation_config.json";
  if (!fs::exists(own) || base.is_gguf() || !fs::exists(of_base)) return;
  nlohmann::ordered_json all = nlohmann::ordered_json::parse(base::read_file(of_base), nullptr, false);
  const nlohmann::ordered_json said = nlohmann::ordered_json::parse(base::read_file(own), nullptr, false);
  if (!all.is_object() || !said.is_object()) return;
  all.update(said);
  base::write_file(own, all.dump(2) + "\n");
}

Difference verified(const ExportOptions& options, const Form& form, const fs::path& output, base::Context& context) {
  const fs::path folder = adapter_folder(options.input[0]);
  Adapter adapter = read_adapter(folder);
  if (form.is_adapter() && !adapter.needs_base()) return compare_adapters(adapter, read_adapter(output));
  ModelFiles base(base_model_of(folder, options.base, "--base", adapter));
  adapter = with_names_of(base, std::move(adapter));
  grow_for(base, adapter, folder);
  give_own_head(base, adapter);
  base::Context quiet = context;
  quiet.quiet = true;
  adapter = made_plain(std::move(adapter), base, 0, quiet);
  if (form.is_adapter()) return compare_adapters(adapter, read_adapter(output));
  base::Progress progress(context.err, context.quiet, "lora: verifying");
  const Difference most = compare_weights(MergedModel(base, &adapter), ModelFiles(output.string()), 0,
                                          [&](double share) { progress.update(share, ""); });
  progress.finish();
  return most;
}

}  // namespace

int run_export_for(ExportOptions& options, base::Context& context) {
  only_input(options.input, "one run or adapter: lora export RUN --for ollama");
  const base::Option* format = context.options ? context.options->find("format") : nullptr;
  if (options.bake_scale || (format && format->given))
    throw base::UsageError({"--for chooses the format and the rule of scales itself",
                            options.bake_scale ? "bake_scale" : "format", "", "", "leave it out, or leave out --for"});
  const fs::path folder = adapter_folder(options.input[0]);
  const Adapter adapter = read_adapter(folder);
  const std::string base = base_model_of(folder, options.base, "--base", adapter);
  const ModelFiles files(base);
  const Form form = form_for(options.runtime, adapter, files, folder);
  const bool is_typed{options.dtype != "float32"};
  if (form.is_adapter() && is_typed)
    throw base::UsageError({"an adapter has float32 numbers", "dtype", options.dtype, "no --dtype", ""});
  if (!options.base_name.empty() && !form.is_adapter())
    throw base::UsageError({"only an adapter names its base", "base_name", options.base_name, "no --base-name", ""});
  const std::string dtype = is_typed ? options.dtype : form.format == "gguf" ? "q8_0" : "auto";
  fs::path output = without_separator(options.output);
  if (output.empty())
    output = folder.parent_path() / (form.format == "gguf" ? folder.stem().string() + "-" + dtype + ".gguf"
                                                           : folder.stem().string() + "-" + options.runtime);
  if (form.format == "gguf") check_gguf_name(output);
  const std::string line = line_for(options.runtime, form, base, output, folder, adapter.rank);
  const std::string proof = proof_of(options, form, base, output);
  if (!context.quiet && !form.why.empty())
    fmt::print(context.err, "note: {}, so it is merged into the model\n", form.why);
  if (!context.quiet && options.runtime == "mlx") fmt::print(context.err, "{}", mlx_note(files.config()));
  if (!context.quiet) fmt::print(context.err, "= {}\n", command_of(options, form, dtype, output));
  run_command(options, form, dtype, output, context);
  if (form.format == "peft") complete_settings(files, output);
  const Difference most = verified(options, form, output, context);
  if (context.json) {
    const nlohmann::ordered_json result = {{"runtime", options.runtime},
                                           {"output", output.string()},
                                           {"format", form.format},
                                           {"largest_difference", most.share},
                                           {"of", most.name},
                                           {"bound", most.bound},
                                           {"verified", most.is_within()},
                                           {"next", line},
                                           {"proof", proof}};
    context.out << base::json_dump(result) << "\n";
  }
  if (!most.is_within())
    fmt::print(context.err,
               "lora: {} is NOT what base and adapter give: {} differs by {:.1e} of its norm, bound {:.0e}\n",
               output.string(), most.name, most.share, most.bound);
  else if (!context.quiet)
    fmt::print(context.err,
               "verified: read back, no weight differs by more than {:.1e} of its norm ({}, bound {:.0e})\n"
               "logits and answers too: {}\nnext: {}\n",
               most.share, most.name, most.bound, proof, line);
  return most.is_within() ? 0 : 1;
}

}  // namespace lora
