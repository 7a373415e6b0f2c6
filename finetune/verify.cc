// Does a merged model compute what its base with the adapter computes? Tested by tests/finetune/commands_test.cc.
#include "finetune/verify.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "finetune/kernels/device.h"
#include "finetune/model/load.h"

namespace finetune {
namespace {

struct VerifyOptions {
  std::vector<std::string> models;
  std::string adapter, text, device = "cpu", quantization = "none";
  double bound = 0;
  std::int64_t max_tokens = 1024;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    v.positional("models", models, "two models: the base, and what was merged or converted from it",
                 base::PathKind::kModel);
    v("adapter", adapter, "goes on the first model: an adapter folder, or the output folder of a training run",
      base::PathKind::kModel);
    v.required("text", text, "a text file: what the two models read", base::PathKind::kPath);
    visit_quantization(v, quantization, "how the first model is kept: as its adapter was trained");
    v("bound", bound, "largest relative difference that passes; 0: by the second model's type of weights").at_least(0);
    v("max_tokens", max_tokens, "compare at most so many tokens").at_least(1);
    v.choice("device", device, {"auto", "cpu", "cuda"}, "where to compute, always in float32");
    v("threads", threads, "CPU threads, 0 = one a core").at_least(0);
  }
};

// Pieces of at most this many tokens are documents of their own, so that the work grows linearly with the text.
constexpr std::size_t kPiece = 256;

// Logits of every position of each piece, kept on the CPU.
std::vector<at::Tensor> all_logits(const Transformer& model, const std::vector<std::int32_t>& ids) {
  at::NoGradGuard no_gradient;
  std::vector<at::Tensor> result;
  for (std::size_t first = 0; first < ids.size(); first += kPiece) {
    PackedRow row;
    std::vector<std::int64_t> piece(ids.begin() + static_cast<std::ptrdiff_t>(first),
                                    ids.begin() + static_cast<std::ptrdiff_t>(std::min(first + kPiece, ids.size())));
    row.ids = at::tensor(piece);
    row.lengths = {row.ids.size(0)};
    result.push_back(model.logits(model.hidden(row)).to(at::kCPU));
  }
  return result;
}

// As numbers: the two may have them in another order.
std::set<std::int32_t> end_set(const tokenizer::Tokenizer& tokenizer) {
  const std::vector<std::int32_t> ids = tokenizer.end_ids();
  return {ids.begin(), ids.end()};
}

int run_verify(VerifyOptions& options, base::Context& context) {
  if (options.models.size() != 2)
    throw base::UsageError({"verify compares two models", "verify", base::join(options.models, " "),
                            "verify BASE MERGED --text FILE [--adapter DIR]", ""});
  set_threads(options.threads);
  at::Device device = choose_device(options.device);
  std::string text = base::read_file(options.text);
  Comparison comparison;
  std::vector<at::Tensor> expected;
  std::vector<std::int32_t> ids;
  std::set<std::int32_t> ends;
  {
    lora::ModelFiles files(options.models[0]);
    const auto tokenizer = tokenizer::load(files.path());
    ids = tokenizer->encode(text);
    ends = end_set(*tokenizer);
    if (ids.empty()) throw base::Error({"no token to compare", options.text, "", "a text", ""});
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(options.max_tokens)));
    check_ids(ids, files.config());
    Transformer model(files, at::kFloat, device, quantization_named(options.quantization));
    if (!options.adapter.empty()) model.attach(load_adapter(options.adapter, files, options.threads));
    expected = all_logits(model, ids);
  }  // One model in memory at a time.
  lora::ModelFiles files(options.models[1]);
  const auto tokenizer = tokenizer::load(files.path());
  std::vector<std::int32_t> other_ids = tokenizer->encode(text);
  const std::set<std::int32_t> other_ends = end_set(*tokenizer);
  other_ids.resize(std::min(other_ids.size(), ids.size()));
  if (other_ids != ids)
    throw base::Error({"the tokenizers of the two models give different ids", options.models[1], "", "",
                       "export the model again with its tokenizer"});
  const Bound bound = options.bound > 0 ? Bound{options.bound, "the given bound"} : bound_of(files);
  comparison.bound = bound.value;
  comparison.bound_name = bound.name;
  std::vector<at::Tensor> actual = all_logits(Transformer(files, at::kFloat, device), ids);
  for (std::size_t i = 0; i < expected.size(); ++i) compare(expected[i], actual[i], comparison);
  if (context.json) {
    const nlohmann::ordered_json result = {{"max_abs", comparison.max_abs},   {"max_rel", comparison.max_rel},
                                           {"bound", comparison.bound},       {"bound_name", comparison.bound_name},
                                           {"tokens", comparison.tokens},     {"equal", comparison.equal()},
                                           {"equal_ends", ends == other_ends}};
    context.out << result.dump() << "\n";
  } else {
    context.out << to_text(comparison) << "\n";
  }
  if (ends != other_ends && !context.quiet)
    fmt::print(context.err, "note: the two models do not end their answers at the same tokens: {} and {}\n",
               fmt::join(ends, ", "), fmt::join(other_ends, ", "));
  return comparison.equal() ? 0 : 1;
}

}  // namespace

Bound bound_of(const lora::ModelFiles& files) {
  Bound bound;
  auto allow = [&](double value, const char* type) {
    if (value > bound.value) bound = {value, fmt::format("{} rounding", type)};
  };
  for (const std::string& name : files.names()) {
    switch (files.type(name)) {
      case base::DType::kF64:
      case base::DType::kF32:
        allow(2e-5, "float32");
        break;
      case base::DType::kF16:
        allow(5e-3, "float16");
        break;
      case base::DType::kBF16:
        allow(5e-2, "bfloat16");
        break;
      case base::DType::kQ8_0:
        allow(1.5e-1, "Q8_0");
        break;
      default:
        throw base::Error({"no bound is known for weights of this type", files.path().string(),
                           std::string(base::name_of(files.type(name))), "F32, F16, BF16 or Q8_0", "give --bound"});
    }
  }
  return bound;
}

std::string to_text(const Comparison& comparison) {
  return fmt::format("{} tokens: the logits {} {} (largest relative difference {:.2e}, bound {:g})",
                     base::human_count(static_cast<std::uint64_t>(comparison.tokens)),
                     comparison.equal() ? "agree within" : "DIFFER by more than", comparison.bound_name,
                     comparison.max_rel, comparison.bound);
}

void compare(const at::Tensor& expected, const at::Tensor& actual, Comparison& comparison) {
  if (expected.sizes() != actual.sizes())
    throw base::Error({"the two models have vocabularies of different sizes", "", std::to_string(actual.size(1)),
                       std::to_string(expected.size(1)), ""});
  at::Tensor centred = expected - expected.mean(1, true);
  at::Tensor difference = actual - actual.mean(1, true) - centred;
  at::Tensor relative = difference.norm(2, 1) / centred.norm(2, 1);
  // A NaN stays, so that a broken model does not pass.
  auto larger = [](double so_far, double value) { return value <= so_far || std::isnan(so_far) ? so_far : value; };
  comparison.max_abs = larger(comparison.max_abs, difference.abs().max().item<double>());
  comparison.max_rel = larger(comparison.max_rel, relative.max().item<double>());
  comparison.tokens += expected.size(0);
}

base::Command verify_command() {
  return base::make_command<VerifyOptions>(
      "verify", "compare the logits of a base with an adapter to those of a merged model",
      "finetune verify build/data/smollm2.gguf RUN/merged --adapter RUN --text README.md", run_verify);
}

}  // namespace finetune
