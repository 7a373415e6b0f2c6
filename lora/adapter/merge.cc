// A base model with an adapter added into its weights, a few rows at a time. Tested by
// tests/lora/adapter/merge_test.cc.
#include "lora/adapter/merge.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/magnitude.h"
#include "lora/adapter/add_product.h"

namespace lora {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr const char* kOtherBase = "give the base model that the adapter was trained on: --base MODEL";

constexpr std::int64_t kPiece = std::int64_t{1} << 17;  // numbers of an embedding that are looked at together

// DoRA: each row as long as the adapter says.
void set_lengths(Eigen::Map<Matrix> weight, const float* magnitude) {
  for (Eigen::Index row = 0; row < weight.rows(); ++row)
    weight.row(row) *= static_cast<float>(magnitude[row] / weight.row(row).cast<double>().norm());
}

// Of the embedding, or of the head itself: rows, weight.
bool is_of(const std::string& name, const std::string& module) { return name == module || name == module + ".weight"; }

void check_extras(const Adapter& adapter, const ModelFiles& base) {
  const auto shape_text = [](const std::vector<std::int64_t>& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
  };
  for (const SavedTensor& tensor : adapter.saved) {
    const std::string changed = changed_tensor(base, tensor.name);
    if (!base.find(changed))
      throw base::Error({"the adapter has a tensor that the model does not have", base.path().string(), tensor.name,
                         "a tensor of the model", kOtherBase});
    if (const auto shape = base.shape(changed); shape != tensor.shape) {
      const bool is_resized{shape.front() == base.config().vocab_size && shape.size() == tensor.shape.size()};
      throw base::Error({"the adapter does not fit the model", base.path().string() + ": " + tensor.name,
                         shape_text(tensor.shape), shape_text(shape),
                         is_resized ? "its vocabulary was resized: give a base that was resized too, as transformers "
                                      "saves it after resize_token_embeddings"
                                    : kOtherBase});
    }
  }
  for (const TokenRows& rows : adapter.tokens) {
    const std::string name = rows.module + ".weight";
    const std::vector<std::int64_t> shape = base.find(name) ? base.shape(name) : std::vector<std::int64_t>{0, 0};
    for (const std::int64_t id : rows.ids)
      if (id >= shape[0] || rows.width != shape[1])
        throw base::Error({"the adapter has rows of tokens that the model does not have", base.path().string(),
                           fmt::format("{}: row {} of {} numbers", rows.module, id, rows.width),
                           fmt::format("{} rows of {} numbers", shape[0], shape[1]), kOtherBase});
  }
}

}  // namespace

std::string changed_tensor(const ModelFiles& base, const std::string& name) {
  const bool is_shared{name == base.spec().head + ".weight" && base.config().tied_embeddings && !base.find(name)};
  return is_shared ? base.spec().embedding + ".weight" : name;
}

bool shares_head(const ModelFiles& base) {
  const std::string embedding = base.spec().embedding + ".weight";
  const std::string head = changed_tensor(base, base.spec().head + ".weight");
  return head == embedding || (base.find(head) && base.view(head).bytes.data() == base.view(embedding).bytes.data());
}

bool parts_head(const Adapter& adapter, const ModelFiles& base) {
  if (!base.config().tied_embeddings) return false;
  const std::string &embedding = base.spec().embedding, &head = base.spec().head;
  const auto any = [&](const std::string& module) {
    return std::ranges::any_of(adapter.modules, [&](const auto& m) { return is_of(m.name, module); }) ||
           std::ranges::any_of(adapter.saved, [&](const auto& t) { return t.is_trained && is_of(t.name, module); });
  };
  return any(head) || (any(embedding) && !adapter.tied) ||
         std::ranges::any_of(adapter.tokens, [&](const TokenRows& rows) { return rows.module == head; });
}

void give_own_head(ModelFiles& base, const Adapter& adapter) {
  if (parts_head(adapter, base)) base.give_own_head();
}

void check_fits(const Adapter& adapter, const ModelFiles& base) {
  for (const AdapterModule& module : adapter.modules) {
    const std::string name = changed_tensor(base, module.name + ".weight");
    if (!base.find(name))
      throw base::Error({"the adapter has a module that the model does not have", base.path().string(), module.name,
                         "a module of the model", kOtherBase});
    if (base.shape(name) != std::vector<std::int64_t>{module.out, module.in})
      throw base::Error({"the adapter does not fit the model", base.path().string() + ": " + name,
                         fmt::format("{} -> {}", module.in, module.out),
                         fmt::format("{} -> {}", base.shape(name)[1], base.shape(name)[0]), kOtherBase});
  }
  check_extras(adapter, base);
}

