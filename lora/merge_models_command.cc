// `lora merge-models`: several models of one shape as one. Tested by tests/cli/lora/merge_models.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/commands.h"
#include "lora/compose/alike.h"
#include "lora/compose/made_card.h"
#include "lora/compose/merge_models.h"
#include "lora/locate.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using Models = std::vector<std::unique_ptr<ModelFiles>>;

MergeMethod method_named(const std::string& name) {
  const std::vector<std::string>& names = merge_method_names();
  return static_cast<MergeMethod>(std::ranges::find(names, name) - names.begin());
}

bool is_given(const base::Context& context, const char* name) {
  const base::Option* option = context.options ? context.options->find(name) : nullptr;
  return option && option->given;
}

// What a method does not use is not passed over in silence.
void check_options(const MergeModelsOptions& options, MergeMethod method, const base::Context& context) {
  const bool is_slerp{method == MergeMethod::kSlerp}, on_base{needs_base(method)}, keeps{keeps_some(method)};
  const bool is_dare{keeps && method != MergeMethod::kTies};
  const auto only_for = [&](const char* name, bool is_used, const char* methods) {
    if (is_given(context, name) && !is_used)
      throw base::UsageError({"not used by this method", name, options.method, methods, "leave it out"});
  };
  only_for("base", on_base, "ties, dare, dare-ties or task-arithmetic");
  only_for("weights", !is_slerp, "any method but slerp");
  only_for("normalize", !is_slerp, "any method but slerp");
  only_for("t", is_slerp, "slerp");
  only_for("density", keeps, "ties, dare or dare-ties");
  only_for("rescale", is_dare, "dare or dare-ties");
  only_for("seed", is_dare, "dare or dare-ties");
  only_for("lambda", on_base, "ties, dare, dare-ties or task-arithmetic");
  const std::size_t count{options.models.size()};
  if (is_slerp ? count != 2 : count < (on_base ? 1U : 2U))
    throw base::UsageError({"not the number of models that the method takes", "models", std::to_string(count),
                            is_slerp  ? "two"
                            : on_base ? "one or more, and --base"
                                      : "two or more",
                            "lora merge-models MODEL MODEL --method " + options.method + " --output DIR"});
  if (on_base && options.base.empty())
    throw base::UsageError({"the method adds what each model has more than its base", "base", "", "--base MODEL", ""});
  if (is_dare && options.density.empty())
    throw base::UsageError({"how much is kept by chance must be said", "density", "", "--density 0.5", ""});
}

MergeSettings settings_of(const MergeModelsOptions& options, MergeMethod method) {
  MergeSettings settings;
  const std::size_t count{options.models.size()};
  settings.method = method;
  settings.weights = layer_curves(options.weights, count, "weights");
  settings.densities = layer_curves(options.density, count, "density");
  for (const LayerCurve& curve : settings.densities)
    for (const double density : curve.points)
      if (density <= 0 || density > 1)
        throw base::UsageError({"not a share", "density", base::join(options.density, ","), "above 0, at most 1", ""});
  for (const std::string& text : options.t) settings.t.push_back(curve_of_part(text, "t"));
  // Those of a part go before that of all.
  std::stable_partition(settings.t.begin(), settings.t.end(),
                        [](const LayerCurve& curve) { return !curve.part.empty(); });
  if (settings.t.empty() || !settings.t.back().part.empty()) settings.t.push_back({{0.5}, ""});
  settings.lambda = options.lambda, settings.seed = options.seed;
  const bool divides{method == MergeMethod::kLinear || method == MergeMethod::kTies};
  settings.normalised = options.normalize == "auto" ? divides : options.normalize == "yes";
  settings.rescale = options.rescale == "norm"      ? Rescale::kNorm
                     : options.rescale == "density" ? Rescale::kDensity
                                                    : Rescale::kNone;
  return settings;
}

// Heads: where one model has its own, all have.
void part_heads(Models& models, base::Context& context) {
  const auto ties = [](const auto& model) { return model->config().tied_embeddings; };
  if (std::ranges::all_of(models, ties) || std::ranges::none_of(models, ties)) return;
  for (const auto& model : models)
    if (ties(model)) model->give_own_head();
  if (!context.quiet)
    context.err
        << "note: some of the models tie their head to the embedding, and some do not: the result has a head of "
           "its own\n";
}

