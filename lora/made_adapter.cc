// Adapters made out of others, on the command line. Tested by tests/cli/lora/fuse and tests/cli/lora/resize.
#include "lora/made_adapter.h"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/output_folder.h"
#include "base/outputs.h"
#include "base/text.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/model_card.h"
#include "lora/commands.h"
#include "lora/locate.h"
#include "lora/model/hub.h"
#include "lora/model/identity.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// What the adapters say of their base, each once.
std::set<std::string> named_bases(const std::vector<Adapter>& adapters) {
  std::set<std::string> named;
  for (const Adapter& adapter : adapters)
    if (!adapter.base_model.empty())
      named.insert(adapter.base_model + (adapter.revision.empty() ? "" : " at " + adapter.revision));
  return named;
}

// Where the base lies, "" where nothing on this machine says it.
std::string found_base(const fs::path& folder, const Adapter& adapter) {
  try {
    const std::string base = base_model_of(folder, "", "--base", adapter);
    return find_model(base).empty() ? "" : base;
  } catch (const base::UsageError&) {
    return "";
  }
}

// Two names, or two paths, of one model are one base.
void check_one_base(const AdapterInputs& inputs) {
  const std::set<std::string> named = named_bases(inputs.adapters);
  if (named.size() < 2) return;
  std::set<std::string> identities;
  for (std::size_t i = 0; i < inputs.adapters.size(); ++i) {
    const std::string base = found_base(inputs.folders[i], inputs.adapters[i]);
    if (base.empty()) {
      identities.clear();
      break;
    }
    identities.insert(identity_of(ModelFiles(base)));
  }
  if (identities.size() == 1) return;
  throw base::UsageError({identities.empty() ? "the adapters name different bases, and not all are on this machine"
                                             : "the adapters belong to different bases",
                          "", fmt::format("{}", fmt::join(named, ", ")), "one base",
                          identities.empty() ? "where they are one model, give it: --base MODEL" : ""});
}

// Those of the first adapter that has any; gives a note where another's are different.
std::string copy_tokenizer(const AdapterInputs& inputs, const fs::path& output) {
  std::size_t from = inputs.folders.size();
  std::set<std::string> others;
  for (std::size_t i = 0; i < inputs.folders.size(); ++i) {
    const std::vector<std::string> files = chat_files(inputs.folders[i]);
    if (files.empty()) continue;
    const bool is_first{from == inputs.folders.size()};
    if (is_first) from = i;
    for (const std::string& name : files) {
      const std::string text = base::read_file(inputs.folders[i] / name);
      if (is_first) {
        base::write_file(output / name, text);
      } else if (name == "chat_template.jinja" || name == "tokenizer.json") {
        const fs::path first = inputs.folders[from] / name;
        if (!fs::exists(first) || base::read_file(first) != text) others.insert(inputs.names[i]);
      }
    }
  }
  if (others.empty()) return "";
  return fmt::format("note: tokenizer and chat template are those of {}; {} was trained with others\n",
                     inputs.names[from], fmt::join(others, ", "));
}

}  // namespace

void MadeAdapterOptions::visit(base::OptionVisitor& v) {
  v("base", base, "base model of the adapters; needed only where they name it differently, or are right only with it",
    base::PathKind::kModel);
  v("base_name", base_name, "name of the base on the hub, ORG/MODEL, which the new adapter says of its base");
  v.required("output", output, "the folder of the new adapter", base::PathKind::kOutputFolder);
  v("overwrite", overwrite, "replace an earlier result; the folder is emptied before anything new is there");
  v("threads", threads, "threads; 0: all there are").at_least(0);
}

AdapterInputs read_adapters(const std::vector<std::string>& names, const std::string& base, int threads,
                            base::Context& context) {
  AdapterInputs inputs;
  inputs.names = names;
  for (const std::string& name : names) {
    inputs.folders.push_back(adapter_folder(name));
    inputs.adapters.push_back(read_adapter(inputs.folders.back()));
    const std::string rounded = rounded_base_of(inputs.folders.back()), first = rounded_base_of(inputs.folders[0]);
    if (rounded != first && !context.quiet)
      fmt::print(context.err, "note: {} was trained on its base {}, {} on it {}: together they are of no one base\n",
                 name, rounded.empty() ? "as it is" : "rounded to " + rounded, names[0],
                 first.empty() ? "as it is" : "rounded to " + first);
  }
  tell_rounded_base(inputs.folders[0], context);
  if (base.empty()) check_one_base(inputs);
  inputs.base = base.empty() ? found_base(inputs.folders[0], inputs.adapters[0]) : base;
  const bool needs_base{std::ranges::any_of(inputs.adapters, [](const Adapter& one) { return one.needs_base(); })};
  if (needs_base || !base.empty()) {
    const std::string path = base_model_of(inputs.folders[0], inputs.base, "--base", inputs.adapters[0]);
    const ModelFiles files(path);
    tell_notes(files, context);
    for (Adapter& adapter : inputs.adapters) {
      adapter = made_plain(std::move(adapter), files, threads, context);
      check_fits(adapter, files);
    }
  }
  check_only_matrices(inputs.adapters, inputs.names);
  // One name where all agree; a base that was given stands for names that do not.
  const std::set<std::string> named = named_bases(inputs.adapters);
  Adapter& first = inputs.adapters[0];
  if (named.size() == 1) {
    const auto any = std::ranges::find_if(inputs.adapters, [](const Adapter& one) { return !one.base_model.empty(); });
    const std::string name = any->base_model, revision = any->revision;
    first.base_model = name, first.revision = revision;
  } else if (!base.empty()) {
    first.base_model = base, first.revision.clear();
  }
  return inputs;
}

