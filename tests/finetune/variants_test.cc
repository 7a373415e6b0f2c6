// What trains beside a plain LoRA (DoRA, whole modules, embeddings, heads, single tokens), equal to peft.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "finetune/train/checkpoint.h"
#include "finetune/train/optimizer.h"
#include "tests/finetune/tiny_llama.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::PackedRow;
using finetune::Transformer;
using tiny_llama::Golden;
using tiny_llama::relative;

constexpr double kLogits = 1e-5, kGradients = 1e-5, kTrained = 1e-4;

std::filesystem::path folder(const std::string& name) { return tiny_llama::folder("../variants") / name; }

// What peft computed for one case, under the names of adapter_model.safetensors.
struct Variant {
  explicit Variant(const std::string& name)
      : file(folder(name) / "golden.safetensors"), base(file.metadata().at("base")) {}
  base::SafetensorsReader file;
  std::string base;
  at::Tensor at(const std::string& name) const { return tiny_llama::to_tensor(file.at(name)); }
  double number(const std::string& fact) const { return std::stod(file.metadata().at(fact)); }
};

// A written adapter beside peft's, tensor by tensor. Names in one alone are given back.
std::vector<std::string> compare(const std::filesystem::path& ours, const base::SafetensorsReader& theirs,
                                 const std::string& prefix, double bound) {
  const base::SafetensorsReader written(ours / "adapter_model.safetensors");
  std::vector<std::string> alone;
  for (const base::TensorView& view : written.tensors()) {
    const base::TensorView* expected = theirs.find(prefix + view.name);
    if (!expected) {
      alone.push_back(view.name);
      continue;
    }
    EXPECT_LT(relative(tiny_llama::to_tensor(view), tiny_llama::to_tensor(*expected)), bound) << prefix << view.name;
  }
  for (const base::TensorView& view : theirs.tensors())
    if (view.name.starts_with(prefix) && !written.find(view.name.substr(prefix.size()))) alone.push_back(view.name);
  return alone;
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder("")))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class Variants : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Cases, Variants, testing::ValuesIn(cases()), [](const auto& info) { return info.param; });

Transformer with_adapter(const std::string& name, const Variant& variant) {
  Transformer model = tiny_llama::load(tiny_llama::folder(variant.base));
  model.attach(lora::read_adapter(folder(name)));
  return model;
}

TEST_P(Variants, LogitsAndLoss) {
  const Variant variant(GetParam());
  const Golden golden(variant.base);
  const Transformer model = with_adapter(GetParam(), variant);
  const PackedRow row = golden.row(0);
  at::NoGradGuard no_gradient;
  EXPECT_LT(relative(model.logits(model.hidden(row)), variant.at("logits")), kLogits);
  EXPECT_GT(relative(golden.at("base/logits"), variant.at("logits")), 0.02) << "the adapter does something";
  EXPECT_LT(relative(model.loss_sum(row) / row.trained, variant.at("loss")), kLogits);
  finetune::KvCache cache;
  const at::Tensor first = row.ids.narrow(0, 0, row.lengths[0]);
  const std::int64_t before_last{row.lengths[0] - 1};
  EXPECT_LT(relative(model.next_logits(first.narrow(0, 0, before_last), cache), variant.at("logits")[before_last - 1]),
            kLogits);
  EXPECT_LT(relative(model.next_logits(first.narrow(0, before_last, 1), cache), variant.at("logits")[before_last]),
            kLogits);
}

// Gradients, put into a copy of the adapter, must be peft's under the names that we write.
TEST_P(Variants, Gradients) {
  const Variant variant(GetParam());
  const Golden golden(variant.base);
  Transformer model = with_adapter(GetParam(), variant);
  const PackedRow row = golden.row(0);
  (model.loss_sum(row) / row.trained).backward();
  {
    at::NoGradGuard no_gradient;
    for (at::Tensor& leaf : model.parameters()) leaf.copy_(leaf.grad());
  }
  lora::Adapter gradients = model.adapter();
  std::erase_if(gradients.saved, [](const lora::SavedTensor& tensor) { return !tensor.is_trained; });
  const TemporaryFolder written;
  lora::write_adapter(gradients, written.path());
  std::vector<std::string> alone = compare(written.path(), variant.file, "gradient/", kGradients);
  std::erase(alone, "base_model.model.lm_head.weight");  // tied: peft has the gradient once
  EXPECT_THAT(alone, testing::IsEmpty());
}

