// An adapter out of two models. Tested by tests/lora/fuse/extract_test.cc.
#include "lora/fuse/extract.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/resident.h"
#include "lora/fuse/top_svd.h"

namespace lora {
namespace {

// The tensor in float32; its pages of the file go again.
std::vector<float> values_of(const ModelFiles& model, const std::string& name) {
  std::int64_t size = 1;
  for (const std::int64_t side : model.shape(name)) size *= side;
  std::vector<float> values(static_cast<std::size_t>(size));
  model.read(name, values);
  if (!model.is_packed(name)) base::give_back(model.view(name).bytes);
  return values;
}

// Of a model that ties its head to the embedding, the head is there all the same.
std::string source_in(const ModelFiles& model, const std::string& name) {
  if (model.find(name)) return name;
  return name == model.spec().head + ".weight" ? model.spec().embedding + ".weight" : "";
}

void check_shape(const ModelFiles& base, const ModelFiles& tuned, const std::string& name) {
  const std::string other = source_in(tuned, name);
  if (other.empty())
    throw base::Error({"the tuned model lacks a tensor of the base", tuned.path().string(), name, "models of one shape",
                       "give the base that it was tuned from"});
  if (const auto left = base.shape(name), right = tuned.shape(other); left != right)
    throw base::Error({"a tensor has different shapes in the two models", tuned.path().string() + ": " + name,
                       fmt::format("[{}]", fmt::join(right, ", ")), fmt::format("[{}]", fmt::join(left, ", ")),
                       name == base.spec().embedding + ".weight" || name == base.spec().head + ".weight"
                           ? "the vocabulary was resized: give a base that was resized too, as transformers saves it "
                             "after resize_token_embeddings"
                           : "give the base that it was tuned from"});
}

// `tuned` becomes the difference; its squared norm.
double subtract(std::vector<float>& tuned, const std::vector<float>& base, const std::string& name) {
  double sum = 0;
  for (std::size_t i = 0; i < tuned.size(); ++i) {
    tuned[i] -= base[i];
    sum += static_cast<double>(tuned[i]) * tuned[i];
  }
  if (!std::isfinite(sum)) throw base::Error({"numbers that are not finite", name, "", "", "a model is damaged"});
  return sum;
}

// But for what does not change what a token's text is computed to.
bool computes_alike(ModelConfig left, ModelConfig right) {
  for (ModelConfig* config : {&left, &right}) {
    config->vocab_size = config->bos = config->eos = config->pad = config->context_length = 0;
    config->tied_embeddings = config->router_loss = false;
    config->router_loss_weight = 0;
    config->wrapper.clear();
    config->rms_norm_eps = static_cast<float>(config->rms_norm_eps);  // as a GGUF has it
  }
  return left == right;
}

class Extraction {
 public:
  Extraction(const ModelFiles& base, const ModelFiles& tuned, const ExtractSettings& settings,
             const std::function<void(double)>& progress)
      : base_(base), tuned_(tuned), settings_(settings), progress_(progress) {}

  Extracted take() {
    std::set<std::string> linears;
    for (const BlockSpec& block : base_.spec().blocks)
      for (const LinearSpec& linear : block.linears) linears.insert(linear.name);
    std::vector<std::string> names = base_.names();
    const std::string head = base_.spec().head + ".weight";
    const bool is_own_head{!base_.find(head) && tuned_.find(head)};
    for (const std::string& name : names) check_shape(base_, tuned_, name);
    double done = 0;
    for (const std::string& name : names) {
      const bool is_linear{name.ends_with(".weight") && linears.contains(name.substr(0, name.size() - 7))};
      is_linear ? take_linear(name) : take_rest(name);
      if (progress_) progress_(++done / static_cast<double>(names.size()));
    }
    if (is_own_head) take_own_head(head);
    finish();
    return std::move(result_);
  }

 private:
  void take_linear(const std::string& name) {
    std::vector<float> change = values_of(tuned_, name);
    if (subtract(change, values_of(base_, name), name) == 0) {
      ++result_.equal;
      return;
    }
    const std::vector<std::int64_t> shape = base_.shape(name);
    const ThinSvd svd = top_svd(change, shape[0], shape[1], settings_.rank, settings_.threads);
    const std::string module = name.substr(0, name.size() - 7);
    modules_.push_back(module_of(module, svd, settings_.rank));
    facts_[module] = {module, modules_.back().rank, 1, svd.squared_norm, squared_error(svd, modules_.back().rank)};
  }

  void take_rest(const std::string& name) {
    const std::vector<float> base = values_of(base_, name);
    std::vector<float> change = values_of(tuned_, source_in(tuned_, name));
    double size = 0;
    for (const float value : base) size += static_cast<double>(value) * value;
    if (const double difference{subtract(change, base, name)}; difference != 0)
      result_.rest.push_back({name, size == 0 ? 0 : std::sqrt(difference / size), false});
  }

  // Which the base ties: other numbers than those of the embedding.
  void take_own_head(const std::string& head) {
    const std::string embedding = tuned_.spec().embedding + ".weight";
    std::vector<float> change = values_of(tuned_, head);
    const std::vector<float> base = values_of(base_, base_.spec().embedding + ".weight");
    double size = 0;
    for (const float value : base) size += static_cast<double>(value) * value;
    if (const double difference{subtract(change, base, head)}; difference != 0)
      result_.rest.push_back({head, std::sqrt(difference / size), false});
  }

  void finish() {
    if (modules_.empty() && result_.rest.empty())
      throw base::Error({"the two models are equal: there is nothing to extract", tuned_.path().string(),
                         base_.path().string(), "a model and what it was tuned to", ""});
    if (modules_.empty() && !settings_.save_rest)
      throw base::Error({"no linear layer differs: an adapter would be empty", tuned_.path().string(),
                         result_.rest[0].name, "", "--save-rest keeps what differs as whole tensors"});
    take_modules(result_.adapter, std::move(modules_));
    for (const AdapterModule& module : result_.adapter.modules) result_.modules.push_back(facts_.at(module.name));
    result_.same_config = computes_alike(base_.config(), tuned_.config());
    if (settings_.save_rest) save_rest();
  }

  // PEFT trains a module whole: with its weight comes its bias, whichever of the two differs.
  void save_rest() {
    std::set<std::string> saved;
    for (RestTensor& rest : result_.rest) {
      const std::string module = rest.name.substr(0, rest.name.rfind('.'));
      if (facts_.contains(module)) continue;  // a bias beside A and B
      rest.is_saved = true;
      for (const char* part : {".weight", ".bias"}) {
        const std::string name = module + part, source = source_in(tuned_, name);
        if (source.empty() || !saved.insert(name).second) continue;
        result_.adapter.saved.push_back({name, tuned_.shape(source), values_of(tuned_, source), true});
      }
    }
    std::ranges::sort(result_.adapter.saved, {}, &SavedTensor::name);
  }

  const ModelFiles& base_;
  const ModelFiles& tuned_;
  const ExtractSettings& settings_;
  const std::function<void(double)>& progress_;
  std::vector<AdapterModule> modules_;
  std::unordered_map<std::string, FusedModule> facts_;
  Extracted result_;
};

}  // namespace

Extracted extracted(const ModelFiles& base, const ModelFiles& tuned, const ExtractSettings& settings,
                    const std::function<void(double)>& progress) {
  return Extraction(base, tuned, settings, progress).take();
}

}  // namespace lora
