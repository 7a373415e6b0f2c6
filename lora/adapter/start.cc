// PiSSA and OLoRA: adapters that start with a part of the base, made plain. Tested by tests/lora/adapter/start_test.cc.
#include "lora/adapter/start.h"

#include <fmt/format.h>

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <atomic>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/pipeline.h"
#include "lora/adapter/merge.h"
#include "lora/adapter/read_gguf_adapter.h"
#include "lora/adapter/stacked_experts.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

using Eigen::MatrixXd;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// scale * B A is the part of the weight that was taken out.
struct Factors {
  MatrixXd b, a;
};

[[noreturn]] void not_unique(const std::string& name, Start start, const std::string& why) {
  throw base::Error({fmt::format("the start of the {} adapter cannot be computed again: {}", name_of(start), why), name,
                     "", "",
                     "where it was trained, save it as a plain LoRA: model.save_pretrained(FOLDER, "
                     "path_initial_model_for_weight_conversion=START)"});
}

// The part of the `rank` largest singular values: U U' W, U being the first left singular vectors. They are the
// eigenvectors of W W', in double so that squaring costs nothing that float32 would show. Of a wide matrix this is the
// smaller side; a tall one is turned.
Factors pissa_start(const MatrixXd& weight, std::int64_t rank, double scale, const std::string& name) {
  const bool turned = weight.rows() > weight.cols();
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(turned ? MatrixXd(weight.transpose() * weight)
                                                              : MatrixXd(weight * weight.transpose()));
  const auto& values = solver.eigenvalues();  // ascending
  const auto size = values.size();
  // Two equal singular values on the two sides of the cut leave open which of their vectors was taken.
  if (size > rank && values[size - rank] - values[size - rank - 1] <= 1e-12 * values[size - 1])
    not_unique(name, Start::kPissa, fmt::format("singular values {} and {} are equal", rank, rank + 1));
  const MatrixXd vectors = solver.eigenvectors().rightCols(rank);
  if (turned) return {weight * vectors / scale, vectors.transpose()};
  return {vectors / scale, vectors.transpose() * weight};
}

// Q R = W; B0 = the first columns of Q, A0 = the first rows of R. So B0 spans the first columns of W, and A0 = B0' W.
Factors olora_start(const MatrixXd& weight, std::int64_t rank, const std::string& name) {
  const Eigen::HouseholderQR<MatrixXd> qr(weight.leftCols(rank));
  const auto diagonal = qr.matrixQR().diagonal().cwiseAbs();
  if (!(diagonal.minCoeff() > 1e-9 * diagonal.maxCoeff()))
    not_unique(name, Start::kOlora, "the first columns of the weight depend on each other");
  const MatrixXd q = qr.householderQ() * MatrixXd::Identity(weight.rows(), rank);
  return {q, q.transpose() * weight};
}

MatrixXd weight_of(const ModelFiles& base, const std::string& name) {
  const std::vector<std::int64_t> shape = base.shape(name);
  RowMajor weight(shape[0], shape[1]);
  base.read(name, {weight.data(), static_cast<std::size_t>(weight.size())});
  return weight.cast<double>();
}

Factors start_of(const AdapterModule& module, Start start, const ModelFiles& base) {
  const std::string name = changed_tensor(base, module.name + ".weight");
  const std::string where = base.path().string() + ": " + name;
  if (base.type(name) > base::DType::kBF16 || base.is_packed(name))
    throw base::Error(
        {fmt::format("a {} adapter needs the weights that it started from, not quantised ones", name_of(start)), where,
         std::string(base.type_name(name)), "float32, bfloat16 or float16",
         "give the base model that the adapter was trained on: --base MODEL"});
  if (module.rank > std::min(module.in, module.out) || !(module.scale > 0))
    not_unique(where, start, fmt::format("rank {}, scale {}", module.rank, module.scale));
  const MatrixXd weight = weight_of(base, name);
  return start == Start::kPissa ? pissa_start(weight, module.rank, module.scale, where)
                                : olora_start(weight, module.rank, where);
}

// With scale * (B A - B0 A0) instead of scale * B A.
AdapterModule without_start(const AdapterModule& module, const Factors& factors) {
  AdapterModule plain = module;
  plain.frozen = module.rank;  // PEFT takes the start out of the base, which does not train
  plain.rank = 2 * module.rank;
  const auto rank = static_cast<Eigen::Index>(module.rank);
  plain.a.resize(module.a.size() * 2);
  Eigen::Map<RowMajor>(plain.a.data(), plain.rank, plain.in).bottomRows(rank) = factors.a.cast<float>();
  plain.b.resize(module.b.size() * 2);
  Eigen::Map<RowMajor> b(plain.b.data(), plain.out, plain.rank);
  b.leftCols(rank) = Eigen::Map<const RowMajor>(module.b.data(), module.out, module.rank);
  b.rightCols(rank) = -factors.b.cast<float>();
  return plain;
}

// PiSSA shares the singular values between the two: A = sqrt(S / scale) V', B = U sqrt(S / scale). A and B as computed
// are S V' and U / scale.
Factors evened(Factors factors, Start start) {
  if (start != Start::kPissa) return factors;
  for (Eigen::Index i = 0; i < factors.a.rows(); ++i) {
    const double of_a{factors.a.row(i).norm()}, of_b{factors.b.col(i).norm()};
    const double share{std::sqrt(of_b / of_a)};
    factors.a.row(i) *= share;
    factors.b.col(i) /= share;
  }
  return factors;
}