TEST_P(Variants, ThreeSteps) {
  const Variant variant(GetParam());
  const Golden golden(variant.base);
  Transformer model = with_adapter(GetParam(), variant);
  finetune::AdamW optimizer(model.parameters(), {.weight_decay = variant.number("weight_decay")});
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_gradients();
    const PackedRow row = golden.row(step);
    (model.loss_sum(row) / row.trained).backward();
    optimizer.clip(variant.number("clip"));
    optimizer.step(variant.number("rate"));
  }
  EXPECT_TRUE(at::equal(finetune::flat_values(model.adapter()), optimizer.values().cpu())) << "one order for both";
  lora::Adapter trained = model.adapter();
  std::erase_if(trained.saved, [](const lora::SavedTensor& tensor) { return !tensor.is_trained; });
  const TemporaryFolder written;
  lora::write_adapter(trained, written.path());
  std::vector<std::string> alone = compare(written.path(), variant.file, "after/", kTrained);
  std::erase(alone, "base_model.model.lm_head.weight");
  EXPECT_THAT(alone, testing::IsEmpty());
}

// What is written is what was read, for peft and for us.
TEST_P(Variants, WrittenAsRead) {
  const Variant variant(GetParam());
  const Transformer model = with_adapter(GetParam(), variant);
  const TemporaryFolder written;
  lora::write_adapter(model.adapter(), written.path());
  const base::SafetensorsReader theirs(folder(GetParam()) / "adapter_model.safetensors");
  std::vector<std::string> alone = compare(written.path(), theirs, "", 1e-30);
  std::erase(alone, "base_model.model.lm_head.base_layer.weight");  // of a tied head: the embedding's
  EXPECT_THAT(alone, testing::IsEmpty());
  const lora::Adapter once = lora::read_adapter(folder(GetParam())), again = lora::read_adapter(written.path());
  EXPECT_TRUE(at::equal(finetune::flat_values(once), finetune::flat_values(again)));
  EXPECT_EQ(once.dora, again.dora);
  EXPECT_EQ(once.tied, again.tied);
}

// The merged model computes the same, from a folder and from a GGUF.
TEST_P(Variants, MergedModel) {
  const Variant variant(GetParam());
  const Golden golden(variant.base);
  const lora::Adapter adapter = lora::read_adapter(folder(GetParam()));
  const TemporaryFolder merged;
  lora::ModelFiles base(tiny_llama::folder(variant.base).string());
  lora::give_own_head(base, adapter);
  lora_tests::write_merged(base, &adapter, merged.path());
  const PackedRow row = golden.row(0);
  at::NoGradGuard no_gradient;
  const Transformer model = tiny_llama::load(merged.path());
  EXPECT_LT(relative(model.logits(model.hidden(row)), variant.at("logits")), kLogits);
}

// PEFT saves the base's embedding with its LoRA: what stands there counts, not what the base has.
TEST(VariantsCanFail, AnEmbeddingSavedBesideItsLoraCounts) {
  const Variant variant("embedding");
  const Golden golden(variant.base);
  lora::Adapter adapter = lora::read_adapter(folder("embedding"));
  ASSERT_EQ(adapter.saved.size(), 2u);
  for (lora::SavedTensor& tensor : adapter.saved) {
    EXPECT_FALSE(tensor.is_trained);
    for (float& value : tensor.values) value *= 1.5F;
  }
  Transformer model = tiny_llama::load(tiny_llama::folder(variant.base));
  model.attach(adapter);
  const TemporaryFolder merged;
  const lora::ModelFiles base(tiny_llama::folder(variant.base).string());
  lora_tests::write_merged(base, &adapter, merged.path());
  const Transformer whole = tiny_llama::load(merged.path());
  const PackedRow row = golden.row(0);
  at::NoGradGuard no_gradient;
  const at::Tensor logits = model.logits(model.hidden(row));
  EXPECT_LT(relative(logits, whole.logits(whole.hidden(row))), kLogits);
  EXPECT_GT(relative(logits, variant.at("logits")), 0.01);
  model.attach({"q_proj"}, 2, 4, 0, false, 1);  // B = 0: the base again
  EXPECT_LT(relative(model.logits(model.hidden(row)), golden.at("base/logits")), kLogits) << "all was taken back";
}

