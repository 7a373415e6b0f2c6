// An adapter before its first step. Tested by tests/lora/adapter/fresh_test.cc.
#include "lora/adapter/fresh.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "lora/adapter/extra_tensors.h"
#include "lora/adapter/start.h"
#include "lora/model/module_names.h"

namespace lora {
namespace {

using nlohmann::ordered_json;

[[noreturn]] void refuse(const std::string& what, const char* option, const std::string& value,
                         const std::string& expected, const std::string& advice = "") {
  throw base::UsageError({what, std::string("--lora.") + option, value, expected, advice});
}

double number_of(const std::string& text, const char* option, const std::string& whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    refuse("not a pattern", option, whole, "EXPRESSION=NUMBER, such as down_proj=8");
  return value;
}

// {"q_proj": 8} of "q_proj=8". The expression may hold '=' itself.
ordered_json pattern_object(const std::vector<std::string>& lines, const char* option) {
  ordered_json object = ordered_json::object();
  for (const std::string& line : lines) {
    const std::size_t equals{line.rfind('=')};
    if (equals == std::string::npos || equals == 0)
      refuse("not a pattern", option, line, "EXPRESSION=NUMBER, such as down_proj=8");
    const std::string expression = line.substr(0, equals);
    if (object.contains(expression)) refuse("a pattern that stands there twice", option, expression, "each once");
    object[expression] = number_of(line.substr(equals + 1), option, line);
  }
  return object;
}

ordered_json layers_of(const ModelSpec& spec, const std::vector<std::string>& texts) {
  ordered_json layers = ordered_json::array();
  for (const std::string& text : texts) {
    std::int64_t layer = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
    if (error != std::errc() || end != text.data() + text.size() || layer < 0 || layer >= spec.config.layers)
      refuse("no such layer", "layers_to_transform", text, fmt::format("0 to {}", spec.config.layers - 1));
    layers.push_back(layer);
  }
  return layers;
}

// Head and embedding that stay tied get one adapter, which is the embedding's, as in PEFT.
std::vector<std::string> targets_of(const ModelSpec& spec, const FreshOptions& options) {
  std::vector<std::string> targets = expand_targets(spec, options.targets);
  const auto is_head = [&](const std::string& target) { return names_module({target}, spec.head); };
  if (!options.ensure_weight_tying || !spec.config.tied_embeddings || std::erase_if(targets, is_head) == 0)
    return targets;
  const auto is_embedding = [&](const std::string& target) { return names_module({target}, spec.embedding); };
  if (std::ranges::none_of(targets, is_embedding)) targets.push_back(suffix_of(spec.embedding));
  return targets;
}

AdapterConfig config_of(const ModelSpec& spec, const FreshOptions& options) {
  ordered_json keys = {{"r", options.rank}, {"lora_alpha", options.alpha}};
  keys["target_modules"] = targets_of(spec, options);
  keys["exclude_modules"] = options.exclude_modules;
  keys["layers_to_transform"] = layers_of(spec, options.layers_to_transform);
  keys["layers_pattern"] = options.layers_pattern;
  keys["rank_pattern"] = pattern_object(options.rank_pattern, "rank_pattern");
  keys["alpha_pattern"] = pattern_object(options.alpha_pattern, "alpha_pattern");
  return adapter_config_of(keys, "--lora");
}

// What a list names must be there: else it is a typing error. Of several patterns for a module the first counts.
void check_used(const std::vector<std::string>& modules, const ordered_json& patterns, const char* option) {
  std::set<std::string> taken;
  for (const auto& [expression, value] : patterns.items()) {
    bool matches = false, counts = false;
    for (const std::string& module : modules) {
      if (!pattern_matches(expression, module)) continue;
      matches = true;
      counts |= taken.insert(module).second;
    }
    if (!matches)
      refuse("a pattern that matches no module with LoRA", option, expression,
             "an expression for the end of a name such as " + (modules.empty() ? "q_proj" : modules.front()));
    if (!counts)
      refuse("a pattern all of whose modules an earlier one takes", option, expression,
             "the special ones first: of several that match the first counts");
  }
}

void check_excluded(const std::vector<std::string>& all, const std::vector<std::string>& left_out,
                    const FreshOptions& options) {
  const auto in_block =
      std::ranges::find_if(all, [](const std::string& name) { return name.find(".layers.") != std::string::npos; });
  for (const std::string& name : options.exclude_modules) {
    const auto is_named = [&](const std::string& module) { return names_module({name}, module); };
    if (std::ranges::none_of(all, is_named))
      refuse("no such module", "exclude_modules", name,
             "a linear layer of the model, such as " + (in_block == all.end() ? all.front() : *in_block));
    if (std::ranges::none_of(left_out, is_named))
      refuse("a module that would get no adapter anyway", "exclude_modules", name,
             "what --lora.targets names, here " + base::join(options.targets, ", "), "leave it out");
  }
}

// U(+-1/sqrt(in)); of the embedding N(0, 1) (Box and Muller), as PEFT starts its B.
void fill(std::vector<float>& values, base::Random& random, double bound, bool is_embedding) {
  for (float& value : values) {
    if (!is_embedding) {
      value = static_cast<float>((2 * random.uniform() - 1) * bound);
      continue;
    }
    const double radius{std::sqrt(-2 * std::log(1 - random.uniform()))};
    value = static_cast<float>(radius * std::cos(2 * std::numbers::pi * random.uniform()));
  }
}

struct Place {
  std::string name;
  std::int64_t index, in, out;  // `index`: of its random numbers
};

// Embedding and head first, then in forward order.
std::vector<Place> places_of(const ModelSpec& spec) {
  std::vector<Place> places;
  std::int64_t index = 0;
  for (const BlockSpec& block : spec.blocks)
    for (const LinearSpec& linear : block.linears) places.push_back({linear.name, index++, linear.in, linear.out});
  const std::int64_t hidden{spec.config.hidden_size}, vocabulary{spec.config.vocab_size};
  places.insert(places.begin(),
                {{spec.embedding, index + 1, hidden, vocabulary}, {spec.head, index, hidden, vocabulary}});
  return places;
}

bool trains_whole(const FreshOptions& options, const std::string& module) {
  return saves_tensor(options.modules_to_save, module + ".weight");
}

std::vector<float> values_of(const ModelFiles& base, const std::string& name) {
  const std::vector<std::int64_t> shape = base.shape(name);
  std::int64_t size = 1;
  for (const std::int64_t side : shape) size *= side;
  std::vector<float> values(static_cast<std::size_t>(size));
  base.read(name, values);
  return values;
}

void add_saved(Adapter& adapter, const ModelFiles& base, const FreshOptions& options) {
  const ModelSpec& spec = base.spec();
  const std::string embedding = spec.embedding + ".weight", head = spec.head + ".weight";
  std::set<std::string> names;
  for (const TensorSpec& tensor : tensors_of(spec)) names.insert(tensor.name);
  names.insert(head);
  for (const std::string& module : options.modules_to_save) {
    const auto is_saved = [&](const std::string& name) { return saves_tensor({module}, name); };
    if (std::ranges::none_of(names, is_saved)) {
      std::vector<std::string> known;
      for (const std::string& name : names) known.push_back(suffix_of(name.substr(0, name.rfind('.'))));
      const std::string near = base::nearest(module, known);
      refuse("no such module", "modules_to_save", module, spec.embedding + ", " + spec.head + ", " + spec.norm.name,
             near.empty() ? "" : "did you mean '" + near + "'?");
    }
  }
  std::erase_if(names, [&](const std::string& name) { return !saves_tensor(options.modules_to_save, name); });
  const bool is_one{options.ensure_weight_tying && spec.config.tied_embeddings};
  if (is_one && names.erase(head) > 0) names.insert(embedding);
  for (const std::string& name : names) {
    const std::string& source = base.find(name) ? name : embedding;  // of a tied model the head's is the embedding's
    adapter.saved.push_back({name, base.shape(source), values_of(base, source), true});
  }
}

bool has_lora(const Adapter& adapter, const std::string& module) {
  return std::ranges::find(adapter.modules, module, &AdapterModule::name) != adapter.modules.end();
}

void add_rows(Adapter& adapter, const ModelFiles& base, const std::string& module, std::vector<std::int64_t> ids) {
  if (ids.empty()) return;
  std::ranges::sort(ids);
  TokenRows& rows = adapter.tokens.emplace_back();
  rows = {module, std::move(ids), base.config().hidden_size, {}};
  std::vector<float> row(static_cast<std::size_t>(rows.width));
  for (const std::int64_t id : rows.ids) {
    base.read_rows(module + ".weight", id, 1, row);
    rows.values.insert(rows.values.end(), row.begin(), row.end());
  }
}

// A new row that no adapter holds would be lost: PEFT and transformers begin it with other numbers.
void check_new_tokens(const Adapter& adapter, const ModelFiles& base, const FreshOptions& options) {
  const std::string &embedding = base.spec().embedding, &head = base.spec().head;
  for (const std::string& module : {embedding, head})
    if (has_lora(adapter, module))
      refuse("LoRA on a matrix that gets rows of new tokens", "targets", module, "targets without it",
             "train it whole instead: --lora.modules-to-save " + suffix_of(module));
  const bool is_one{trains_whole(options, embedding) != trains_whole(options, head)};
  if (is_one && base.config().tied_embeddings && !options.ensure_weight_tying)
    refuse("new tokens, and one of two matrices that the base ties trains apart from the other", "modules_to_save",
           base::join(options.modules_to_save, ", "), "both or none of them",
           "--lora.ensure-weight-tying keeps them one");
}

void add_tokens(Adapter& adapter, const ModelFiles& base, const FreshOptions& options) {
  const std::string &embedding = base.spec().embedding, &head = base.spec().head;
  if (!options.tokens.empty() && (trains_whole(options, embedding) || has_lora(adapter, embedding)))
    refuse("the embedding trains already", "trainable_tokens", fmt::format("{}", fmt::join(options.tokens, " ")),
           "rows of an embedding that is else frozen", "leave embed_tokens out of targets and modules_to_save");
  if (!options.new_tokens.empty()) check_new_tokens(adapter, base, options);
  const bool is_tied{base.config().tied_embeddings};
  // The rows are the head's too: PEFT cannot load them beside a head of another kind.
  if (!options.tokens.empty() && is_tied && (trains_whole(options, head) || (options.dora && has_lora(adapter, head))))
    refuse("rows of a head that trains otherwise, which the base ties with the embedding", "trainable_tokens",
           fmt::format("{}", fmt::join(options.tokens, " ")),
           fmt::format("a head that is else frozen, or has LoRA{}", options.dora ? " without DoRA" : ""),
           "leave lm_head out of targets and modules_to_save");
  const bool is_whole{trains_whole(options, embedding) || (is_tied && trains_whole(options, head))};
  std::vector<std::int64_t> ids = options.tokens;
  if (!is_whole) ids.insert(ids.end(), options.new_tokens.begin(), options.new_tokens.end());
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());  // a new token may be named among the others too
  add_rows(adapter, base, embedding, std::move(ids));
  if (!is_tied && !trains_whole(options, head)) add_rows(adapter, base, head, options.new_tokens);
  std::ranges::sort(adapter.tokens, {}, &TokenRows::module);
}

}  // namespace

