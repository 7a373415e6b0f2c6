// Every kind of norm, attention and MLP that a spec can name, against plain float64 with autograd. Each detail taken
// out of the reference alone must show, so that no part of the comparison is idle.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "lora/model/rope.h"
#include "tests/finetune/tiny_llama.h"
#include "tests/temporary_folder.h"

namespace {

using finetune::PackedRow;
using finetune::Transformer;
using lora::Activation;
using lora::BlockSpec;
using lora::ModelSpec;
using lora::NormKind;
using lora::Role;
using tiny_llama::relative;
using Change = std::function<void(ModelSpec&)>;
using Tensors = std::map<std::string, at::Tensor>;

Change of_blocks(std::function<void(BlockSpec&)> change) {
  return [change](ModelSpec& spec) {
    for (BlockSpec& block : spec.blocks) change(block);
  };
}

struct Case {
  std::string name;
  Change change;                 // of a tiny Llama
  std::vector<Change> spoilers;  // of the reference: each must show
};

void make_layer_norms(ModelSpec& spec) {
  spec.norm.kind = NormKind::kLayer;
  for (BlockSpec& block : spec.blocks) block.attention_norm.kind = block.mlp_norm.kind = NormKind::kLayer;
}
void remove_gate(BlockSpec& block, Activation activation) {
  block.mlp.gated = false;
  block.mlp.activation = activation;
  std::erase_if(block.linears, [](const lora::LinearSpec& linear) { return linear.role == Role::kGate; });
}
void add_biases(BlockSpec& block) {
  for (lora::LinearSpec& linear : block.linears) linear.bias = true;
}
void norm_heads(BlockSpec& block, bool join) {
  block.attention.q_norm = {NormKind::kRms, block.attention_norm.name + ".q_norm", "q"};
  block.attention.k_norm = {NormKind::kRms, block.attention_norm.name + ".k_norm", "k"};
  block.attention.qk_norms_join_heads = join;
}
void add_post_norms(BlockSpec& block, NormKind kind) {
  block.attention_post_norm = {kind, block.attention_norm.name + ".post", "a"};
  block.mlp_post_norm = {kind, block.mlp_norm.name + ".post", "m"};
}

const Change kSilu = of_blocks([](BlockSpec& b) { b.mlp.activation = Activation::kSilu; });
const Change kNoPostNorms =
    of_blocks([](BlockSpec& b) { b.attention_post_norm.kind = b.mlp_post_norm.kind = NormKind::kNone; });
const Change kSerial = of_blocks([](BlockSpec& b) { b.parallel = false; });
const Change kRotateAll = of_blocks([](BlockSpec& b) { b.attention.rotary_dim = 16; });
const Change kNoBias = of_blocks([](BlockSpec& b) { b.linears[1].bias = false; });

std::vector<Case> cases() {
  return {
      {"rms_plus_one",
       [](ModelSpec& spec) {
         spec.config.tied_embeddings = true;
         spec.embedding_scale = 8;
         spec.norm.kind = NormKind::kRmsPlusOne;
         for (BlockSpec& block : spec.blocks) {
           block.attention_norm.kind = block.mlp_norm.kind = NormKind::kRmsPlusOne;
           block.mlp.activation = Activation::kGeluTanh;
         }
       },
       {[](ModelSpec& spec) { spec.embedding_scale = 1; }, [](ModelSpec& spec) { spec.norm.kind = NormKind::kRms; },
        kSilu, of_blocks([](BlockSpec& b) { b.mlp_norm.kind = NormKind::kRms; })}},
      {"four_norms_and_caps",
       [](ModelSpec& spec) {
         spec.logit_softcap = 3;
         for (BlockSpec& block : spec.blocks) {
           add_post_norms(block, NormKind::kRmsPlusOne);
           block.attention.softcap = 2;
           block.attention.scale = 0.4;
         }
       },
       {kNoPostNorms, [](ModelSpec& spec) { spec.logit_softcap = 0; },
        of_blocks([](BlockSpec& b) { b.attention.softcap = 0; }),
        of_blocks([](BlockSpec& b) { b.attention.scale = 0; })}},
      {"scale_alone", of_blocks([](BlockSpec& b) { b.attention.scale = 0.1; }), {of_blocks([](BlockSpec& b) {
         b.attention.scale = 0;
       })}},
      {"norms_behind",
       of_blocks([](BlockSpec& b) {
         norm_heads(b, true);
         add_post_norms(b, NormKind::kRms);
         b.attention_norm.kind = b.mlp_norm.kind = NormKind::kNone;
       }),
       {kNoPostNorms, of_blocks([](BlockSpec& b) { b.attention.q_norm.kind = NormKind::kNone; }),
        of_blocks([](BlockSpec& b) { b.attention.k_norm.kind = NormKind::kNone; })}},
      {"norms_of_heads",
       of_blocks([](BlockSpec& b) { norm_heads(b, false); }),
       {of_blocks([](BlockSpec& b) { b.attention.q_norm.kind = NormKind::kNone; }),
        of_blocks([](BlockSpec& b) { b.attention.k_norm.kind = NormKind::kNone; })}},
      {"parallel_two_norms",
       [](ModelSpec& spec) {
         make_layer_norms(spec);
         for (BlockSpec& block : spec.blocks) {
           block.parallel = true;
           block.attention.rotary_dim = 4;
           remove_gate(block, Activation::kGelu);
           add_biases(block);
         }
       },
       {kSerial, kRotateAll, kSilu, kNoBias, of_blocks([](BlockSpec& b) { b.mlp_norm.kind = NormKind::kNone; })}},
      {"parallel_one_norm",
       [](ModelSpec& spec) {
         make_layer_norms(spec);
         spec.head_bias = true;
         for (BlockSpec& block : spec.blocks) {
           block.parallel = true;
           block.mlp_norm.kind = NormKind::kNone;
           block.attention.rotary_dim = 8;
           remove_gate(block, Activation::kGeluTanh);
         }
       },
       {kSerial, kRotateAll, kSilu, [](ModelSpec& spec) { spec.head_bias = false; }}},
      {"relu_without_positions",
       of_blocks([](BlockSpec& b) {
         b.attention.rotary_dim = 0;
         remove_gate(b, Activation::kRelu);
       }),
       {kRotateAll, kSilu}},
      {"two_rotations", [](ModelSpec& spec) { spec.blocks[1].attention.rope.theta = 100; }, {[](ModelSpec& spec) {
         spec.blocks[1].attention.rope = spec.blocks[0].attention.rope;
       }}},
  };
}

ModelSpec spec_of(const Case& test) {
  lora::ModelConfig config;
  config.vocab_size = 257, config.hidden_size = 64, config.intermediate_size = 96, config.layers = 2;
  config.heads = 4, config.kv_heads = 2, config.head_dim = 16, config.context_length = 128;
  ModelSpec spec = lora::spec_of(config);
  test.change(spec);
  return spec;
}

// Random weights of every tensor, in a file, and in float64.
Tensors write_weights(const ModelSpec& spec, const std::filesystem::path& folder) {
  at::manual_seed(4);
  std::vector<lora_tests::FileTensor> file;
  Tensors tensors;
  for (const lora::TensorSpec& tensor : lora::tensors_of(spec)) {
    at::Tensor value = at::randn(tensor.shape) * 0.15;
    if (tensor.name.find("norm") != std::string::npos && tensor.name.ends_with(".weight")) value += 1;
    if (tensor.name.ends_with(".bias")) value *= 4;
    value = value.to(at::kBFloat16).to(at::kFloat);
    file.push_back(tiny_llama::file_tensor(tensor.name, value));
    tensors[tensor.name] = value.to(at::kDouble);
  }
  lora_tests::write_tensors(folder / "model.safetensors", file);
  return tensors;
}

// The model in float64, written down as plainly as can be.
struct Reference {
  const ModelSpec& spec;
  const Tensors& tensors;
  Tensors a, b;  // of LoRA, by module
  double scale = 2;