// A bias alone would stay as it is in silence: the passes of products and norms know no gradient of it.
TEST(VariantsCanFail, ABiasTrainsWithItsWeightOnly) {
  Transformer model = tiny_llama::load(tiny_llama::folder("phi"));
  model.attach({"q_proj"}, 2, 4, 0, false, 1);
  const lora::Adapter plain = model.adapter();
  const lora::ModelFiles files(tiny_llama::folder("phi").string());
  for (const std::string module : {"model.final_layernorm", "model.layers.0.input_layernorm", "model.layers.0.mlp.fc1"})
    for (const std::string alone : {".bias", ".weight"}) {
      lora::Adapter adapter = plain;
      const std::vector<std::int64_t> shape = files.shape(module + alone);
      std::int64_t count{1};
      for (const std::int64_t size : shape) count *= size;
      adapter.saved.push_back({module + alone, shape, std::vector<float>(static_cast<std::size_t>(count), 0.5F)});
      try {
        model.attach(adapter);
        ADD_FAILURE() << module + alone << " was taken";
      } catch (const base::Error& error) {
        EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr(module), testing::HasSubstr("without its")));
      }
    }
}

TEST(Noise, IsUniformWithinEachDocumentsBoundAndOnlyWhileTraining) {
  const Golden golden("untied");
  Transformer model = tiny_llama::load(tiny_llama::folder("untied"));
  const PackedRow row = golden.row(0);
  const auto read = [&](std::uint64_t seed) {
    at::NoGradGuard no_gradient;
    std::vector<at::Tensor> states;
    model.hidden(row, seed, &states);
    return states[0];
  };
  const at::Tensor plain = read(0);
  model.set_noise(5);
  EXPECT_TRUE(at::equal(read(0), plain)) << "not in an evaluation";
  const at::Tensor noise = read(9) - plain;
  EXPECT_TRUE(at::equal(read(9), read(9)));
  EXPECT_GT(relative(read(10) - plain, noise), 0.5) << "another seed, other noise";
  std::int64_t first = 0;
  for (const std::int64_t length : row.lengths) {
    const at::Tensor part = noise.narrow(0, first, length).abs();
    const double bound{5 / std::sqrt(static_cast<double>(length * 64))};
    EXPECT_LE(part.max().item<double>(), bound * 1.0001);
    EXPECT_GT(part.max().item<double>(), bound * 0.97);
    EXPECT_NEAR(part.mean().item<double>(), bound / 2, bound * 0.05) << "uniform";
    first += length;
  }
}

// LoRA+: one optimizer with factors is as many of torch's groups, each with its own rate.
TEST(LoraPlus, FactorsAreGroupsOfTheirOwn) {
  at::manual_seed(3);
  const auto leaves = [] {
    std::vector<at::Tensor> made;
    for (const std::int64_t size : {7, 5, 4}) made.push_back((at::arange(size, at::kFloat) - 2).requires_grad_());
    return made;
  };
  std::vector<at::Tensor> together = leaves(), apart = leaves();
  finetune::OptimizerSettings options{.weight_decay = 0.1};
  options.factors = {1, 16, 16};
  options.decays = {true, true, false};
  finetune::AdamW optimizer(together, options);
  std::vector<finetune::AdamW> groups;
  for (std::size_t i = 0; i < apart.size(); ++i)
    groups.push_back(finetune::AdamW({apart[i]}, {.weight_decay = i == 2 ? 0 : 0.1}));
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_gradients();
    for (finetune::AdamW& group : groups) group.zero_gradients();
    for (std::size_t i = 0; i < apart.size(); ++i) {
      together[i].square().sum().backward();
      apart[i].square().sum().backward();
    }
    optimizer.step(1e-2);
    for (std::size_t i = 0; i < apart.size(); ++i) groups[i].step(i == 0 ? 1e-2 : 16e-2);
  }
  for (std::size_t i = 0; i < apart.size(); ++i) EXPECT_LT(relative(together[i], apart[i]), 1e-6) << i;
  EXPECT_GT(relative(together[1], leaves()[1]), 0.1);
}

}  // namespace
