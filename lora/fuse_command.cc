// `lora fuse` and `lora subtract`: several adapters as one. Tested by tests/cli/lora/fuse and tests/cli/lora/subtract.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/contents.h"
#include "lora/commands.h"
#include "lora/fuse/extras.h"
#include "lora/fuse/fuse.h"

namespace lora {
namespace {

using nlohmann::ordered_json;

bool is_elementwise(const std::string& method) {
  return method != "linear" && method != "concatenate" && method != "svd";
}

std::int64_t largest_rank(const AdapterInputs& inputs) {
  std::int64_t rank = 1;
  for (const Adapter& adapter : inputs.adapters)
    for (const AdapterModule& module : adapter.modules) rank = std::max(rank, module.rank);
  return rank;
}

FuseSettings settings_of(const FuseOptions& options, const AdapterInputs& inputs) {
  FuseSettings settings;
  settings.rank = options.method == "svd" && options.rank == 0 ? largest_rank(inputs) : options.rank;
  settings.threads = base::thread_count(options.made.threads);
  if (options.method == "concatenate") settings.method = FuseMethod::kConcatenate;
  if (!is_elementwise(options.method)) return settings;
  settings.method = FuseMethod::kElementwise;
  settings.elementwise = {options.method.starts_with("dare"), options.method.ends_with("ties"),
                          options.sign == "frequency", options.density, options.seed};
  return settings;
}

// Options that only another method has are refused, not passed over.
void check_method(const FuseOptions& options, const base::Context& context) {
  const auto is_given = [&](const char* name) { return context.options && context.options->find(name)->given; };
  const auto refuse = [&](const char* option, const char* methods) {
    throw base::UsageError({fmt::format("only for {}", methods), option, "", "", "--method chooses one"});
  };
  const std::string& method = options.method;
  if (!is_elementwise(method) && is_given("density")) refuse("density", "ties, dare, dare-ties and magnitude-prune");
  if (!method.ends_with("ties") && is_given("sign")) refuse("sign", "ties and dare-ties");
  if (!method.starts_with("dare") && is_given("seed")) refuse("seed", "dare and dare-ties");
  if (method == "concatenate" && options.rank != 0)
    throw base::UsageError({"matrices side by side have the sum of the ranks", "rank", fmt::format("{}", options.rank),
                            "no rank", "--method svd cuts the same sum"});
  if (is_elementwise(method) && !is_given("density"))
    throw base::UsageError({"missing option", "density", "", "the share of numbers that is kept, such as 0.5", ""});
}

std::vector<double> weights_of(const FuseOptions& options) {
  if (options.weights.empty()) return std::vector<double>(options.input.size(), 1);
  for (const double weight : options.weights)
    if (!std::isfinite(weight))
      throw base::UsageError({"not a weight", "weights", fmt::format("{}", weight), "a number", ""});
  if (options.weights.size() != options.input.size())
    throw base::UsageError({"not one weight for each adapter", "weights", fmt::format("{}", options.weights.size()),
                            fmt::format("{}, in the order of the adapters", options.input.size()),
                            "--weights 0.7 0.3"});
  return options.weights;
}

// "0.7 of a, 0.3 of b"; for README.md without the places where they lie.
std::string parts_text(const AdapterInputs& inputs, const std::vector<double>& weights, bool with_places) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < weights.size(); ++i)
    parts.push_back(fmt::format("{:g} of {}", weights[i], with_places ? inputs.names[i] : short_name(inputs, i)));
  return base::join(parts, ", ");
}

std::string missing_text(const FusedAdapter& fused, std::size_t adapters) {
  std::size_t missing = 0;
  const FusedModule* first = nullptr;
  for (const FusedModule& module : fused.modules)
    if (module.adapters < adapters && ++missing == 1) first = &module;
  if (missing == 0) return "";
  return fmt::format("note: {} of {} modules are not in every adapter ({}); who has none changes nothing there\n",
                     missing, fused.modules.size(), first->name);
}