Adapter chosen_modules(const ModelSpec& spec, const FreshOptions& options) {
  const AdapterConfig config = config_of(spec, options);
  Adapter adapter;
  adapter.rank = options.rank, adapter.alpha = options.alpha, adapter.dropout = options.dropout;
  adapter.rslora = options.rslora, adapter.dora = options.dora, adapter.tied = options.ensure_weight_tying;
  adapter.targets = targets_of(spec, options);
  std::vector<std::string> all, left_out, chosen;
  for (const Place& place : places_of(spec)) {
    all.push_back(place.name);
    const bool is_shared{options.ensure_weight_tying && spec.config.tied_embeddings && place.name == spec.head};
    const std::string excluded_by = config.excluded_by(place.name);
    if (excluded_by == "exclude_modules") left_out.push_back(place.name);
    if (!excluded_by.empty() || trains_whole(options, place.name) || is_shared) continue;
    chosen.push_back(place.name);
    const double rank{config.rank_of(place.name)}, alpha{config.alpha_of(place.name)};
    if (rank != std::floor(rank) || rank < 1 || rank > 65536)
      refuse("bad rank", "rank_pattern", fmt::format("{}", rank), "a whole number from 1 to 65536");
    if (!(alpha > 0)) refuse("bad alpha", "alpha_pattern", fmt::format("{}", alpha), "above 0");
    AdapterModule& module = adapter.modules.emplace_back();
    module = {place.name, static_cast<std::int64_t>(rank), place.in, place.out, 0, {}, {}};
    module.scale = alpha / (options.rslora ? std::sqrt(rank) : rank);
  }
  if (chosen.empty())
    refuse("no module is left to train", "targets", base::join(options.targets, ", "), "one or more",
           "exclude_modules, layers_to_transform and modules_to_save leave none");
  if (options.dora && adapter.tied && chosen.front() == spec.embedding)
    refuse("DoRA scales columns of an embedding and rows of its head, which are one here", "ensure_weight_tying",
           "true", "without it: the head stays as it is");
  check_excluded(all, left_out, options);
  check_used(chosen, pattern_object(options.rank_pattern, "rank_pattern"), "rank_pattern");
  check_used(chosen, pattern_object(options.alpha_pattern, "alpha_pattern"), "alpha_pattern");
  // Of one that stays tied to its head the head drops its inputs.
  if (options.dropout > 0 && !adapter.tied && !adapter.modules.empty() &&
      std::ranges::all_of(adapter.modules, [](const AdapterModule& module) { return is_embedding(module.name); }))
    refuse("an embedding has no dropout, and nothing else has LoRA", "dropout", fmt::format("{}", options.dropout), "0",
           "leave it out");
  set_dropouts(adapter, options.dropout_pattern);
  adapter.is_partial = leaves_out(adapter, spec);
  return adapter;
}

