// Does what was exported compute what its base with the adapter computes? Tested by tests/finetune/commands_test.cc.
#include "finetune/verify.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/text.h"
#include "finetune/comparison.h"
#include "finetune/kernels/device.h"
#include "finetune/model/generate.h"
#include "finetune/model/load.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/same_weights.h"
#include "lora/locate.h"

namespace finetune {
namespace {

using Ids = std::vector<std::int32_t>;

struct VerifyOptions {
  std::vector<std::string> models;
  std::string adapter, exported, text, device = "cpu", quantization = kAsTrained;
  double bound = 0, bound_kl = 0, bound_best = 0;
  std::int64_t max_tokens = 1024, max_new_tokens = 16;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    v.positional("models", models, "the base, and what was merged or converted from it; with --exported the base alone",
                 base::PathKind::kModel);
    v("adapter", adapter, "goes on the first model: an adapter folder, or the output folder of a training run",
      base::PathKind::kModel);
    v("exported", exported, "goes on the second model, or on the base: a PEFT or MLX folder, or a GGUF adapter",
      base::PathKind::kModel);
    v("text", text, "a text file: what the two models read; else ten short prompts", base::PathKind::kPath);
    visit_quantization(v, quantization,
                       "how the first model is kept; auto: as its adapter's run trained on it (nf4, int8)",
                       {kAsTrained});
    v("bound", bound, "largest relative difference that passes; 0: by the second model's type of weights").at_least(0);
    v("bound_kl", bound_kl, "likewise of the mean Kullback-Leibler divergence").at_least(0).unit("nats");
    v("bound_best", bound_best, "share of positions with the same best token that passes; 0: by the type")
        .between(0, 1);
    v("max_tokens", max_tokens, "compare at most so many tokens of the text").at_least(1);
    v("max_new_tokens", max_new_tokens, "that both models write after each prompt").at_least(0);
    v.choice("device", device, {"auto", "cpu", "cuda"}, "where to compute, always in float32");
    v("threads", threads, "CPU threads, 0 = one a core").at_least(0);
  }
};

// Pieces of at most this many tokens are documents of their own, so that the work grows linearly with the text. The
// beginnings of the first ones are prompts.
constexpr std::size_t kPiece = 256, kPrompts = 8, kPromptTokens = 24;

constexpr std::array<const char*, 10> kTexts = {"The sun is a star because",
                                                "In 1969, two people walked on",
                                                "def factorial(n):\n    return",
                                                "Water boils at 100 degrees",
                                                "\"Why do leaves turn red?\" asked the",
                                                "The three laws of motion say that",
                                                "To sort a list of numbers, first",
                                                "Das Wetter ist heute",
                                                "A triangle has three sides, and",
                                                "Q: What is a hornbook?\nA:"};

// What both models read, and after what they write on.
struct Reading {
  std::vector<Ids> pieces, prompts;
  bool operator==(const Reading&) const = default;
};

Reading reading_of(const VerifyOptions& options, const tokenizer::Tokenizer& tokenizer) {
  Reading reading;
  if (options.text.empty()) {
    for (const char* text : kTexts) reading.prompts.push_back(tokenizer::encode_from_start(tokenizer, text, false));
    return reading;
  }
  Ids ids = tokenizer.encode(base::read_file(options.text));
  if (ids.empty()) throw base::Error({"no token to compare", options.text, "", "a text", ""});
  ids.resize(std::min(ids.size(), static_cast<std::size_t>(options.max_tokens)));
  for (std::size_t first = 0; first < ids.size(); first += kPiece) {
    const auto at = [&](std::size_t place) {
      return ids.begin() + static_cast<std::ptrdiff_t>(std::min(place, ids.size()));
    };
    reading.pieces.emplace_back(at(first), at(first + kPiece));
    if (reading.prompts.size() < kPrompts) reading.prompts.emplace_back(at(first), at(first + kPromptTokens));
  }
  return reading;
}

at::Tensor logits_of(const Transformer& model, const Ids& ids) {
  at::NoGradGuard no_gradient;
  PackedRow row;
  row.ids = at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end()));
  row.lengths = {row.ids.size(0)};
  return model.logits(model.hidden(row)).to(at::kCPU);
}

std::vector<Ids> greedy_texts(const Transformer& model, const std::vector<Ids>& prompts, std::int64_t count) {
  std::vector<Ids> texts;
  SamplingOptions greedy;
  greedy.max_tokens = count;
  for (const Ids& prompt : prompts) {
    Session session;
    texts.push_back(count == 0 ? Ids() : generate(model, prompt, {}, greedy, session));
  }
  return texts;
}

