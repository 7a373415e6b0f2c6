// The page that lies in a merged folder. Tested by tests/lora/adapter/merged_card_test.cc.
#include "lora/adapter/merged_card.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "base/unicode.h"
#include "base/yaml_text.h"
#include "lora/adapter/contents.h"
#include "lora/model/gguf_metadata.h"
#include "lora/model/hub.h"
#include "lora/model/licence.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// Files of this machine by their last part.
std::vector<std::string> data_of(const YAML::Node& run) {
  std::vector<std::string> names;
  const YAML::Node data = run["data"];
  const auto add = [&](const YAML::Node& node) {
    if (node.IsScalar()) names.push_back(base::valid_utf8(fs::path(base::yaml_text(node)).filename().string()));
  };
  if (data && data.IsSequence()) {
    for (const YAML::Node& node : data) add(node);
  } else if (data) {
    add(data);
  }
  return names;
}

std::string data_text(const fs::path& file) {
  if (!fs::exists(file)) return "";
  try {
    const YAML::Node run = YAML::Load(base::read_file(file));
    if (!run.IsMap()) return "";
    const std::vector<std::string> names = data_of(run);
    return names.empty() ? "" : fmt::format("- data: {}\n", base::join(names, ", "));
  } catch (const YAML::Exception&) {
    return "";
  }
}

struct Figures {
  std::int64_t steps = 0;
  std::optional<double> first_loss, last_loss, first_validation, last_validation;
};

Figures figures_of(const fs::path& file) {
  Figures figures;
  for (const std::string& line : base::split(base::read_file(file), '\n')) {
    const auto step = nlohmann::json::parse(line, nullptr, false);
    if (!step.is_object()) continue;
    const auto take = [&](const char* key, std::optional<double>& first, std::optional<double>& last) {
      const auto value = step.find(key);
      if (value == step.end() || !value->is_number()) return;
      last = value->get<double>();
      if (!first) first = last;
    };
    take("loss", figures.first_loss, figures.last_loss);
    take("validation_loss", figures.first_validation, figures.last_validation);
    if (const auto number = step.find("step"); number != step.end() && number->is_number_integer())
      figures.steps = std::max(figures.steps, number->get<std::int64_t>());
  }
  return figures;
}

std::string figures_text(const fs::path& file) {
  if (!fs::exists(file)) return "";
  const Figures figures = figures_of(file);
  std::string text;
  if (figures.steps > 0) text += fmt::format("- steps: {}\n", figures.steps);
  if (figures.last_loss) text += fmt::format("- loss: {:.4f} -> {:.4f}\n", *figures.first_loss, *figures.last_loss);
  if (figures.last_validation)
    text += fmt::format("- validation loss: {:.4f} -> {:.4f}\n", *figures.first_validation, *figures.last_validation);
  return text;
}

}  // namespace

std::string merged_card(const Adapter& adapter, const ModelFiles& base, const fs::path& run, WeightType type,
                        bool in_full) {
  const bool portable = is_hub_name(adapter.base_model);
  const std::string licence = licence_of(base), name = portable ? adapter.base_model : model_name(base.path());
  std::string card = "---\n";
  if (portable) card += fmt::format("base_model: {}\nbase_model_relation: finetune\n", name);
  if (!licence.empty()) card += fmt::format("license: {}\n", licence);
  card += "library_name: transformers\npipeline_tag: text-generation\n---\n\n";
  card += in_full ? "# Trained model\n\n" : "# Merged model\n\n";
  card += portable ? fmt::format("[{0}](https://huggingface.co/{0})", name) : fmt::format("`{}`", name);
  card += in_full ? fmt::format(", every weight of it trained, in {}.\n\n", name_of(type))
                  : fmt::format(" with {} merged into its weights, in {}.\n\n", contents_text(adapter), name_of(type));
  card += "## Licence\n\n";
  card += licence.empty() ? "The base's files name no licence; what holds for the base holds for this model.\n"
                          : fmt::format("That of the base: `{}`.\n", licence);
  const std::string training = run.empty() ? "" : data_text(run / "run.yaml") + figures_text(run / "metrics.jsonl");
  if (!training.empty()) card += "\n## Training\n\n" + training;
  if (!adapter.modules.empty())
    card += fmt::format("{}- rank {}, alpha {}{}\n", training.empty() ? "\n## Training\n\n" : "", adapter.rank,
                        adapter.alpha, adapter.rslora ? " (rsLoRA)" : "");
  return card +
         "\n## Use\n\n```python\nfrom transformers import pipeline\n\nprint(pipeline(\"text-generation\", \"THIS "
         "FOLDER\")(\"The\"))\n```\n\nMade with Hornbook " HORNBOOK_VERSION ".\n";
}

}  // namespace lora