Adapter fresh_adapter(const ModelSpec& spec, const FreshOptions& options, std::uint64_t seed) {
  Adapter adapter = chosen_modules(spec, options);
  std::map<std::string, std::int64_t> numbers;
  for (const Place& place : places_of(spec)) numbers[place.name] = place.index;
  for (AdapterModule& module : adapter.modules) {
    module.a.resize(static_cast<std::size_t>(module.rank * module.in));
    module.b.resize(static_cast<std::size_t>(module.rank * module.out));
    base::Random random(base::mix64(seed ^ base::mix64(static_cast<std::uint64_t>(numbers.at(module.name)) + 1)));
    fill(module.a, random, 1 / std::sqrt(static_cast<double>(module.in)), module.name == spec.embedding);
  }
  return adapter;
}

void set_dropouts(Adapter& adapter, const std::vector<std::string>& patterns) {
  const ordered_json dropouts = pattern_object(patterns, "dropout_pattern");
  std::vector<std::string> names;
  for (AdapterModule& module : adapter.modules) {
    if (is_embedding(module.name) && !adapter.tied) continue;  // PEFT drops none of its inputs, which are tokens
    names.push_back(module.name);
    for (const auto& [expression, value] : dropouts.items())
      if (!module.dropout && pattern_matches(expression, module.name)) module.dropout = value.get<double>();
    if (module.dropout && !(*module.dropout >= 0 && *module.dropout < 1))
      refuse("bad dropout", "dropout_pattern", fmt::format("{}", *module.dropout), "0 or more, below 1");
  }
  check_used(names, dropouts, "dropout_pattern");
}

Adapter whole_model(const ModelFiles& model) {
  Adapter adapter;
  adapter.tied = true;
  for (const std::string& name : model.names())
    adapter.saved.push_back({name, model.shape(name), values_of(model, name), true});
  std::ranges::sort(adapter.saved, {}, &SavedTensor::name);
  return adapter;
}

void add_from_base(Adapter& adapter, const ModelFiles& base, const FreshOptions& options, int threads,
                   const std::function<void(double)>& progress) {
  add_saved(adapter, base, options);
  add_tokens(adapter, base, options);
  if (!options.start.empty())
    start_from_base(adapter, base, options.start == "pissa" ? Start::kPissa : Start::kOlora, threads, progress);
}

}  // namespace lora