// PEFT takes no start out of an embedding, and writes a head that it changed beside the adapter: the start is out then.
bool has_start(const AdapterModule& module, const Adapter& adapter, const ModelFiles& base) {
  return module.name != base.spec().embedding && std::ranges::none_of(adapter.saved, [&](const SavedTensor& tensor) {
           return !tensor.is_trained && tensor.name == module.name + ".weight";
         });
}

// Where the two are one, PEFT takes the head's start out of the embedding too.
void share_residue(Adapter& adapter, const ModelFiles& base) {
  const std::string head = base.spec().head + ".weight", embedding = base.spec().embedding + ".weight";
  const auto saved = [&](const std::string& name) {
    return std::ranges::find(adapter.saved, name, &SavedTensor::name);
  };
  const auto module = std::ranges::find(adapter.modules, base.spec().head, &AdapterModule::name);
  if (module == adapter.modules.end() || !shares_head(base)) return;
  if (saved(head) == adapter.saved.end()) {  // by save_embedding_layers=False
    const Factors factors = start_of(*module, adapter.start, base);
    const RowMajor residue =
        (weight_of(base, changed_tensor(base, head)) - module->scale * factors.b * factors.a).cast<float>();
    adapter.saved.push_back(
        {head, {module->out, module->in}, {residue.data(), residue.data() + residue.size()}, false});
  }
  if (saved(embedding) == adapter.saved.end()) {
    SavedTensor table = *saved(head);
    table.name = embedding;
    adapter.saved.push_back(std::move(table));
  }
  std::ranges::sort(adapter.saved, {}, &SavedTensor::name);
}

// alpha keeps the scale that most modules have.
void double_rank(Adapter& adapter) {
  adapter.alpha *= adapter.rslora ? std::sqrt(2.0) : 2;
  adapter.rank *= 2;
}

// A text model and the whole around it have the same modules; the base decides what they are called.
std::string name_in(const ModelFiles& base, const std::string& module) {
  const std::string plain = without_wrapper(module);
  const Wrapper* wrapper = wrapper_of_type(base.config().wrapper);
  return wrapper ? wrapped(plain, *wrapper) : base.find(plain + ".weight") ? plain : module;
}

}  // namespace

Adapter with_names_of(const ModelFiles& base, Adapter adapter) {
  adapter = without_gguf_names(base, std::move(adapter));
  for (AdapterModule& module : adapter.modules) module.name = name_in(base, module.name);
  for (TokenRows& rows : adapter.tokens) rows.module = name_in(base, rows.module);
  for (SavedTensor& tensor : adapter.saved) {
    const std::size_t dot{tensor.name.rfind('.')};
    tensor.name = name_in(base, tensor.name.substr(0, dot)) + tensor.name.substr(dot);
  }
  return adapter;
}

Adapter plain_adapter(Adapter adapter, const ModelFiles& base, int threads,
                      const std::function<void(double)>& progress) {
  adapter = with_names_of(base, std::move(adapter));
  if (adapter.stacked_experts) adapter = with_linears_of(base, std::move(adapter));
  adapter.is_partial = leaves_out(adapter, base.spec());
  adapter.tied &= base.config().tied_embeddings;  // ensure_weight_tying does nothing where nothing is tied
  if (adapter.start == Start::kNothing) return adapter;
  check_fits(adapter, base);
  share_residue(adapter, base);
  std::vector<AdapterModule*> started;
  for (AdapterModule& module : adapter.modules)
    if (has_start(module, adapter, base)) started.push_back(&module);
  std::atomic<std::size_t> done = 0;
  base::parallel_for(started.size(), base::thread_count(threads), [&](std::size_t i, int worker) {
    *started[i] = without_start(*started[i], start_of(*started[i], adapter.start, base));
    ++done;
    if (worker == 0 && progress) progress(static_cast<double>(done) / static_cast<double>(started.size()));
  });
  adapter.start = Start::kNothing;
  if (!started.empty()) double_rank(adapter);
  return adapter;
}

void start_from_base(Adapter& adapter, const ModelFiles& base, Start start, int threads,
                     const std::function<void(double)>& progress) {
  for (const AdapterModule& module : adapter.modules)
    if (const std::int64_t most = std::min(module.in, module.out); module.rank > most)
      throw base::UsageError(
          {fmt::format("a {} start has no more ranks than its weight has rows or columns", name_of(start)),
           "--lora.rank", std::to_string(module.rank),
           fmt::format("at most {} for {} [{}, {}]", most, module.name, module.out, module.in),
           "a smaller rank for it alone: --lora.rank-pattern"});
  std::atomic<std::size_t> done = 0;
  base::parallel_for(adapter.modules.size(), base::thread_count(threads), [&](std::size_t i, int worker) {
    AdapterModule& module = adapter.modules[i];
    const Factors factors = evened(start_of(module, start, base), start);
    Eigen::Map<RowMajor>(module.a.data(), module.rank, module.in) = factors.a.cast<float>();
    Eigen::Map<RowMajor>(module.b.data(), module.out, module.rank) = factors.b.cast<float>();
    module = without_start(module, {Eigen::Map<RowMajor>(module.b.data(), module.out, module.rank).cast<double>(),
                                    Eigen::Map<RowMajor>(module.a.data(), module.rank, module.in).cast<double>()});
    ++done;
    if (worker == 0 && progress) progress(static_cast<double>(done) / static_cast<double>(adapter.modules.size()));
  });
  double_rank(adapter);
}

}  // namespace lora
