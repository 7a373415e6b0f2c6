// Fresh adapters: what options choose, as PEFT's keys of the same names would, and what they refuse.
#include "lora/adapter/fresh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/mlx_adapter.h"
#include "lora/adapter/start.h"
#include "tests/temporary_folder.h"

namespace {

using lora::Adapter;
using lora::FreshOptions;
using testing::HasSubstr;

const std::string kTiny = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/";
const std::string kVariants = HORNBOOK_SOURCE_DIR "/tests/golden/finetune/variants/";

lora::ModelFiles& files(const std::string& name) {
  static std::map<std::string, std::unique_ptr<lora::ModelFiles>> open;
  auto& entry = open[name];
  if (!entry) entry = std::make_unique<lora::ModelFiles>(kTiny + name);
  return *entry;
}

Adapter made(const FreshOptions& options, const std::string& base) {
  Adapter adapter = lora::fresh_adapter(files(base).spec(), options, 3);
  lora::add_from_base(adapter, files(base), options, 1);
  return adapter;
}

std::string error_of(const FreshOptions& options, const std::string& base = "untied") {
  try {
    made(options, base);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

// The options of scripts/oracle/peft_variants.py, and which tensors of which shape PEFT has for them.
struct Case {
  const char* name;
  const char* base;
  FreshOptions options;
};

std::vector<Case> cases() {
  std::vector<Case> cases;
  const auto add = [&](const char* name, const char* base, std::vector<std::string> targets, std::int64_t rank,
                       double alpha) -> FreshOptions& {
    Case& entry = cases.emplace_back();
    entry.name = name, entry.base = base;
    entry.options.targets = std::move(targets), entry.options.rank = rank, entry.options.alpha = alpha;
    return entry.options;
  };
  FreshOptions& patterns = add("patterns", "untied", {"all-linear"}, 4, 6);
  patterns.exclude_modules = {"o_proj"};
  patterns.layers_to_transform = {"1"};
  patterns.layers_pattern = {"layers"};
  patterns.rank_pattern = {"q_proj=2", R"(.*\.mlp\.(up|gate)_proj=6)", "down_proj=3"};
  patterns.alpha_pattern = {R"(self_attn\..*=5)", "down_proj=11"};
  add("dora", "untied", {"all-linear"}, 4, 8).dora = true;
  add("saved", "untied", {"q_proj"}, 2, 4).modules_to_save = {"embed_tokens", "lm_head", "norm", "layers.1.mlp"};
  add("saved_linear", "bias", {"q_proj"}, 2, 4).modules_to_save = {"k_proj", "down_proj"};
  add("saved_tied", "tied", {"q_proj"}, 2, 4).modules_to_save = {"embed_tokens"};
  add("saved_tied_both", "tied", {"q_proj"}, 2, 4).modules_to_save = {"embed_tokens", "lm_head"};
  FreshOptions& ensured = add("saved_tied_ensured", "tied", {"q_proj"}, 2, 4);
  ensured.modules_to_save = {"embed_tokens"};
  ensured.ensure_weight_tying = true;
  add("embedding", "untied", {"q_proj", "embed_tokens", "lm_head"}, 3, 6);
  add("embedding_tied", "tied", {"q_proj", "embed_tokens"}, 3, 6);
  add("embedding_tied_ensured", "tied", {"q_proj", "embed_tokens"}, 3, 6).ensure_weight_tying = true;
  add("dora_embedding", "untied", {"q_proj", "embed_tokens", "lm_head"}, 3, 6).dora = true;
  FreshOptions& tied = add("dora_embedding_tied", "tied", {"q_proj", "embed_tokens"}, 3, 6);
  tied.dora = tied.rslora = true;
  add("tokens", "untied", {"q_proj"}, 2, 4).tokens = {5, 40, 200};
  add("tokens_tied", "tied", {"q_proj"}, 2, 4).tokens = {5, 40, 200};
  return cases;
}

TEST(FreshAdapter, ChoosesWhatPeftChooses) {
  for (const auto& [name, base, options] : cases()) {
    const Adapter ours = made(options, base);
    Adapter theirs = lora::read_adapter(kVariants + name);
    std::erase_if(theirs.saved, [](const lora::SavedTensor& tensor) { return !tensor.is_trained; });
    ASSERT_EQ(ours.modules.size(), theirs.modules.size()) << name;
    for (std::size_t i = 0; i < ours.modules.size(); ++i) {
      const lora::AdapterModule &mine = ours.modules[i], &other = theirs.modules[i];
      EXPECT_EQ(mine.name, other.name) << name;
      EXPECT_EQ(mine.rank, other.rank) << name << mine.name;
      EXPECT_EQ(mine.in, other.in) << name << mine.name;
      EXPECT_EQ(mine.out, other.out) << name << mine.name;
      EXPECT_DOUBLE_EQ(mine.scale, other.scale) << name << mine.name;
      EXPECT_EQ(std::count(mine.b.begin(), mine.b.end(), 0.0F), static_cast<std::ptrdiff_t>(mine.b.size()));
    }
    ASSERT_EQ(ours.saved.size(), theirs.saved.size()) << name;
    for (std::size_t i = 0; i < ours.saved.size(); ++i) {
      EXPECT_EQ(ours.saved[i].name, theirs.saved[i].name);
      EXPECT_EQ(ours.saved[i].shape, theirs.saved[i].shape);
    }
    ASSERT_EQ(ours.tokens.size(), theirs.tokens.size()) << name;
    if (!ours.tokens.empty()) {
      EXPECT_EQ(ours.tokens[0].ids, theirs.tokens[0].ids);
    }
    EXPECT_EQ(ours.tied, theirs.tied) << name;
    EXPECT_EQ(ours.targets.size(), theirs.targets.size() + (options.exclude_modules.empty() ? 0 : 1)) << name;
  }
}

// The whole is the base's before the first step: with PiSSA's and OLoRA's starts as well, whose A and B are PEFT's.
TEST(FreshAdapter, BeginsAsTheBase) {
  for (const char* start : {"", "pissa", "olora"}) {
    FreshOptions options;
    options.start = start;
    options.rank = 4, options.alpha = 6, options.rslora = *start == 'o';
    options.modules_to_save = {"norm"};
    options.tokens = {3};
    const Adapter adapter = made(options, "untied");
    const lora::MergedModel merged(files("untied"), &adapter);
    for (const std::string& name : files("untied").names()) {
      const std::vector<std::int64_t> shape = files("untied").shape(name);
      std::vector<float> before(static_cast<std::size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1))),
          now(before.size());
      files("untied").read(name, before);
      merged.read_rows(name, 0, shape[0], now);
      for (std::size_t i = 0; i < now.size(); ++i) ASSERT_NEAR(now[i], before[i], 2e-6) << start << name;
    }
    if (!*start) continue;
    const lora::AdapterModule& module = adapter.modules[0];
    EXPECT_EQ(module.rank, 8);
    EXPECT_EQ(module.frozen, 4);
    // A and B of the trained half share what they take: their lengths are equal (PiSSA); B's columns have length 1
    // (OLoRA).
    double a = 0, b = 0;
    for (std::int64_t i = 0; i < module.in; ++i) a += std::pow(module.a[static_cast<std::size_t>(i)], 2);
    for (std::int64_t i = 0; i < module.out; ++i) b += std::pow(module.b[static_cast<std::size_t>(i * 8)], 2);
    EXPECT_GT(a, 0.01);
    EXPECT_NEAR(b, *start == 'p' ? a : 1, 1e-4);
  }
}

// An expert's number is no layer's, as in PEFT 0.21.
TEST(FreshAdapter, LayersOfAMixtureAreLayers) {
  for (const char* pattern : {"", "layers"}) {
    FreshOptions options;
    options.layers_to_transform = {"1"};
    if (*pattern) options.layers_pattern = {pattern};
    std::size_t expected = 0;
    for (const lora::LinearSpec& linear : files("mixtral").spec().blocks[1].linears) expected += !linear.name.empty();
    const Adapter adapter = lora::fresh_adapter(files("mixtral").spec(), options, 3);
    EXPECT_EQ(adapter.modules.size(), expected);
    for (const lora::AdapterModule& module : adapter.modules)
      EXPECT_THAT(module.name, HasSubstr("model.layers.1.")) << pattern;
  }
}

// What stands in the file chooses, in PEFT, the modules that have tensors and no others.
TEST(FreshAdapter, OfSomeLayersNamesThemWhole) {
  const TemporaryFolder folder;
  const auto targets = [&](auto change, const char* base = "untied") {
    FreshOptions options;
    options.targets = {"q_proj"};
    change(options);
    lora::write_adapter(lora::fresh_adapter(files(base).spec(), options, 3), folder.path());
    const auto config = nlohmann::json::parse(base::read_file(folder.path() / "adapter_config.json"));
    // Read and written again without the base it says the same.
    lora::write_adapter(lora::read_adapter(folder.path()), folder.path() / "again");
    EXPECT_EQ(nlohmann::json::parse(base::read_file(folder.path() / "again/adapter_config.json")), config);
    return config.at("target_modules").dump();
  };
  EXPECT_EQ(targets([](FreshOptions&) {}), R"(["q_proj"])");
  EXPECT_EQ(targets([](FreshOptions& o) { o.layers_to_transform = {"0"}; }), R"(["model.layers.0.self_attn.q_proj"])");
  EXPECT_EQ(targets([](FreshOptions& o) { o.exclude_modules = {"0.self_attn.q_proj"}; }),
            R"(["model.layers.1.self_attn.q_proj"])");
  const auto of_an_expert = [](FreshOptions& o) {
    o.targets = {"w1"};
    for (const char* expert : {"1", "2", "3"}) o.exclude_modules.push_back(std::string("experts.") + expert + ".w1");
  };
  EXPECT_THAT(targets(of_an_expert, "mixtral"), HasSubstr("layers.0.block_sparse_moe.experts.0.w1"));
}

TEST(FreshAdapter, OfAdaptersInWhateverFormKeepsItsLayers) {
  const TemporaryFolder folder;
  FreshOptions options;
  options.targets = {"q_proj"}, options.layers_to_transform = {"1"};
  const Adapter adapter = lora::fresh_adapter(files("untied").spec(), options, 3);
  lora::write_mlx_adapter(adapter, folder.path() / "mlx");
  const Adapter read = lora::read_adapter(folder.path() / "mlx");
  lora::write_adapter(read, folder.path() / "peft");
  EXPECT_THAT(base::read_file(folder.path() / "peft/adapter_config.json"),
              HasSubstr("\"model.layers.1.self_attn.q_proj\""));
  lora::write_adapter(lora::plain_adapter(read, files("untied"), 1), folder.path() / "plain");
  EXPECT_THAT(base::read_file(folder.path() / "plain/adapter_config.json"),
              HasSubstr("\"model.layers.1.self_attn.q_proj\""));
}

TEST(FreshAdapter, AStartOfTooLargeARankNamesTheLargest) {
  FreshOptions options;
  options.start = "pissa", options.rank = 4096;
  const std::string error = error_of(options);
  EXPECT_THAT(error, HasSubstr("--lora.rank"));
  EXPECT_THAT(error, HasSubstr("at most "));
  EXPECT_THAT(error, HasSubstr("q_proj ["));
}

// Of a tied base the head's weight is the embedding's. What is merged is the base, before the first step.
TEST(FreshAdapter, StartsFromATiedHead) {
  for (const std::string start : {"pissa", "olora"}) {
    FreshOptions options;
    options.targets = {"q_proj", "lm_head"}, options.start = start, options.rank = 4;
    const Adapter adapter = made(options, "tied");
    const std::string head = files("tied").spec().head;
    const auto found = std::ranges::find(adapter.modules, head, &lora::AdapterModule::name);
    ASSERT_NE(found, adapter.modules.end());
    EXPECT_EQ(found->frozen, 4);
    lora::ModelFiles parted(kTiny + "tied");
    lora::give_own_head(parted, adapter);
    const lora::MergedModel merged(parted, &adapter);
    std::vector<float> own(static_cast<std::size_t>(found->in * found->out)), expected = own;
    merged.read_rows(head + ".weight", 0, found->out, own);
    files("tied").read(files("tied").spec().embedding + ".weight", expected);
    double most = 0;
    for (std::size_t i = 0; i < own.size(); ++i) most = std::max(most, std::fabs(double{own[i]} - expected[i]));
    EXPECT_LT(most, 1e-5) << start;
    EXPECT_GT(std::fabs(found->b[0]), 0) << "it starts with a part of the weight";
  }
}

TEST(FreshAdapter, RefusesWhatChoosesNothing) {
  const auto with = [](auto change) {
    FreshOptions options;
    change(options);
    return options;
  };
  using O = FreshOptions;
  const std::vector<std::pair<O, std::vector<std::string>>> wrong = {
      {with([](O& o) { o.rank_pattern = {"q_porj=2"}; }), {"rank-pattern", "q_porj"}},
      {with([](O& o) { o.rank_pattern = {"q_proj=2.5"}; }), {"rank-pattern", "2.5"}},
      {with([](O& o) {
         o.rank_pattern = {"q_proj=2", "layers.0.self_attn.q_proj=5"};
       }),
       {"rank-pattern", "an earlier one", "layers.0.self_attn.q_proj"}},
      {with([](O& o) { o.rank_pattern = {"q_proj"}; }), {"rank-pattern", "EXPRESSION=NUMBER"}},
      {with([](O& o) {
         o.rank_pattern = {"q_proj=2", "q_proj=3"};
       }),
       {"rank-pattern", "twice"}},
      {with([](O& o) { o.rank_pattern = {"(?=q)=3"}; }), {"rank_pattern", "(?=q)"}},
      {with([](O& o) { o.alpha_pattern = {"q_proj=x"}; }), {"alpha-pattern", "q_proj=x"}},
      {with([](O& o) { o.alpha_pattern = {"lm_head=3"}; }), {"alpha-pattern", "lm_head"}},
      {with([](O& o) { o.alpha_pattern = {"q_proj=0"}; }), {"--lora.alpha-pattern", "above 0"}},
      {with([](O& o) { o.alpha_pattern = {"q_proj=-1"}; }), {"--lora.alpha-pattern", "-1"}},
      {with([](O& o) { o.targets = {"q_porj"}; }), {"--lora.targets", "q_porj"}},
      {with([](O& o) { o.dropout_pattern = {"q_proj=1"}; }), {"dropout-pattern", "below 1"}},
      {with([](O& o) { o.dropout_pattern = {"x=0.1"}; }), {"dropout-pattern", "'x'"}},
      {with([](O& o) {
         o.targets = {"embed_tokens", "q_proj"}, o.dropout_pattern = {"embed_tokens=0.1"};
       }),
       {"dropout-pattern", "matches no module"}},
      {with([](O& o) { o.targets = {"embed_tokens"}, o.dropout = 0.1; }), {"--lora.dropout", "no dropout"}},
      {with([](O& o) { o.exclude_modules = {"q_porj"}; }), {"exclude-modules", "q_porj"}},
      {with([](O& o) { o.targets = {"q_proj"}, o.exclude_modules = {"up_proj"}; }), {"up_proj", "no adapter anyway"}},
      {with([](O& o) { o.layers_to_transform = {"2"}; }), {"layers-to-transform", "0 to 1"}},
      {with([](O& o) { o.layers_to_transform = {"first"}; }), {"layers-to-transform", "first"}},
      {with([](O& o) { o.layers_to_transform = {"1"}, o.layers_pattern = {"h"}; }), {"no module is left"}},
      {with([](O& o) { o.targets = {"q_proj"}, o.exclude_modules = {"q_proj"}; }), {"no module is left"}},
      {with([](O& o) { o.modules_to_save = {"lm_haed"}; }), {"modules-to-save", "did you mean 'lm_head'"}},
      {with([](O& o) { o.targets = {"embed_tokens"}, o.dora = o.ensure_weight_tying = true; }),
       {"ensure-weight-tying", "columns"}},
      {with([](O& o) { o.targets = {"embed_tokens"}, o.tokens = {1}; }), {"trainable-tokens", "trains already"}},
  };
  for (const auto& [options, words] : wrong)
    for (const std::string& word : words) EXPECT_THAT(error_of(options), HasSubstr(word));
  EXPECT_EQ(error_of({}), "no error");
}

TEST(FreshAdapter, DropoutsGoByModule) {
  FreshOptions options;
  options.dropout = 0.1;
  options.dropout_pattern = {R"(layers\.0\..*=0.5)", "q_proj=0"};
  for (const lora::AdapterModule& module : made(options, "untied").modules) {
    const double expected{module.name.find("layers.0") != std::string::npos ? 0.5
                          : module.name.ends_with("q_proj")                 ? 0
                                                                            : 0.1};
    EXPECT_EQ(module.dropout.value_or(options.dropout), expected) << module.name;
  }
}

// The head's adapter is the embedding's where the two stay one, as in PEFT.
TEST(FreshAdapter, AHeadThatStaysTiedIsTrainedAsTheEmbedding) {
  const lora::ModelFiles tied(HORNBOOK_SOURCE_DIR "/tests/golden/finetune/tiny_llama/tied");
  FreshOptions options;
  options.targets = {"q_proj", "lm_head"};
  options.ensure_weight_tying = true;
  const Adapter of_head = lora::chosen_modules(tied.spec(), options);
  options.targets = {"q_proj", "embed_tokens"};
  const Adapter of_embedding = lora::chosen_modules(tied.spec(), options);
  EXPECT_EQ(of_head.targets, of_embedding.targets);
  ASSERT_EQ(of_head.modules.size(), of_embedding.modules.size());
  EXPECT_EQ(of_head.modules[0].name, "model.embed_tokens");
  // The head drops its inputs, so that dropout does something here.
  options.dropout = 0.1, options.dropout_pattern = {"embed_tokens=0.2"};
  options.targets = {"lm_head", "embed_tokens"};
  EXPECT_EQ(lora::chosen_modules(tied.spec(), options).modules.size(), 1u);
}

}  // namespace