// As numbers: the two may have them in another order.
std::set<std::int32_t> end_set(const tokenizer::Tokenizer& tokenizer) {
  const Ids ids = tokenizer.end_ids();
  return {ids.begin(), ids.end()};
}

// With the chat template and the end tokens by which people ask it: the adapter's where it has its own.
std::unique_ptr<tokenizer::Tokenizer> tokenizer_with(const lora::ModelFiles& files, const std::string& adapter) {
  return lora::tokenizer_of(files, adapter.empty() ? std::filesystem::path() : lora::adapter_folder(adapter), "");
}

// What the base with its adapter computes.
struct Expected {
  Reading reading;
  std::string chat_template;
  std::set<std::int32_t> ends;
  std::vector<Ids> texts;      // of each prompt
  std::vector<Ids> documents;  // pieces, then each prompt with its text
  std::vector<at::Tensor> logits;
};

Expected expected_of(const VerifyOptions& options, at::Device device) {
  Expected expected;
  lora::ModelFiles files(options.models[0]);
  std::optional<lora::Adapter> adapter;  // before the tokenizer: it may bring tokens
  if (!options.adapter.empty()) adapter = load_adapter(options.adapter, files, options.threads);
  const auto tokenizer = tokenizer_with(files, options.adapter);
  expected.reading = reading_of(options, *tokenizer);
  expected.ends = end_set(*tokenizer);
  expected.chat_template = tokenizer->chat_template + tokenizer->tool_template;
  for (const std::vector<Ids>* part : {&expected.reading.pieces, &expected.reading.prompts})
    for (const Ids& ids : *part) check_ids(ids, files.config());
  Transformer model(files, at::kFloat, device, quantization_named(options.quantization));
  if (adapter) model.attach(*adapter);
  expected.texts = greedy_texts(model, expected.reading.prompts, options.max_new_tokens);
  expected.documents = expected.reading.pieces;
  for (std::size_t i = 0; i < expected.texts.size(); ++i) {
    Ids document = expected.reading.prompts[i];
    document.insert(document.end(), expected.texts[i].begin(), expected.texts[i].end());
    expected.documents.push_back(document);
  }
  for (const Ids& document : expected.documents) expected.logits.push_back(logits_of(model, document));
  return expected;
}

Bounds chosen_bounds(const VerifyOptions& options, const lora::ModelFiles& files, bool is_the_base) {
  const bool are_given{options.bound > 0 && options.bound_kl > 0 && options.bound_best > 0};
  Bounds bounds = are_given ? Bounds{} : is_the_base ? float32_bounds() : bounds_of(files);
  if (options.bound > 0) bounds.relative = options.bound;
  if (options.bound_kl > 0) bounds.mean_kl = options.bound_kl;
  if (options.bound_best > 0) bounds.same_best = options.bound_best;
  if (options.bound > 0) bounds.name = "the given bound";
  return bounds;
}

struct Result {
  Comparison comparison;
  std::vector<Ids> texts;
  std::set<std::int32_t> ends;
  std::string chat_template;
};

Result compared(const VerifyOptions& options, const Expected& expected, at::Device device) {
  Result result;
  lora::ModelFiles files(options.models.back());
  std::optional<lora::Adapter> exported;
  if (!options.exported.empty()) exported = load_adapter(options.exported, files, options.threads);
  const auto tokenizer = tokenizer_with(files, options.exported);
  if (reading_of(options, *tokenizer) != expected.reading)
    throw base::Error({"the tokenizers of the two models give different ids", options.models.back(), "", "",
                       "export the model again with its tokenizer"});
  result.ends = end_set(*tokenizer);
  result.chat_template = tokenizer->chat_template + tokenizer->tool_template;
  const bool is_the_base{options.models.size() == 1};
  result.comparison.bounds = chosen_bounds(options, files, is_the_base);
  Transformer model(files, at::kFloat, device, quantization_named(is_the_base ? options.quantization : "none"));
  if (exported) model.attach(*exported);
  for (std::size_t i = 0; i < expected.documents.size(); ++i)
    compare(expected.logits[i], logits_of(model, expected.documents[i]), result.comparison);
  if (options.max_new_tokens == 0) return result;
  result.texts = greedy_texts(model, expected.reading.prompts, options.max_new_tokens);
  const std::size_t pieces{expected.reading.pieces.size()};
  for (std::size_t i = 0; i < result.texts.size(); ++i)
    compare_texts(expected.texts[i], result.texts[i], static_cast<std::int64_t>(expected.reading.prompts[i].size()),
                  expected.logits[pieces + i], result.comparison);
  return result;
}