AdapterInputs read_adapters(const std::vector<std::string>& names, const MadeAdapterOptions& options,
                            base::Context& context) {
  if (!options.base_name.empty()) check_base_name(options.base_name);
  const fs::path folder = without_separator(options.output);
  base::check_output_is_folder("--output", folder);
  check_folder(folder, options.overwrite, context.run_yaml);
  std::vector<std::string> read;
  for (const std::string& name : names) read.push_back(adapter_folder(name).string());
  base::check_outputs({folder.string()}, read);
  AdapterInputs inputs = read_adapters(names, options.base, options.threads, context);
  if (!inputs.base.empty()) base::check_outputs({folder.string()}, {find_model(inputs.base).string()});
  return inputs;
}

std::string write_made_adapter(Adapter& adapter, const std::string& origin, const AdapterInputs& inputs,
                               MadeAdapterOptions& options, base::Context& context) {
  // What the inputs' runs know of the base, the result's run.yaml knows too.
  if (!options.base_name.empty()) adapter.base_model = options.base_name, adapter.revision.clear();
  if (options.base.empty()) options.base = inputs.base;
  if (options.base_name.empty() && is_hub_name(adapter.base_model)) options.base_name = adapter.base_model;
  const fs::path path = without_separator(options.output);
  const std::string yaml = context.options
                               ? std::string(base::run_head_of(context.run_yaml)) + context.options->to_yaml()
                               : context.run_yaml;
  OutputFolder folder(path, options.overwrite, yaml);
  const std::string note = copy_tokenizer(inputs, path);
  write_model_card(adapter, path, origin);
  adapter.rounded_base = rounded_base_of(inputs.folders[0]);
  write_adapter(adapter, path);
  folder.finish();
  return note;
}

std::string short_name(const AdapterInputs& inputs, std::size_t index) {
  const fs::path& folder = inputs.folders[index];
  return "`" + (folder.filename() == "adapter" ? folder.parent_path() : folder).filename().string() + "`";
}

std::string rank_text(const Adapter& adapter) {
  if (adapter.modules.empty()) return fmt::format("{}", adapter.rank);
  const auto [least, most] = std::ranges::minmax_element(adapter.modules, {}, &AdapterModule::rank);
  return least->rank == most->rank ? fmt::format("{}", most->rank) : fmt::format("{} to {}", least->rank, most->rank);
}

std::string cut_text(const std::vector<FusedModule>& modules) {
  double norm = 0, error = 0, most = 0;
  const FusedModule* worst = nullptr;
  for (const FusedModule& module : modules) {
    norm += module.squared_norm, error += module.squared_error;
    const double share{module.squared_norm > 0 ? std::sqrt(module.squared_error / module.squared_norm) : 0};
    if (share > most) most = share, worst = &module;
  }
  // What is less is float32's rounding.
  if (worst == nullptr || error <= 1e-14 * norm) return "nothing of the change was cut off\n";
  return fmt::format("cut off: {:.3g} % of the change (norm of the difference); most in {}: {:.3g} %\n",
                     100 * std::sqrt(error / norm), worst->name, 100 * most);
}

void add_modules(const std::vector<FusedModule>& modules, nlohmann::ordered_json& result) {
  double norm = 0, error = 0;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const auto share = [](double part, double whole) { return whole > 0 ? std::sqrt(part / whole) : 0; };
  for (const FusedModule& module : modules) {
    norm += module.squared_norm, error += module.squared_error;
    list.push_back({{"name", module.name},
                    {"rank", module.rank},
                    {"adapters", module.adapters},
                    {"norm", std::sqrt(module.squared_norm)},
                    {"error", share(module.squared_error, module.squared_norm)}});
  }
  result["norm"] = std::sqrt(norm);
  result["error"] = share(error, norm);
  result["per_module"] = list;
}

}  // namespace lora
