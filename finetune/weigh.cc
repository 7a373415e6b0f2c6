// `finetune weigh`: weights of adapters from the loss on held-out records. Tested by
// tests/finetune/adapter_weights_test.cc.
#include "finetune/weigh.h"

#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/progress.h"
#include "base/text.h"
#include "finetune/measured.h"
#include "finetune/train/adapter_weights.h"
#include "lora/adapter/chat_format.h"
#include "lora/fuse/extras.h"
#include "lora/fuse/fuse.h"
#include "lora/locate.h"

namespace finetune {
namespace {

struct WeighOptions {
  std::vector<std::string> adapters, data;
  std::vector<double> start;
  ModelOptions model;
  std::int64_t passes = 40;
  MeasuredOptions measured;
  void visit(base::OptionVisitor& v) {
    v.positional("adapters", adapters, "runs of finetune train, or adapters' folders, of one base",
                 base::PathKind::kModel);
    v("data", data, "records that no adapter was trained on: chat, prompt and completion, or text",
      base::PathKind::kPath);
    v("start", start, "weights to begin with, one for each adapter; none: all alike, 1 in sum");
    v("passes", passes, "passes over the data, forward and backward, at most").at_least(1);
    model.visit(v, false);
    measured.visit(v);
  }
};

std::vector<double> start_of(const WeighOptions& options) {
  const std::size_t count{options.adapters.size()};
  if (options.start.empty()) return std::vector<double>(count, 1 / static_cast<double>(count));
  if (options.start.size() != count)
    throw base::UsageError({"not one weight for each adapter", "start", fmt::format("{}", options.start.size()),
                            fmt::format("{}", count), "--start 0.5 0.5"});
  return options.start;
}

std::vector<lora::Adapter> adapters_of(const WeighOptions& options, const std::filesystem::path& base,
                                       const base::Context& context) {
  lora::ModelFiles files(base.string());
  std::vector<lora::Adapter> adapters;
  std::vector<std::string> templates;
  for (const std::string& path : options.adapters) {
    adapters.push_back(load_adapter(path, files, options.model.threads));
    if (adapters.size() > 1) tell_notes(notes_of(path, adapters.back(), files), context);  // the first is told
    const std::string &first = adapters.front().base_model, &own = adapters.back().base_model;
    if (options.model.model.empty() && are_two_bases(first, own))
      throw base::UsageError({"adapters of two bases cannot be weighed against each other", path, own,
                              first + ", as of " + options.adapters.front(),
                              "adapters of one base; where both names mean the same model, give it: --model MODEL"});
    lora::refuse_extras(adapters.back(), path, "weighed");
    const auto rounded_base = [](const std::string& run) { return lora::rounded_base_of(lora::adapter_folder(run)); };
    if (options.model.quantization == kAsTrained && rounded_base(path) != rounded_base(options.adapters[0]))
      throw base::UsageError({"adapters that were trained on one base rounded in different ways", path, "",
                              "as " + options.adapters.front(), "say how the base is kept: --quantization"});
    if (!options.model.chat.chat_template.empty()) continue;
    templates.push_back(lora::tokenizer_of(files, lora::adapter_folder(path), "")->chat_template);
    if (templates.back() != templates.front())
      throw base::UsageError({"adapters that were trained with different chat templates", path, "",
                              "the one of " + options.adapters.front(),
                              "say by which all of them are weighed: --chat-template NAME or FILE"});
  }
  lora::check_only_matrices(adapters, options.adapters);
  return adapters;
}

std::string fuse_command(const WeighOptions& options, const WeightFit& fit) {
  if (fit.weights.size() == 1)
    return fmt::format("lora scale {} --by {:.6g} --output SCALED", base::shell_word(options.adapters[0]),
                       fit.weights[0]);
  std::string text = "lora fuse";
  for (const std::string& path : options.adapters) text += fmt::format(" {}", base::shell_word(path));
  text += " --weights";
  for (const double weight : fit.weights) text += fmt::format(" {:.6g}", weight);
  return text + " --output FUSED";
}

void tell(const WeighOptions& options, const WeightFit& fit, const Dataset& dataset, base::Context& context) {
  if (context.json) {
    nlohmann::ordered_json json = {{"adapters", options.adapters}, {"weights", fit.weights},
                                   {"start_loss", fit.start_loss}, {"loss", fit.loss},
                                   {"gradient", fit.gradient},     {"passes", fit.evaluations},
                                   {"converged", fit.converged},   {"examples", dataset.examples.size()}};
    context.out << base::json_dump(json) << "\n";
  } else {
    for (std::size_t i = 0; i < fit.weights.size(); ++i)
      fmt::print(context.out, "{:>10.6f}  {}\n", fit.weights[i], options.adapters[i]);
  }
  if (context.quiet) return;
  fmt::print(context.err, "loss {:.5f} -> {:.5f} in {} passes over {} examples\n{}next: {}\n", fit.start_loss, fit.loss,
             fit.evaluations, base::human_count(dataset.examples.size()),
             fit.converged ? "" : "note: not at the end yet: more --passes, or --start from these weights\n",
             fuse_command(options, fit));
}

int run_weigh(WeighOptions& options, base::Context& context) {
  if (options.adapters.empty())
    throw base::UsageError(
        {"no adapters", "", "", "one or more adapters",
         "before the options, or behind --: an option such as --data takes all the words behind it"});
  if (options.data.empty()) throw base::UsageError({"no data", "--data", "", "one or more files", ""});
  const std::vector<double> start = start_of(options);
  options.model.adapter = options.adapters[0];  // its base, and the chat template that it was trained with
  LoadedModel loaded = load_model(options.model);
  tell_notes(loaded.notes, context);
  const std::vector<lora::Adapter> adapters = adapters_of(options, loaded.path, context);
  const Dataset dataset = read_measured(options.data, options.measured, loaded, options.model.threads, context);
  base::Progress progress(context.err, context.quiet, "finetune weigh");
  const WeightFit fit = fit_weights(loaded.model, adapters, start, dataset.examples,
                                    {options.measured.max_length, options.passes}, [&](double share) {
                                      progress.update(share, "");
                                      return true;
                                    });
  progress.finish();
  tell(options, fit, dataset, context);
  return 0;
}

}  // namespace

base::Command weigh_command() {
  return base::make_command<WeighOptions>("weigh",
                                          "by how much each of several adapters should count, from held-out records",
                                          "finetune weigh out/a out/b --data held.jsonl", run_weigh);
}

}  // namespace finetune
