// A model with a larger vocabulary than its files have. Tested by tests/lora/model/grow_test.cc.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "lora/model/model_files.h"

namespace lora {
namespace {

constexpr std::int64_t kPiece = 1024;  // rows that are looked at together

// The mean of the first `count` rows of [rows, columns] or [rows], summed up in double.
std::vector<double> mean_row(const ModelFiles& files, const std::string& name, std::int64_t count) {
  const std::vector<std::int64_t> shape = files.shape(name);
  const std::size_t width{shape.size() == 1 ? 1 : static_cast<std::size_t>(shape[1])};
  std::vector<double> mean(width, 0);
  std::vector<float> values;
  const auto add = [&](std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) mean[i % width] += static_cast<double>(values[i]);
  };
  if (shape.size() == 1) {
    values.resize(static_cast<std::size_t>(shape[0]));
    files.read(name, values);
    add(static_cast<std::size_t>(count));
  }
  for (std::int64_t first = 0; shape.size() == 2 && first < count; first += kPiece) {
    const std::int64_t rows{std::min(kPiece, count - first)};
    values.resize(static_cast<std::size_t>(rows) * width);
    files.read_rows(name, first, rows, values);
    add(values.size());
  }
  for (double& value : mean) value /= static_cast<double>(count);
  return mean;
}

}  // namespace

std::int64_t ModelFiles::new_rows(const std::string& name) const {
  const Stored& tensor = stored(name);
  if (tensor.grown.empty()) return 0;
  const std::int64_t width{tensor.view.shape.size() == 1 ? 1 : tensor.view.shape[1]};
  return static_cast<std::int64_t>(tensor.grown.size()) / width;
}

void ModelFiles::grow(std::vector<tokenizer::AddedToken> tokens, std::int64_t rows, NewRows begin) {
  const std::int64_t vocabulary{config().vocab_size}, end{std::max(rows, vocabulary)};
  const bool is_mean{begin == NewRows::kMean && !tokens.empty()};
  // A padded embedding has rows for new tokens already, that nobody trained.
  const std::int64_t first{is_mean ? std::min<std::int64_t>(vocabulary, tokens.front().id) : vocabulary},
      behind{is_mean ? tokens.back().id + 1 : end};
  new_tokens_ = std::move(tokens);
  const std::string embedding = spec_.embedding + ".weight", head = spec_.head + ".weight", bias = spec_.head + ".bias";
  for (const std::string& name : {embedding, head, bias}) {
    const std::int64_t own{name == bias ? vocabulary : first};
    if (!find(name) || own == end) continue;
    if (is_packed(name))
      throw base::Error({"a packed matrix cannot have rows for new tokens", path_.string(), name, "plain numbers",
                         "give the model that this copy was made from, and --quantization nf4 or int8"});
    std::vector<double> row;
    if (begin == NewRows::kMean || name == bias)
      row = mean_row(*this, name, own);
    else
      row.assign(static_cast<std::size_t>(shape(name)[1]), 0);
    std::vector<float> grown, kept(row.size());
    for (std::int64_t id = own; id < end; ++id) {
      if (id < behind || id >= vocabulary) {
        grown.insert(grown.end(), row.begin(), row.end());
      } else {
        read_rows(name, id, 1, kept);
        grown.insert(grown.end(), kept.begin(), kept.end());
      }
    }
    Stored& tensor = tensors_.at(name);
    tensor.grown = std::move(grown);
    tensor.view.bytes = tensor.view.bytes.first(tensor.view.bytes.size() / static_cast<std::size_t>(vocabulary) *
                                                static_cast<std::size_t>(own));
    tensor.view.shape[0] = tensor.spec.shape[0] = end;
  }
  if (end == vocabulary) return;
  ModelConfig config = spec_.config;
  config.vocab_size = end;
  spec_ = spec_of(config);
}

}  // namespace lora