struct Fusion {
  std::string made, method;  // "fused", "linear"
  std::vector<double> weights;
  FuseSettings settings;
};

int fuse_and_write(const AdapterInputs& inputs, const Fusion& fusion, std::vector<std::string> notes,
                   FusedAdapter result, MadeAdapterOptions& made, base::Context& context) {
  const std::string origin =
      fmt::format("Made of {} adapters ({}) by `{}`, on what they change (scale * B A), not on their matrices.{}",
                  inputs.names.size(), parts_text(inputs, fusion.weights, false), fusion.method,
                  notes.empty() ? "" : " " + base::join(notes, " "));
  const std::string note = write_made_adapter(result.adapter, origin, inputs, made, context);
  if (context.json) {
    ordered_json list = ordered_json::array();
    for (std::size_t i = 0; i < inputs.names.size(); ++i)
      list.push_back({{"path", inputs.folders[i].string()}, {"weight", fusion.weights[i]}});
    ordered_json json = {{"output", made.output},
                         {"adapters", list},
                         {"method", fusion.method},
                         {"base_model", result.adapter.base_model},
                         {"rank", result.adapter.rank}};
    add_contents(result.adapter, json);
    add_modules(result.modules, json);
    context.out << base::json_dump(json) << "\n";
  }
  if (context.quiet) return 0;
  for (const std::string& text : notes) fmt::print(context.err, "note: {}\n", text);
  fmt::print(context.err, "{} {} into {} ({}): {}, rank {}\n{}{}{}next: lora merge {}\n", fusion.made,
             parts_text(inputs, fusion.weights, true), made.output, fusion.method, contents_text(result.adapter),
             rank_text(result.adapter), cut_text(result.modules), missing_text(result, inputs.names.size()), note,
             base::shell_word(made.output));
  return 0;
}

FusedAdapter fused_with_progress(const AdapterInputs& inputs, const Fusion& fusion, base::Context& context) {
  base::Progress progress(context.err, context.quiet, "lora: fusing");
  return fused(inputs.adapters, fusion.weights, fusion.settings, [&](double share) { progress.update(share, ""); });
}

}  // namespace

int run_fuse(FuseOptions& options, base::Context& context) {
  check_method(options, context);
  if (options.input.size() < (is_elementwise(options.method) ? 1U : 2U))
    throw base::UsageError({"too few adapters", "", "", "two or more adapters: lora fuse A B --output DIR",
                            "of one: lora scale, lora resize"});
  Fusion fusion{"fused", options.method, weights_of(options), {}};
  const AdapterInputs inputs = read_adapters(options.input, options.made, context);
  fusion.settings = settings_of(options, inputs);
  Adapter extras;
  const std::vector<std::string> notes = take_extras(inputs.adapters, inputs.names, extras);
  FusedAdapter result = fused_with_progress(inputs, fusion, context);
  result.adapter.saved = std::move(extras.saved), result.adapter.tokens = std::move(extras.tokens);
  return fuse_and_write(inputs, fusion, notes, std::move(result), options.made, context);
}

int run_subtract(SubtractOptions& options, base::Context& context) {
  if (options.input.size() != 2)
    throw base::UsageError({"not two adapters", "", fmt::format("{}", options.input.size()),
                            "two adapters: lora subtract A B --output DIR", ""});
  Fusion fusion{"subtracted", "linear", {1, -1}, {}};
  const AdapterInputs inputs = read_adapters(options.input, options.made, context);
  for (std::size_t i = 0; i < 2; ++i) refuse_trained_extras(inputs.adapters[i], inputs.names[i], "subtracted");
  fusion.settings.rank = options.rank;
  fusion.settings.threads = base::thread_count(options.made.threads);
  Adapter extras;
  const std::vector<std::string> notes = take_extras(inputs.adapters, inputs.names, extras);
  FusedAdapter result = fused_with_progress(inputs, fusion, context);
  result.adapter.saved = std::move(extras.saved);
  return fuse_and_write(inputs, fusion, notes, std::move(result), options.made, context);
}

}  // namespace lora
