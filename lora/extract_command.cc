// `lora extract`: an adapter out of two models. Tested by tests/cli/lora/extract.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/contents.h"
#include "lora/adapter/model_card.h"
#include "lora/commands.h"
#include "lora/fuse/extract.h"
#include "lora/locate.h"
#include "lora/model/gguf_metadata.h"
#include "lora/model/hub.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string energy_text(const std::vector<FusedModule>& modules) {
  double norm = 0, error = 0, least = 2;
  const FusedModule* worst = nullptr;
  for (const FusedModule& module : modules) {
    norm += module.squared_norm, error += module.squared_error;
    const double kept{1 - module.squared_error / module.squared_norm};
    if (kept < least) least = kept, worst = &module;
  }
  if (worst == nullptr) return "";
  return fmt::format("energy kept: {:.4g} % of the change's squared norm; least in {}: {:.4g} %\n",
                     100 * (1 - error / norm), worst->name, 100 * least);
}

std::string rest_text(const Extracted& result, bool save_rest) {
  if (result.rest.empty()) return "";
  const RestTensor* largest = nullptr;
  std::size_t saved = 0;
  for (const RestTensor& rest : result.rest) {
    if (!largest || rest.share > largest->share) largest = &rest;
    saved += rest.is_saved ? 1 : 0;
  }
  std::string text =
      fmt::format("note: {} tensors differ that A and B cannot hold, by up to {:.3g} % ({}): ", result.rest.size(),
                  100 * largest->share, largest->name);
  if (!save_rest) return text + "they are left out; --save-rest keeps them as whole tensors\n";
  text += fmt::format("{} are kept as whole tensors", saved);
  if (saved < result.rest.size())
    text += fmt::format("; {} biases beside A and B have no place in an adapter and are left out",
                        result.rest.size() - saved);
  return text + "\n";
}

// The tuned model's template and end token, which its answers were trained with; "" or a note.
std::string write_chat_format(const ModelFiles& tuned, const fs::path& folder) {
  try {
    const auto tokenizer = tokenizer::load(tuned.path());
    if (!tokenizer->chat_template.empty()) write_tokenizer_files(tuned, *tokenizer, folder);
    return "";
  } catch (const base::Error& error) {
    return fmt::format("note: no tokenizer of the tuned model goes with the adapter: {}\n", error.facts().what);
  }
}

ordered_json extracted_json(const ExtractOptions& options, const ModelFiles& base, const ModelFiles& tuned,
                            const Extracted& result, double seconds) {
  ordered_json json = {{"output", options.output},
                       {"base", base.path().string()},
                       {"tuned", tuned.path().string()},
                       {"rank", result.adapter.rank}};
  add_contents(result.adapter, json);
  json["equal_linear_layers"] = result.equal;
  json["same_config"] = result.same_config;
  ordered_json rest = ordered_json::array();
  for (const RestTensor& tensor : result.rest)
    rest.push_back({{"name", tensor.name}, {"difference", tensor.share}, {"saved", tensor.is_saved}});
  json["rest"] = rest;
  add_modules(result.modules, json);
  json["seconds"] = seconds;
  return json;
}

}  // namespace

int run_extract(ExtractOptions& options, base::Context& context) {
  const auto start = std::chrono::steady_clock::now();
  if (options.input.size() != 2)
    throw base::UsageError({"not two models", "", fmt::format("{}", options.input.size()),
                            "the base and the tuned model: lora extract BASE TUNED --output DIR", ""});
  if (!options.base_name.empty()) check_base_name(options.base_name);
  const fs::path output = without_separator(options.output);
  base::check_output_is_folder("--output", output);
  check_folder(output, options.overwrite, context.run_yaml);
  const ModelFiles base(options.input[0]), tuned(options.input[1]);
  tell_notes(base, context);
  tell_notes(tuned, context);
  base::check_outputs({output.string()}, {base.path().string(), tuned.path().string()});
  base::Progress progress(context.err, context.quiet, "lora: extracting");
  Extracted result = extracted(base, tuned, {options.rank, options.save_rest, base::thread_count(options.threads)},
                               [&](double share) { progress.update(share, ""); });
  progress.finish();
  result.adapter.base_model = !options.base_name.empty()     ? options.base_name
                              : fs::exists(options.input[0]) ? fs::absolute(options.input[0]).string()
                                                             : options.input[0];
  OutputFolder folder(output, options.overwrite, context.run_yaml);
  const std::string note = write_chat_format(tuned, output);
  write_model_card(result.adapter, output,
                   fmt::format("What turned the base into `{}`, at rank {}.", model_name(tuned.path()), options.rank));
  write_adapter(result.adapter, output);
  folder.finish();
  const double seconds{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  if (context.json) context.out << base::json_dump(extracted_json(options, base, tuned, result, seconds)) << "\n";
  if (!context.quiet)
    fmt::print(
        context.err, "extracted {} of rank {} out of {} and {} into {} in {}\n{}{}{}{}{}next: lora merge {}\n",
        contents_text(result.adapter), rank_text(result.adapter), options.input[0], options.input[1], options.output,
        base::human_seconds(seconds), energy_text(result.modules),
        result.equal == 0 ? "" : fmt::format("{} linear layers are equal in both and get no module\n", result.equal),
        rest_text(result, options.save_rest), note,
        result.same_config ? ""
                           : "note: the configs of the two differ in more than tokens: with the adapter the base "
                             "computes something else than the tuned model\n",
        base::shell_word(options.output));
  return 0;
}

}  // namespace lora