  at::Tensor norm(const at::Tensor& x, const lora::NormSpec& norm) const {
    if (norm.kind == NormKind::kNone) return x;
    const at::Tensor& w = tensors.at(norm.name + ".weight");
    if (norm.kind == NormKind::kLayer) {
      const at::Tensor centred = x - x.mean(-1, true);
      return centred / (centred.square().mean(-1, true) + spec.config.rms_norm_eps).sqrt() * w +
             tensors.at(norm.name + ".bias");
    }
    return x / (x.square().mean(-1, true) + spec.config.rms_norm_eps).sqrt() *
           (norm.kind == NormKind::kRmsPlusOne ? w + 1 : w);
  }
  at::Tensor product(const BlockSpec& block, Role role, const at::Tensor& x) const {
    for (const lora::LinearSpec& linear : block.linears) {
      if (linear.role != role) continue;
      at::Tensor y = x.mm(tensors.at(linear.name + ".weight").t());
      if (linear.bias) y = y + tensors.at(linear.name + ".bias");
      if (a.contains(linear.name)) y = y + x.mm(a.at(linear.name).t()).mm(b.at(linear.name).t()) * scale;
      return y;
    }
    throw base::Error("no such layer");
  }
  static at::Tensor rotated(const at::Tensor& x, const lora::AttentionSpec& attention) {
    const std::int64_t dim{attention.rotary_dim}, half{dim / 2};
    if (dim == 0) return x;
    const at::Tensor angles =
        at::arange(x.size(0), at::kDouble).unsqueeze(1) *
        at::pow(attention.rope.theta, at::arange(half, at::kDouble) * (-2.0 / static_cast<double>(dim)));
    const at::Tensor x1 = x.narrow(1, 0, half), x2 = x.narrow(1, half, half);
    return at::cat({x1 * angles.cos() - x2 * angles.sin(), x2 * angles.cos() + x1 * angles.sin(),
                    x.narrow(1, dim, x.size(1) - dim)},
                   1);
  }
  at::Tensor head_of(const at::Tensor& x, std::int64_t head, const lora::NormSpec& spec_of_norm, bool join) const {
    if (join) return norm(x, spec_of_norm).narrow(1, 16 * head, 16);
    return norm(x.narrow(1, 16 * head, 16), spec_of_norm);
  }
  at::Tensor attend(const BlockSpec& block, const at::Tensor& x) const {
    const lora::AttentionSpec& attention = block.attention;
    const at::Tensor q = product(block, Role::kQuery, x), k = product(block, Role::kKey, x),
                     v = product(block, Role::kValue, x);
    const bool join{attention.qk_norms_join_heads};
    std::vector<at::Tensor> heads;
    for (std::int64_t head = 0; head < 4; ++head) {
      const at::Tensor one = rotated(head_of(q, head, attention.q_norm, join), attention),
                       other = rotated(head_of(k, head / 2, attention.k_norm, join), attention);
      at::Tensor scores = one.mm(other.t()) * (attention.scale == 0 ? 0.25 : attention.scale);
      if (attention.softcap != 0) scores = (scores / attention.softcap).tanh() * attention.softcap;
      const at::Tensor later = at::ones({x.size(0), x.size(0)}, at::kBool).triu(1);
      heads.push_back(scores.masked_fill(later, -std::numeric_limits<double>::infinity())
                          .softmax(1)
                          .mm(v.narrow(1, 16 * (head / 2), 16)));
    }
    return product(block, Role::kAttentionOut, at::cat(heads, 1));
  }
  at::Tensor mlp(const BlockSpec& block, const at::Tensor& x) const {
    const at::Tensor up = product(block, Role::kUp, x), in = block.mlp.gated ? product(block, Role::kGate, x) : up;
    at::Tensor y;
    switch (block.mlp.activation) {
      case Activation::kSilu:
        y = in / (1 + (-in).exp());
        break;
      case Activation::kGelu:
        y = in * 0.5 * (1 + (in / std::sqrt(2.0)).erf());
        break;
      case Activation::kGeluTanh:
        y = in * 0.5 * (1 + ((in + 0.044715 * in * in * in) * std::sqrt(2 / M_PI)).tanh());
        break;
      case Activation::kRelu:
        y = in.clamp_min(0);
        break;
    }
    return product(block, Role::kDown, block.mlp.gated ? y * up : y);
  }
  // Of one document.
  at::Tensor logits(const at::Tensor& ids) const {
    at::Tensor x = tensors.at(spec.embedding + ".weight").index_select(0, ids) * spec.embedding_scale;
    for (const BlockSpec& block : spec.blocks) {
      const at::Tensor read = norm(x, block.attention_norm);
      const at::Tensor middle = x + norm(attend(block, read), block.attention_post_norm);
      at::Tensor mlp_read = norm(block.parallel ? x : middle, block.mlp_norm);
      if (block.parallel && block.mlp_norm.kind == NormKind::kNone) mlp_read = read;
      x = middle + norm(mlp(block, mlp_read), block.mlp_post_norm);
    }
    const std::string head = spec.config.tied_embeddings ? spec.embedding : spec.head;
    at::Tensor logits = norm(x, spec.norm).mm(tensors.at(head + ".weight").t());
    if (spec.head_bias) logits = logits + tensors.at(spec.head + ".bias");
    return spec.logit_softcap == 0 ? logits : (logits / spec.logit_softcap).tanh() * spec.logit_softcap;
  }
};

void PrintTo(const Case& kind, std::ostream* out) { *out << kind.name; }

class Kinds : public testing::TestWithParam<Case> {
 protected:
  Kinds() : spec_(spec_of(GetParam())), tensors_(write_weights(spec_, folder_.path())) {}
  Transformer load(at::ScalarType dtype = at::kFloat) const {
    return Transformer(lora::ModelFiles(folder_.path(), spec_), dtype, at::kCPU);
  }
  TemporaryFolder folder_;
  ModelSpec spec_;
  Tensors tensors_;
};
INSTANTIATE_TEST_SUITE_P(Spec, Kinds, testing::ValuesIn(cases()), [](const auto& info) { return info.param.name; });

PackedRow row_of(const at::Tensor& ids, std::vector<std::int64_t> lengths) {
  PackedRow row{ids, at::full_like(ids, -100), std::move(lengths), 0};
  std::int64_t first = 0;
  for (const std::int64_t length : row.lengths) {
    row.targets.narrow(0, first, length - 1).copy_(ids.narrow(0, first + 1, length - 1));
    first += length;
  }
  return row;
}

at::Tensor random_ids(std::int64_t count) {
  at::manual_seed(6);
  return at::randint(257, {count}, at::kLong);
}

TEST_P(Kinds, LogitsAreThoseOfPlainFloat64AndEveryDetailShows) {
  at::NoGradGuard no_gradient;
  const Transformer model = load(), narrow = load(at::kBFloat16);
  const at::Tensor ids = random_ids(40);
  const PackedRow row = row_of(ids, {17, 23});
  const auto expected = [&](const ModelSpec& spec) {
    const Reference reference{spec, tensors_, {}, {}};
    return at::cat({reference.logits(ids.narrow(0, 0, 17)), reference.logits(ids.narrow(0, 17, 23))});
  };
  const at::Tensor logits = model.logits(model.hidden(row)).to(at::kDouble), right = expected(spec_);
  EXPECT_LT(relative(logits, right), 1e-5);
  EXPECT_LT(relative(narrow.logits(narrow.hidden(row)).to(at::kDouble), right), 4e-2);
  for (std::size_t i = 0; i < GetParam().spoilers.size(); ++i) {
    ModelSpec spoiled = spec_;
    GetParam().spoilers[i](spoiled);
    EXPECT_GT(relative(logits, expected(spoiled)), 1e-3) << "spoiler " << i;
  }
  finetune::KvCache cache;
  for (const std::int64_t count : {10, 1, 6}) {
    const at::Tensor last = model.next_logits(ids.narrow(0, cache.tokens, count), cache);
    EXPECT_LT(relative(last.to(at::kDouble), right[cache.tokens - 1]), 1e-5) << cache.tokens;
  }
}

TEST_P(Kinds, GradientsAreThoseOfAutogradInFloat64) {
  Transformer model = load();
  model.attach({"all-linear"}, 4, 8, 0, false, 3);
  Reference reference{spec_, tensors_, {}, {}};
  const std::vector<at::Tensor> leaves = model.parameters();
  const std::vector<lora::AdapterModule> modules = model.adapter().modules;
  at::manual_seed(5);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    at::NoGradGuard no_gradient;
    at::Tensor b = leaves[2 * i + 1];
    b.normal_(0, 0.05);
    reference.a[modules[i].name] = leaves[2 * i].detach().to(at::kDouble).requires_grad_();
    reference.b[modules[i].name] = b.detach().to(at::kDouble).requires_grad_();
  }
  const PackedRow row = row_of(random_ids(30), {12, 18});
  const at::Tensor loss = model.loss_sum(row);
  at::Tensor expected = at::zeros({}, at::kDouble);
  for (const auto& [first, length] : {std::pair{0, 12}, {12, 18}})
    expected = expected + at::nll_loss(reference.logits(row.ids.narrow(0, first, length)).log_softmax(1),
                                       row.targets.narrow(0, first, length), {}, at::Reduction::Sum);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5 * expected.item<double>());
  loss.backward();
  expected.backward();
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const std::string& name = modules[i].name;
    EXPECT_LT(relative(leaves[2 * i].grad().to(at::kDouble), reference.a.at(name).grad()), 1e-4) << name << " A";
    EXPECT_LT(relative(leaves[2 * i + 1].grad().to(at::kDouble), reference.b.at(name).grad()), 1e-4) << name << " B";
  }
}

}  // namespace