MergedModel::MergedModel(const ModelFiles& base, const Adapter* adapter) : base_(base) {
  if (!adapter) return;
  check_plain(*adapter);
  check_fits(*adapter, base);
  if (parts_head(*adapter, base))
    throw base::Error({"the adapter parts the head from the embedding, and this model has one for both",
                       base.path().string(), base.spec().head, "", ""});
  for (const AdapterModule& module : adapter->modules) modules_[module.name + ".weight"] = &module;
  for (const SavedTensor& tensor : adapter->saved) saved_[tensor.name] = &tensor;
  for (const TokenRows& rows : adapter->tokens) tokens_[rows.module + ".weight"] = &rows;
  // Rows of an embedding are those of the head that the base ties to it, also where the adapter parts the two.
  const auto rows = tokens_.find(base.spec().embedding + ".weight");
  if (rows != tokens_.end() && shares_head(base)) tokens_.try_emplace(base.spec().head + ".weight", rows->second);
  for (const AdapterModule& module : adapter->modules)
    if (module.name == base.spec().embedding && !module.magnitude.empty()) set_columns(module);
}

void MergedModel::set_columns(const AdapterModule& embedding) {
  const std::string name = embedding.name + ".weight";
  const std::int64_t step{std::max<std::int64_t>(1, kPiece / embedding.in)};
  std::vector<float> piece(static_cast<std::size_t>(step * embedding.in));
  Eigen::ArrayXd squares = Eigen::ArrayXd::Zero(embedding.in);
  for (std::int64_t first = 0; first < embedding.out; first += step) {
    const std::int64_t count{std::min(step, embedding.out - first)};
    const std::span rows(piece.data(), static_cast<std::size_t>(count * embedding.in));
    read_rows(name, first, count, rows);
    squares += Eigen::Map<Matrix>(rows.data(), count, embedding.in)
                   .cast<double>()
                   .array()
                   .square()
                   .colwise()
                   .sum()
                   .transpose();
  }
  const Eigen::Map<const Eigen::ArrayXf> lengths(embedding.magnitude.data(), embedding.in);
  const Eigen::ArrayXf factors = (lengths.cast<double>() / squares.sqrt()).cast<float>();
  columns_.assign(factors.begin(), factors.end());
}

// What stands in the place of rows of the base.
void MergedModel::replace_rows(const std::string& name, std::int64_t first, std::int64_t count,
                               std::span<float> out) const {
  if (const auto saved = saved_.find(name); saved != saved_.end()) {
    const SavedTensor& tensor = *saved->second;
    const std::size_t row{tensor.values.size() / static_cast<std::size_t>(tensor.shape[0])};
    std::ranges::copy(std::span(tensor.values).subspan(static_cast<std::size_t>(first) * row, out.size()), out.begin());
  }
  const auto tokens = tokens_.find(name);
  if (tokens == tokens_.end()) return;
  const TokenRows& rows = *tokens->second;
  for (std::size_t i = 0; i < rows.ids.size(); ++i)
    if (rows.ids[i] >= first && rows.ids[i] < first + count)
      std::copy_n(rows.values.begin() + static_cast<std::int64_t>(i) * rows.width, rows.width,
                  out.begin() + (rows.ids[i] - first) * rows.width);
}

void MergedModel::read_rows(const std::string& name, std::int64_t first, std::int64_t count,
                            std::span<float> out) const {
  if (base_.shape(name).size() == 1) {
    base_.read(name, out);
  } else {
    base_.read_rows(name, first, count, out);
  }
  replace_rows(name, first, count, out);
  auto found = modules_.find(name);
  if (found != modules_.end()) {
    const AdapterModule& module = *found->second;
    add_product(module.b.data() + first * module.rank, module.a.data(), count, module.rank, module.in,
                static_cast<float>(module.scale), out.data());
    if (module.name == base_.spec().embedding) {
      if (!columns_.empty())
        Eigen::Map<Matrix>(out.data(), count, module.in).array().rowwise() *=
            Eigen::Map<const Eigen::ArrayXf>(columns_.data(), module.in).transpose();
    } else if (!module.magnitude.empty()) {
      set_lengths(Eigen::Map<Matrix>(out.data(), count, module.in), module.magnitude.data() + first);
    }
  }
  if (!std::isfinite(base::largest_magnitude(out)))
    throw base::Error({"the weights are not finite numbers", base_.path().string() + ": " + name, "", "",
                       !is_changed(name) ? "the base model is damaged; fetch it again"
                                         : "the adapter or the base is damaged; did the training diverge?"});
}

}  // namespace lora