// Is what is written base and adapter, rounded? Blocks of few bits move logits by more than most adapters do.
lora::Difference weights_of(const VerifyOptions& options) {
  lora::ModelFiles base(options.models[0]);
  const lora::ModelFiles written(options.models[1]);
  lora::Adapter adapter;
  if (!options.adapter.empty()) adapter = load_adapter(options.adapter, base, options.threads);
  lora::give_own_head(base, adapter);
  return lora::compare_weights(lora::MergedModel(base, options.adapter.empty() ? nullptr : &adapter), written,
                               options.threads);
}

// Nothing: not looked at.
using Sameness = std::optional<bool>;

nlohmann::ordered_json to_json(const Comparison& comparison, Sameness ends, Sameness chat_template) {
  const auto said = [](Sameness same) { return same ? nlohmann::ordered_json(*same) : nlohmann::ordered_json(); };
  const Bounds& bounds = comparison.bounds;
  nlohmann::ordered_json json = {{"max_abs", comparison.max_abs},
                                 {"max_rel", comparison.max_rel},
                                 {"bound", bounds.relative},
                                 {"bound_name", bounds.name},
                                 {"mean_kl", comparison.mean_kl()},
                                 {"max_kl", comparison.max_kl},
                                 {"bound_kl", bounds.mean_kl},
                                 {"same_best", comparison.share_of_best()},
                                 {"bound_best", bounds.same_best},
                                 {"tokens", comparison.tokens},
                                 {"texts", comparison.texts},
                                 {"same_texts", comparison.same_texts},
                                 {"unexplained_texts", comparison.unexplained},
                                 {"equal", comparison.equal()},
                                 {"equal_ends", said(ends)},
                                 {"equal_chat_template", said(chat_template)}};
  if (comparison.weights)
    json["weights"] = {{"of", comparison.weights->name},
                       {"rounded", comparison.weights->rounded},
                       {"bound", comparison.weights->rounded_bound},
                       {"equal", comparison.weights->is_within()}};
  return json;
}

int run_verify(VerifyOptions& options, base::Context& context) {
  const std::size_t least{options.exported.empty() ? 2U : 1U};
  if (options.models.size() < least || options.models.size() > 2)
    throw base::UsageError({"verify compares two models, or an exported adapter on its base", "verify",
                            base::join(options.models, " "),
                            "verify BASE MERGED [--adapter RUN], or verify BASE --adapter RUN --exported ADAPTER", ""});
  set_threads(options.threads);
  const at::Device device = choose_device(options.device);
  if (options.quantization == kAsTrained) {
    std::vector<std::string> notes;
    options.quantization = as_trained(options.adapter, lora::ModelFiles(options.models[0]), notes);
    tell_notes(notes, context);
  }
  const Expected expected = expected_of(options, device);  // its model is gone: one in memory at a time
  Result result = compared(options, expected, device);
  if (options.exported.empty()) result.comparison.weights = weights_of(options);
  const Comparison& comparison = result.comparison;
  // A GGUF adapter has neither: its Modelfile has.
  const bool is_bare{base::is_gguf_name(options.exported)};
  Sameness same_ends, same_template;
  if (!is_bare)
    same_ends = expected.ends == result.ends, same_template = expected.chat_template == result.chat_template;
  if (context.json)
    context.out << base::json_dump(to_json(comparison, same_ends, same_template)) << "\n";
  else
    context.out << to_text(comparison) << "\n";
  if (same_ends == false && !context.quiet)
    fmt::print(context.err, "note: the two models do not end their answers at the same tokens: {} and {}\n",
               fmt::join(expected.ends, ", "), fmt::join(result.ends, ", "));
  if (same_template == false && !context.quiet)
    fmt::print(context.err, "note: the two do not ask in the same way: their chat templates differ\n");
  return comparison.equal() ? 0 : 1;
}

}  // namespace

base::Command verify_command() {
  return base::make_command<VerifyOptions>(
      "verify", "compare what a base with an adapter computes to what was exported: logits, probabilities, greedy text",
      "finetune verify build/data/smollm2.gguf RUN/merged --adapter RUN", run_verify);
}

}  // namespace finetune
