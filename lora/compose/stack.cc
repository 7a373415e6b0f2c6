// Depth up-scaling. Tested by tests/lora/compose/stack_test.cc.
#include "lora/compose/stack.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/error.h"
#include "lora/model/family.h"

namespace lora {
namespace {

// What a list that has an element for each layer says of `layers`.
std::vector<bool> picked(const std::vector<bool>& all, const std::vector<std::int64_t>& layers) {
  std::vector<bool> result;
  if (all.empty()) return result;
  for (const std::int64_t layer : layers) result.push_back(all.at(static_cast<std::size_t>(layer)));
  return result;
}

bool read_number(std::string_view text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// The tensors of one layer by what stands behind "layers.N." in their names.
std::vector<std::string> tensor_names(const BlockSpec& block) {
  ModelSpec alone;
  alone.config.tied_embeddings = true;
  alone.blocks = {block};
  std::vector<std::string> names;
  for (const TensorSpec& tensor : tensors_of(alone)) names.push_back(tensor.name);
  return {names.begin() + 1, names.end()};
}

}  // namespace

LayerRange layer_range(const std::string& text, std::int64_t layers) {
  const auto wrong = [&](const char* advice) {
    return base::UsageError({"not a range of layers", "--layers", text,
                             fmt::format("FIRST-LAST or one number, of 0 to {}", layers - 1), advice});
  };
  const std::size_t dash = text.find('-');
  LayerRange range{0, 0};
  if (!read_number(std::string_view(text).substr(0, dash), range.first)) throw wrong("");
  range.last = range.first;
  if (dash != std::string::npos && !read_number(std::string_view(text).substr(dash + 1), range.last)) throw wrong("");
  if (range.first < 0 || range.last < range.first || range.last >= layers)
    throw wrong("both ends are among the layers, counted from 0");
  return range;
}

MadeModel stacked(const ModelFiles& base, const std::vector<LayerRange>& ranges, base::DType type, bool keep_types) {
  std::vector<std::int64_t> layers;
  for (const LayerRange& range : ranges)
    for (std::int64_t layer = range.first; layer <= range.last; ++layer) layers.push_back(layer);
  ModelConfig config = base.config();
  config.layers = static_cast<std::int64_t>(layers.size());
  config.sliding_layers = picked(config.sliding_layers, layers);
  config.rotated_layers = picked(config.rotated_layers, layers);
  config.dense_layers.clear();
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (std::ranges::count(base.config().dense_layers, layers[i]) > 0)
      config.dense_layers.push_back(static_cast<std::int64_t>(i));
  simplify(config);
  const ModelSpec spec = spec_of(config);
  std::unordered_map<std::string, std::string> sources;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto to = tensor_names(spec.blocks[i]);
    const auto from = tensor_names(base.spec().blocks.at(static_cast<std::size_t>(layers[i])));
    for (std::size_t k = 0; k < to.size(); ++k) sources[to[k]] = from.at(k);  // by their place: names carry numbers
  }
  const auto source = [&](const std::string& name) {
    const auto found = sources.find(name);
    return found == sources.end() ? name : found->second;
  };
  return made_of(base, spec, source, type, keep_types);
}

}  // namespace lora