// The one whose tokenizer, config and types are kept: what --tokenizer names, else the first of `models`.
const ModelFiles& kept_of(const Models& models, const std::string& named) {
  if (named.empty()) return *models.front();
  for (const auto& model : models)
    if (fs::equivalent(model->path(), ModelFiles(named).path())) return *model;
  throw base::UsageError({"not one of the models that are merged", "tokenizer", named, "one of them", ""});
}

void check_models(const Models& models, const ModelFiles& kept, bool is_chosen, base::Context& context) {
  std::vector<std::string> notes;
  for (const auto& model : models) {
    if (model.get() == &kept) continue;
    check_alike(kept, *model);
    const std::string difference = difference_of_tokenizers(kept, *model, notes);
    if (difference.empty()) continue;
    if (!is_chosen)
      throw base::Error({"the models have different tokenizers, so that their rows of tokens mean other things",
                         model->path().string(), difference, "that of " + kept.path().string(),
                         "if it is meant, --tokenizer MODEL says whose is kept"});
    notes.push_back(
        fmt::format("{} has another tokenizer than {}: {}", model->path().string(), kept.path().string(), difference));
  }
  if (context.quiet || notes.empty()) return;
  for (const std::string& note : notes) fmt::print(context.err, "note: {}\n", note);
  fmt::print(context.err, "note: tokenizer, chat template and config are those of {}; --tokenizer chooses others\n",
             kept.path().string());
}

std::string card_of(const MergeModelsOptions& options, const Models& models) {
  std::vector<const ModelFiles*> sources;
  for (const auto& model : models) sources.push_back(model.get());
  std::string how = "Several models in one, weight by weight: method `" + options.method + "`";
  const auto add = [&how](const char* name, const std::string& value) {
    if (!value.empty()) how += fmt::format(", {} {}", name, value);
  };
  add("weights", base::join(options.weights, ",")), add("density", base::join(options.density, ",")),
      add("t", base::join(options.t, " "));
  if (needs_base(method_named(options.method)))
    add("lambda", fmt::format("{:g}; the base is the first of these", options.lambda));
  return made_card("Merged model", how + ".", sources);
}

}  // namespace

const std::vector<std::string>& merge_method_names() {
  static const std::vector<std::string> kNames = {"linear", "slerp", "ties", "dare", "dare-ties", "task-arithmetic"};
  return kNames;
}

int run_merge_models(MergeModelsOptions& options, base::Context& context) {
  const MergeMethod method = method_named(options.method);
  check_options(options, method, context);
  const MergeSettings settings = settings_of(options, method);
  Models models;  // the base first
  if (needs_base(method)) models.push_back(std::make_unique<ModelFiles>(options.base));
  for (const std::string& name : options.models) models.push_back(std::make_unique<ModelFiles>(name));
  std::vector<const ModelFiles*> merged;
  for (std::size_t i = needs_base(method) ? 1 : 0; i < models.size(); ++i) {
    merged.push_back(models[i].get());
    if (needs_base(method) && fs::equivalent(models[0]->path(), models[i]->path()))
      throw base::UsageError({"the base is also one of the models", "models", options.base,
                              "models that were made from it", "it adds nothing to itself: leave it out"});
  }
  for (const auto& model : models) tell_notes(*model, context);
  const ModelFiles& kept = kept_of(models, options.tokenizer);
  check_models(models, kept, !options.tokenizer.empty(), context);
  part_heads(models, context);
  const auto make = [&](base::DType type, bool keep_types) {
    base::Progress progress(context.err, context.quiet, "lora: measuring the models");
    MadeModel made = merged_models(needs_base(method) ? models[0].get() : nullptr, merged, kept, settings, type,
                                   keep_types, options.made.threads, [&](double share) { progress.update(share, ""); });
    progress.finish();
    return made;
  };
  const MadeOutput made = write_made(kept, options.made, "lora: merging", make, card_of(options, models), context);
  const nlohmann::ordered_json facts = {{"method", options.method},
                                        {"models", options.models},
                                        {"base", needs_base(method) ? nlohmann::ordered_json(options.base) : nullptr},
                                        {"tokenizer", kept.path().string()}};
  tell_made(made,
            {facts,
             fmt::format("merged {} by {}{}", base::join(options.models, ", "), options.method,
                         needs_base(method) ? " on " + options.base : ""),
             fmt::format("next: finetune generate --model {} --prompt \"The\"\n", base::shell_word(made.output))},
            context);
  return 0;
}

}  // namespace lora
